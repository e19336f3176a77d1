#!/bin/sh
# Builds one fuzz target, or all of them at once, on stable Rust without cargo-fuzz; prints the folder they are in.
#   usage: fuzz/build.sh [TARGET]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')

# What cargo-fuzz passes, less the sanitizer, which needs nightly and finds nothing in safe Rust.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"
export CARGO_TARGET_DIR="$here/target"
if [ $# -eq 1 ]; then set -- --bin "$1"; else set -- --bins; fi
# --target, or build scripts would be instrumented too.
cargo build --release --locked --manifest-path "$here/Cargo.toml" --target "$host" "$@"
echo "$CARGO_TARGET_DIR/$host/release"
