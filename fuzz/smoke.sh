#!/bin/bash
# A short look with every fuzz target: replays all seeds and corpora, then fuzzes three targets for an
# equal share of the time. Which three follows from the number of commits, so all have their turn.
#   usage: fuzz/smoke.sh [SECONDS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-180}

targets=()
for file in "$here"/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done

quietly() { # TARGET SECONDS [OPTION...]: one line when all is well, everything when not
    local log
    log=$(mktemp)
    if "$here/run.sh" "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        cat "$log" >&2
        rm -f "$log"
        echo "fuzz: $1 failed; an input that was found is in fuzz/artifacts/$1" >&2
        return 1
    fi
}

"$here/build.sh" >/dev/null
for target in "${targets[@]}"; do
    quietly "$target" 60 -runs=0
    echo "fuzz: $target: $(find "$here/seeds/$target" "$here/corpus/$target" -type f | wc -l) inputs replayed"
done

turns=$((${#targets[@]} < 3 ? ${#targets[@]} : 3))
first=$(($(git -C "$here" rev-list --count HEAD) * turns))
for ((turn = 0; turn < turns; turn++)); do
    target=${targets[(first + turn) % ${#targets[@]}]}
    quietly "$target" $((seconds / turns))
    echo "fuzz: $target: $((seconds / turns)) s, nothing found"
done
