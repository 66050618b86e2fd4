#!/usr/bin/env bash
# Runs all tests. What a bare Debian machine lacks is installed with apt when we are root;
# otherwise the command to run is printed. Servers are private: free ports, fresh folders.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { # need PROGRAM PACKAGE...
    local program=$1
    shift
    command -v "$program" >/dev/null && return
    if [ "$(id -u)" -ne 0 ]; then
        echo "tests need $program; install it with: sudo apt-get install $*" >&2
        exit 1
    fi
    if [ -z "${APT_UPDATED:-}" ]; then
        apt-get update -qq
        APT_UPDATED=1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need cc gcc libc6-dev
need curl curl
need pkill procps
need redis-server redis-server
need redis-cli redis-tools
need psql postgresql postgresql-client
need runuser util-linux
need script bsdutils
need pgbouncer pgbouncer
need faketime faketime
need chromium chromium
need chromedriver chromium-driver

# The black-box tests start the binaries that this builds.
cargo build --workspace --bins --locked
cargo test --workspace --all-features --locked
