#!/bin/sh
# Builds crx and makes its Debian packages; prints the path of each, one a line. Installs what that needs if it is missing.
#   build-packages.sh [--build DIR] [--to DIR] [--compression TYPE]
#     --build DIR   package what DIR has built, in place of a release build in build/release
#     --to DIR      where to put the packages; the default is build/packages
#     --compression TYPE   as dpkg-deb -Z: xz unless it is given; gzip is fast
set -eu
build=
to=
compression=xz
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$(readlink -f "${2:?--build needs a directory}") ;;
    --to) to=$(readlink -m "${2:?--to needs a directory}") ;;
    --compression) compression=${2:?--compression needs a type} ;;
    -h | --help)
      sed -n '2,6s/^# *//p' "$0"
      exit 0
      ;;
    *)
      echo "build-packages.sh: unknown argument $1 (see --help)" >&2
      exit 2
      ;;
  esac
  shift 2
done
cd "$(dirname "$0")/.."
if [ -z "$build" ]; then
  build=$PWD/build/release
  deploy/install-deps.sh --build
  cmake --preset release >&2
  ninja -C "$build" >&2
fi
[ -n "$to" ] || to=$PWD/build/packages
mkdir -p "$to"
rm -f "$to"/crx*.deb
cpack --config "$build/CPackConfig.cmake" -G DEB -D CPACK_DEBIAN_COMPRESSION_TYPE="$compression" -B "$to" >&2
rm -rf "$to/_CPack_Packages"
ls "$to"/crx*.deb
