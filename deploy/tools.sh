#!/bin/sh
# Builds the pinned programs that `make lint` runs, once, into target/tools.
# Unoptimised on purpose: they run for seconds, and this way they build in a third of the time.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
tools=$here/target/tools

# install NAME VERSION
install() {
    if [ -x "$tools/bin/$1" ] && "$tools/bin/$1" --version | grep -qF " $2"; then
        return
    fi
    echo "tools: building $1 $2"
    CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --debug --root "$tools" --version "$2" "$1"
    rm -rf "$tools/build"
}

install cargo-deny 0.20.2
