#!/bin/sh
# The part of tests/run.sh --sanitize after the builds. A report of a sanitizer fails the test in which it comes up; those of
# processes whose output nobody reads are found in the end.
set -eu
cd "$(dirname "$0")/.."
reports=$PWD/build/asan/reports
rm -rf "$reports"
mkdir -p "$reports"

# Leaks are looked for by the fuzzers only, see README.md.
export ASAN_OPTIONS="detect_leaks=0:log_path=$reports/asan"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:log_path=$reports/ubsan"
failed=0
ctest --test-dir build/asan --output-on-failure -j"$(nproc)" "$@" || failed=1

export TSAN_OPTIONS="exitcode=66:log_path=$reports/tsan"
build/tsan/bin/crx-unit-wire || failed=1
# Engines and crx-migrate's phases have no threads of their own, and vessels unmap the memory that TSan needs.
build/tsan/bin/crx-unit-agent -tce='engine:*,source:*' || failed=1

for report in "$reports"/*; do
  [ -e "$report" ] || continue
  echo "--- $report"
  cat "$report"
  failed=1
done
exit $failed
