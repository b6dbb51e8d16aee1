#!/bin/sh
# The part of tests/run.sh --coverage after the build. The counters lie in files that all processes map (LLVM's continuous
# mode), so those that end by _exit(2) or SIGKILL count, too.
set -eu
cd "$(dirname "$0")/.."
counts=$PWD/build/coverage/counts
rm -rf "$counts"
mkdir -p "$counts"
export LLVM_PROFILE_FILE="$counts/%m%c.profraw"
failed=0
ctest --test-dir build/coverage --output-on-failure -j"$(nproc)" "$@" || failed=1

unset LLVM_PROFILE_FILE
llvm-profdata merge -sparse "$counts"/*.profraw -o "$counts/all.profdata"
objects=
for tool in build/coverage/bin/crx-*; do
  head -c 4 "$tool" | grep -q ELF && objects="$objects -object $tool"
done
# shellcheck disable=SC2086 # a list of arguments
llvm-cov export -summary-only -ignore-filename-regex='(^/usr|/build/|/tests/)' -instr-profile="$counts/all.profdata" $objects |
  python3 -c 'import json, sys
lines = json.load(sys.stdin)["data"][0]["totals"]["lines"]
print("coverage: {percent:.1f}% of the lines ({covered} of {count})".format(**lines))'
exit $failed
