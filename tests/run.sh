#!/bin/sh
# Installs what is missing, builds, and runs all tests.
#   tests/run.sh            every move twice
#   tests/run.sh --full     every move ten times, the slow tests, and each fuzzer for 20 s
#   tests/run.sh --sanitize the same tests of a build with AddressSanitizer and UndefinedBehaviorSanitizer (build/asan); then
#                           the unit tests of wire and front with ThreadSanitizer (build/tsan)
#   tests/run.sh --coverage the tests of a build that counts (build/coverage); the last line says how much of the product's
#                           code they have executed
#   tests/run.sh ... -- ARGS  passes ARGS to ctest (such as: -R test_victims)
set -eu
cd "$(dirname "$0")/.."

mode=plain
while [ $# -gt 0 ]; do
  case $1 in
    --full) export CRX_FULL=1 ;;
    --sanitize) mode=sanitize ;;
    --coverage) mode=coverage ;;
    --)
      shift
      break
      ;;
    -h | --help)
      sed -n '2,9s/^# *//p' "$0"
      exit 0
      ;;
    *)
      echo "run.sh: unknown argument $1 (see --help)" >&2
      exit 2
      ;;
  esac
  shift
done

# build PRESET TARGETS
build() {
  cmake --preset "$1" >/dev/null
  preset=$1
  shift
  ninja -C "build/$preset" -j"$(nproc)" --quiet "$@"
}

case $mode in
  sanitize)
    deploy/install-deps.sh --cluster --sanitizers
    build asan all tests
    build tsan crx-unit-wire crx-unit-agent
    exec tests/sanitized.sh "$@"
    ;;
  coverage)
    deploy/install-deps.sh --cluster --sanitizers
    build coverage all tests
    exec tests/coverage.sh "$@"
    ;;
esac

deploy/install-deps.sh --cluster ${CRX_FULL:+--full}
build dev all tests
jobs=$(($(nproc) + 1)) # tests wait for half of their time
[ "${CRX_FULL-}" = 1 ] || exec ctest --test-dir build/dev --output-on-failure -j"$jobs" "$@"
results=$PWD/build/dev/results
rm -rf "$results"
failed=0
ctest --test-dir build/dev --output-on-failure --output-junit "$results/ctest.xml" -j"$jobs" "$@" || failed=1
if [ $# -eq 0 ]; then
  deploy/install-deps.sh --cluster --sanitizers
  build asan fuzzers
  FUZZ_RESULTS="$results/fuzz" tests/fuzz/run.sh 20 || failed=1
  tests/reliability.py build/dev
fi
tests/summary.py build/dev
exit $failed
