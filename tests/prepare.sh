# Sourced by run.sh and long.sh: goes to the root of the workspace, installs with apt what a bare Debian
# machine lacks (or, when not root, prints the command), and builds the binaries that black-box tests
# start. Servers of tests are private: free ports, fresh folders.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()
need() { # need PROGRAM_OR_FILE PACKAGE: PROGRAM may be a pattern of a path
    command -v "$1" >/dev/null || compgen -G "$1" >/dev/null || missing+=("$2")
}

need cc gcc
need /usr/include/stdlib.h libc6-dev
need /etc/ssl/certs/ca-certificates.crt ca-certificates
need curl curl
need pkill procps
need script bsdutils
need runuser util-linux
need redis-server redis-server
need redis-cli redis-tools
need psql postgresql-client
need pg_dump postgresql-client
need '/usr/lib/postgresql/*/bin/initdb' postgresql
need pgbouncer pgbouncer
need '/usr/lib/*/faketime/libfaketimeMT.so.1' libfaketime
need chromium chromium
need chromedriver chromium-driver

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "tests need more programs; install them with: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if ! command -v cargo >/dev/null; then
    echo "tests need cargo; install Rust with: curl https://sh.rustup.rs -sSf | sh" >&2
    exit 1
fi

cargo build --workspace --bins --locked
