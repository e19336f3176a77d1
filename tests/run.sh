#!/bin/bash
# Runs every test of the workspace, with cargo-nextest where it is installed, and ends with one line of
# totals. Arguments go to the runner.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v cargo-nextest >/dev/null; then
    # nextest does not run the examples in the documentation.
    cargo test --workspace --locked --doc --quiet
    exec cargo nextest run --workspace --locked --no-fail-fast --status-level fail --final-status-level fail "$@"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
awk '/^test result:/ { runs++; passed += $4; failed += $6; ignored += $8 }
     END { printf "cargo test: %d passed, %d failed, %d ignored in %d runs\n", passed, failed, ignored, runs }' "$log"
exit "$status"
