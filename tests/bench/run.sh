#!/bin/sh
# Measures Headgate side by side with other programs, and prints a line for each figure.
#   usage: tests/bench/run.sh [NAME]     a wrong name is answered with those there are
set -eu
cd "$(dirname "$0")/../.."
cargo build --quiet --release --locked -p gateway -p headgate-tests --bins
exec "${CARGO_TARGET_DIR:-target}/release/headgate-bench" "$@"
