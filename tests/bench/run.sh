#!/bin/sh
# Measures Headgate side by side with other programs, and prints a line for each figure.
#   usage: tests/bench/run.sh [proxy-depth1 | proxy-pipelined | match-chunk | verify-64m]
set -eu
cd "$(dirname "$0")/../.."
cargo build --quiet --release --locked -p gateway -p headgate-tests --bins
exec "${CARGO_TARGET_DIR:-target}/release/headgate-bench" "$@"
