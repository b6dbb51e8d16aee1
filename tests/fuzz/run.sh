#!/bin/sh
# Runs the fuzzers of build/asan, one after another, as root; prints for each how many inputs it has tried.
#   tests/fuzz/run.sh [SECONDS [NAME...]]   20 s for each fuzzer, unless SECONDS says otherwise
# An input that makes a fuzzer fail is kept in build/asan/fuzz. FUZZ_KEEP=1 adds inputs that reach new code to the corpus.
# FUZZ_RESULTS=DIR: writes DIR/NAME.json for each fuzzer, which tests/reliability.py and tests/summary.py read.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1-20}
[ $# -gt 0 ] && shift
build=build/asan
[ $# -gt 0 ] || set -- $(ls "$build/bin/fuzz")

# The fuzzers run as nobody, who may not be able to read the sources or to write into the build.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$build/fuzz"

# fuzz NAME: returns 1 where it has found something
fuzz() {
  cp -r "tests/fuzz/corpus/$1" "$work/seeds"
  chmod -R a+rwX "$work/seeds"
  mkdir -m 777 "$work/new" "$work/found"
  cp "$build/bin/fuzz/$1" "$work/fuzzer"
  rc=0
  ASAN_OPTIONS="detect_leaks=1:$ASAN_OPTIONS" "$work/fuzzer" -max_total_time="$seconds" -timeout=120 -rss_limit_mb=4096 \
    -print_final_stats=1 -artifact_prefix="$work/found/" "$work/new" "$work/seeds" >"$work/log" 2>&1 || rc=1
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
  echo "$1: ${executed:-?} inputs$([ $rc = 0 ] || echo ", FAILED")"
  if [ -n "${FUZZ_RESULTS-}" ]; then
    mkdir -p "$FUZZ_RESULTS"
    printf '{"name": "%s", "seconds": %s, "executions": %s, "found": %s}\n' "$1" "$seconds" "${executed:-0}" "$rc" \
      >"$FUZZ_RESULTS/$1.json"
  fi
  if [ $rc != 0 ]; then
    grep -v '^#[0-9]' "$work/log" | tail -n 60
    for input in "$work"/found/*; do
      [ -e "$input" ] && cp "$input" "$build/fuzz/$1-$(basename "$input")" && echo "kept: $build/fuzz/$1-$(basename "$input")"
    done
  fi
  if [ "${FUZZ_KEEP-}" = 1 ]; then
    "$work/fuzzer" -merge=1 "$work/seeds" "$work/new" >/dev/null 2>&1 && cp "$work"/seeds/* "tests/fuzz/corpus/$1/"
  fi
  rm -rf "$work"/*
  return $rc
}

ASAN_OPTIONS=${ASAN_OPTIONS-}
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:${UBSAN_OPTIONS-}"
failed=0
for name in "$@"; do
  fuzz "$name" || failed=1
done
exit $failed
