#!/bin/sh
# Installs the Debian packages that are needed to build and test crx; prints nothing if all are installed. Other scripts
# may run it, too: exit code 0 means that everything is installed.
#   install-deps.sh [--sanitizers]   with what only `tests/run.sh --sanitize`, `--coverage` and the fuzzers need
set -eu

build="g++ cmake ninja-build ccache pkg-config libasio-dev libssl-dev libzstd-dev libprotobuf-dev protobuf-compiler
doctest-dev libcli11-dev libfmt-dev libspdlog-dev libxxhash-dev nlohmann-json3-dev libseccomp-dev
libnftnl-dev libmnl-dev libhttp-parser-dev libipsec-mb-dev libbpf-dev clang bpftool"
test="clang-format iproute2 nftables python3-minimal python3 util-linux mount sqlite3 xz-utils openssl procps
bash gcc make nginx-light redis-server wrk nodejs postgresql spin strace"
sanitizers=
case ${1-} in
  "") ;;
  --sanitizers) sanitizers="libclang-rt-dev llvm" ;;
  *)
    echo "install-deps.sh: unknown argument $1" >&2
    exit 2
    ;;
esac

missing=
for package in $build $test $sanitizers; do
  case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
    installed) ;;
    *) missing="$missing $package" ;;
  esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "install-deps.sh: needs root to install:$missing" >&2
  exit 1
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # a list of packages
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
