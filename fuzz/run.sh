#!/bin/sh
# Fuzzes one target for a while. Fails when something is found.
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
programs=$("$here/build.sh" "$target")

mkdir -p "$here/corpus/$target" "$here/seeds/$target" "$here/artifacts/$target"
exec "$programs/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -print_final_stats=1 -artifact_prefix="$here/artifacts/$target/" "$@" \
    "$here/corpus/$target" "$here/seeds/$target"
