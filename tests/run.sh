#!/usr/bin/env bash
# Runs all tests. What takes longer than half an hour is in long.sh.
set -euo pipefail
source "$(dirname "$0")/prepare.sh"

cargo test --workspace --all-features --locked
