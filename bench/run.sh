#!/bin/sh
# Builds crx in its release configuration and prints all figures. Needs root. Arguments go to figures.py. See README.md.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${CRX_BUILD:-$root/build/release}
[ -e "$build/build.ninja" ] || cmake --preset release -S "$root" -B "$build" >/dev/null
ninja -C "$build" crx-migrate crx-agent bench-gauge bench-touch >/dev/null
export CRX_BUILD="$build" PYTHONDONTWRITEBYTECODE=1
if [ "${CRX_BENCH_REALTIME:-}" = 1 ]; then
  exec chrt -r 1 /usr/bin/python3 "$root/bench/figures.py" "$@"
fi
exec nice -n -10 /usr/bin/python3 "$root/bench/figures.py" "$@"
