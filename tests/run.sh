#!/bin/sh
# Installs what is missing, builds, and runs all tests.
#   tests/run.sh            every move twice
#   tests/run.sh --full     every move ten times, and the slow tests
#   tests/run.sh ... -- ARGS  passes ARGS to ctest (such as: -R test_victims)
set -eu
cd "$(dirname "$0")/.."

while [ $# -gt 0 ]; do
  case $1 in
    --full) export CRX_FULL=1 ;;
    --)
      shift
      break
      ;;
    -h | --help)
      sed -n '2,5s/^# *//p' "$0"
      exit 0
      ;;
    *)
      echo "run.sh: unknown argument $1 (see --help)" >&2
      exit 2
      ;;
  esac
  shift
done

deploy/install-deps.sh
cmake --preset dev >/dev/null
ninja -C build/dev -j"$(nproc)" --quiet all tests
status=0
ctest --test-dir build/dev --output-on-failure -j"$(nproc)" "$@" || status=$?
if [ "${CRX_FULL:-}" = 1 ]; then tests/reliability.py build/dev; fi
exit $status
