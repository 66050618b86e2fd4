#!/usr/bin/env bash
# Tests that take hours: everything again and again while two busy loops hold the processors, long loops
# of power cuts, many more random cases of each property, an attack with thousands of connections.
#
#   tests/long.sh [--suites N] [--repeat N] [--cycles N] [--cases N] [--attack N] [FILTER...]
#
#   --suites N  runs of the whole suite under the busy loops                          (default 3)
#   --repeat N  runs of each test that starts a process or a browser, under the same  (default 50)
#   --cycles N  rounds of power cuts                                                  (default 1000)
#   --cases N   random cases of each property                                         (default 10000)
#   --attack N  rounds of the attack; prints the figures                              (default 5)
#   FILTER...   of the repeated tests only those whose name contains one of these
#
# A part with 0 is left out. A failure does not end the script: logs are in target/long, the last lines
# list what failed, and the exit code is 1.
set -euo pipefail

suites=3 repeat=50 cycles=1000 cases=10000 attack=5 filters=()
while [ $# -gt 0 ]; do
    case $1 in
    --suites) suites=$2 && shift 2 ;;
    --repeat) repeat=$2 && shift 2 ;;
    --cycles) cycles=$2 && shift 2 ;;
    --cases) cases=$2 && shift 2 ;;
    --attack) attack=$2 && shift 2 ;;
    -*) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    *) filters+=("$1") && shift ;;
    esac
done
source "$(dirname "$0")/prepare.sh"

logs=target/long
rm -rf "$logs" && mkdir -p "$logs"
failed=()

attempt() { # attempt NAME COMMAND...: runs it with its output in a log, and notes a failure
    local name=$1 log=$logs/${1//[^A-Za-z0-9_-]/_}.log
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        rm "$log"
    else
        failed+=("$name")
        echo "FAILED $name (see $log)"
    fi
}

# The programs of the tests that start processes, with the crate of each.
programs() {
    for crate in simops-tests simops-cli simops-server simops-postgres simops-sqlite; do
        cargo test -p "$crate" --all-features --locked --no-run --test it 2>&1 |
            sed -n "s/.*(\(target[^)]*\)).*/$crate \1/p"
    done
}

wanted() { # wanted TEST: whether it starts a process or a server, and is asked for
    local filter
    case $1 in tidy::* | words::* | layers::*) return 1 ;; esac
    [ ${#filters[@]} -eq 0 ] && return
    for filter in "${filters[@]}"; do
        [[ $1 == *"$filter"* ]] && return
    done
    return 1
}

# The folder of a crate.
folder() {
    if [ "$1" = simops-tests ]; then echo tests; else echo "$1"; fi
}

programs=$(programs)
busy=()
for _ in 1 2; do
    (while :; do :; done) &
    busy+=($!)
done
trap 'kill "${busy[@]}"' EXIT

for ((n = 1; n <= suites; n++)); do
    echo "suite $n of $suites"
    attempt "suite-$n" cargo test --workspace --all-features --locked --no-fail-fast
done

if [ "$repeat" -gt 0 ]; then
    while read -r crate program; do
        for test in $("$program" --list --format terse | sed -n 's/: test$//p'); do
            wanted "$test" || continue
            echo "$crate $test, $repeat times"
            for ((n = 1; n <= repeat; n++)); do
                # Cargo runs tests in the folder of their crate.
                attempt "$crate-$test-$n" env -C "$(folder "$crate")" "$PWD/$program" --exact "$test"
            done
        done
    done <<<"$programs"
fi

kill "${busy[@]}" && trap - EXIT

if [ "$cycles" -gt 0 ]; then
    echo "$cycles rounds of power cuts"
    SIMOPS_TEST_CYCLES=$cycles attempt cycles \
        cargo test -p simops-tests --locked --test it -- crash::
fi
if [ "$cases" -gt 0 ]; then
    echo "$cases cases of each property"
    PROPTEST_CASES=$cases attempt cases \
        cargo test -p simops -p simops-sqlite -p simops-postgres --all-features --locked
fi

if [ "$attack" -gt 0 ]; then
    echo "thousands of hostile connections"
    cargo build --release --workspace --bins --locked
    for ((n = 1; n <= attack; n++)); do
        attempt "attack-$n" bash -c 'set -o pipefail; "$@" | tee -a "$0"' "$logs/figures" \
            cargo bench -q -p simops-tests --locked --bench attack
    done
    cat "$logs/figures"
fi

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
echo "nothing failed"
