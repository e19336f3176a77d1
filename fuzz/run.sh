#!/bin/sh
# Fuzzes one target for a while on stable Rust, without cargo-fuzz. Fails when something is found.
#   usage: fuzz/run.sh TARGET SECONDS [LIBFUZZER-OPTION...]
# The corpus grows in fuzz/corpus/TARGET, starting from fuzz/seeds/TARGET; findings go to fuzz/artifacts.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: $0 TARGET SECONDS [LIBFUZZER-OPTION...]; targets:" >&2
    for target in "$(dirname "$0")"/fuzz_targets/*.rs; do echo "  $(basename "$target" .rs)" >&2; done
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
target=$1
seconds=$2
shift 2
host=$(rustc -vV | sed -n 's/^host: //p')

# What cargo-fuzz passes, less the sanitizer, which needs nightly and finds nothing in safe Rust.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"
export CARGO_TARGET_DIR="$here/target"
# --target, or build scripts would be instrumented too.
cargo build --release --locked --manifest-path "$here/Cargo.toml" --target "$host" --bin "$target"

mkdir -p "$here/corpus/$target" "$here/seeds/$target" "$here/artifacts/$target"
exec "$CARGO_TARGET_DIR/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -print_final_stats=1 -artifact_prefix="$here/artifacts/$target/" "$@" \
    "$here/corpus/$target" "$here/seeds/$target"
