#!/usr/bin/env bash
# What takes longer than a change should wait for: the tests marked `ignored` (days of history, large volumes, long
# sequences of failures), and all property tests with many more cases, in a release build.
# The account of it goes to docs/results/long.md.
#
#     CASES=20000 tests/long.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
# shellcheck source=tests/prepare.sh
source tests/prepare.sh

cases=${CASES:-20000}
log=$(mktemp)
figures=$(mktemp)
trap 'rm -f "$log" "$figures"' EXIT

# Runs a command, keeps its output, and adds a row to the account.
rows=()
status=0
measure() {
    local what=$1 started=$SECONDS passed outcome=passed
    shift
    step "$what"
    if ! "$@" 2>&1 | tee "$log"; then
        outcome=FAILED status=1
    fi
    passed=$(awk '/^test result:/ { passed += $4 } END { print passed + 0 }' "$log")
    if [ "$passed" -eq 0 ]; then
        outcome="FAILED (no test ran)" status=1
    fi
    # What tests say of themselves: seeds, counts, sizes.
    grep -o 'siege: .*' "$log" | sed 's/^siege: /- /' >>"$figures" || true
    rows+=("| $what | $outcome | $passed | $((SECONDS - started)) s |")
    account >docs/results/long.md
}

account() {
    echo "# The long tests, last run"
    echo
    echo "Written by \`tests/long.sh\`."
    echo
    echo "- $(date -u +%Y-%m-%dT%H:%MZ), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
    echo "- $(rustc --version), $(nproc) processors, $(uname -srm)"
    echo
    echo "| What | Outcome | Tests passed | Time |"
    echo "|---|---|---|---|"
    printf '%s\n' "${rows[@]}"
    echo
    echo "## In figures"
    echo
    cat "$figures"
}

test_release() {
    cargo test --locked --release --features fail-points "$@"
}

mkdir -p docs/results
step "Building"
test_release --no-run
# One of the ignored is no test: it makes a fixture.
measure "Ignored tests" test_release -- --ignored --show-output --skip make_fixture
PROPTEST_CASES=$cases measure "All tests, $cases cases a property" test_release

step "docs/results/long.md is written"

tests/chart.sh || status=1
# The package and the image, each with an account of its own.
if [ "$(id -u)" -eq 0 ]; then
    tests/package.sh || status=1
    tests/image.sh || status=1
else
    echo "tests/package.sh and tests/image.sh need root and were not run"
    status=1
fi
exit "$status"
