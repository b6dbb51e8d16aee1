#!/bin/sh
# Installs the Debian packages that are needed to build and test crx; prints nothing if all are installed. Other scripts
# may run it, too: exit code 0 means that everything is installed.
#   install-deps.sh [--build] [--sanitizers] [--cluster] [--full]
#     --build        only what is needed to build crx and its packages
#     --sanitizers   with what only `tests/run.sh --sanitize`, `--coverage` and the fuzzers need
#     --cluster      with what only the tests of clusters, packages and pages need: corosync, Pacemaker, lintian, promtool (of
#                    Prometheus, whose service is not started), a browser
#     --full         with what only `tests/run.sh --full` needs: Slurm, hosts that boot
set -eu

build="g++ cmake ninja-build ccache pkg-config libasio-dev libssl-dev libzstd-dev libprotobuf-dev protobuf-compiler
doctest-dev libcli11-dev libfmt-dev libspdlog-dev libxxhash-dev nlohmann-json3-dev libseccomp-dev
libnftnl-dev libmnl-dev libhttp-parser-dev libipsec-mb-dev libbpf-dev libsystemd-dev clang bpftool dpkg-dev file"
test="clang-format iproute2 nftables python3-minimal python3 util-linux mount sqlite3 xz-utils openssl procps
bash gcc make nginx-light redis-server wrk nodejs postgresql spin strace"
more=
for option; do
  case $option in
    --build) test= ;;
    --sanitizers) more="$more libclang-rt-dev llvm" ;;
    --cluster) more="$more corosync pacemaker pacemaker-cli-utils resource-agents crmsh libxml2-utils"
      more="$more lintian prometheus chromium" ;;
    --full) more="$more debootstrap systemd-container slurmctld slurmd slurm-client munge" ;;
    *)
      echo "install-deps.sh: unknown argument $option" >&2
      exit 2
      ;;
  esac
done

# shellcheck disable=SC2086 # a list of packages
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $build $test $more 2>/dev/null | sed -n 's/^installed //p')
newline='
'
missing=
for package in $build $test $more; do
  case "$newline$installed$newline" in
    *"$newline$package$newline"*) ;;
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
no_services=
trap 'rm -f "$log" $no_services' EXIT
# Services of the packages are not started: tests start what they need.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  no_services=/usr/sbin/policy-rc.d
  printf '#!/bin/sh\nexit 101\n' >$no_services
  chmod 755 $no_services
fi
# shellcheck disable=SC2086 # a list of packages
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
