#!/usr/bin/env bash
# Shows the main use of crx on one machine: two isolated hosts, and a running Python program that is moved from one to
# the other. Needs root on Debian 12; installs missing packages and builds first. Leaves nothing running.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
preset=demo # quicker to build than the developers' build, which is used where it is there
[ ! -x "$here/build/dev/bin/crx-agent" ] || preset=dev
build=$here/build/$preset

# Close descriptors inherited from the caller, or the program would inherit them: a pipe to another process cannot be
# moved.
for fd in /proc/$$/fd/*; do
  fd=${fd##*/}
  [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-" # 255: bash's own, this script
done

say() { printf '\n== %s\n' "$*"; }
[ "$(id -u)" = 0 ] || { echo "demo.sh: needs root, for namespaces and for moving processes" >&2; exit 1; }

say "Installing what is missing, and building"
"$here/deploy/install-deps.sh"
(cd "$here" && cmake --preset "$preset" >/dev/null)
ninja -C "$build" --quiet crx-migrate crx-agent

work=$(mktemp -d /tmp/crx-demo.XXXXXX)
chmod 755 "$work"
declare -A host          # name -> the PID of its init, as seen from here
started=()
cleanup() {
  set +e
  for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null; done # kills everything in that host
  wait 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT

# A host: network, PID, mount and UTS namespace of its own, and PIDs that start at $2.
make_host() {
  unshare --net --pid --mount --uts --fork --kill-child --mount-proc sh -c '
    hostname "$1"; echo "$2" > /proc/sys/kernel/ns_last_pid; : > "$3"
    trap : CHLD; while :; do sleep 1000 & wait; done' sh "$1" "$2" "$work/$1.up" &
  started+=($!)
  until [ -e "$work/$1.up" ]; do kill -0 $!; done
  host[$1]=$(cat "/proc/$!/task/$!/children")
  host[$1]=${host[$1]// /}
}
on() { # on HOST COMMAND...: runs it there
  local at=${host[$1]}
  shift
  nsenter --target "$at" --net --pid --mount --uts -- "$@"
}

say "Two hosts, left (10.88.0.1) and right (10.88.0.2), joined by a veth pair"
make_host left 1000
make_host right 5000
nsenter --target "${host[left]}" --net ip link add eth0 type veth peer name eth0 netns "${host[right]}"
number=0
for name in left right; do
  number=$((number + 1))
  on "$name" ip link set lo up
  on "$name" ip address add "10.88.0.$number/24" dev eth0
  on "$name" ip link set eth0 up
done

say "Certificates: an authority of our own, one certificate for each host"
"$here/deploy/crx-keys" "$work/tls" 10.88.0.1 10.88.0.2 >/dev/null
ls "$work"/tls/10.88.0.1

say "crx-agent listens at right"
mkfifo "$work/ready"
on right "$build/bin/crx-agent" --listen 10.88.0.2:7077 --tls-dir "$work/tls/10.88.0.2" --store "$work/right" \
  --ready-fd 3 3>"$work/ready" 2>"$work/agent.log" &
read -r answer <"$work/ready" || { cat "$work/agent.log"; exit 1; }
echo "crx-agent says: $answer"

say "A Python program at left: a seeded random sequence, one number every 100 ms, and where it is"
cat >"$work/program.py" <<'PROGRAM'
import os, random, sys, threading, time

source = random.Random(2024)
memory = [source.random() for _ in range(1_000_000)]
threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
began = time.monotonic()
for line in range(60):
    print(f"{line:3} {source.random():.12f}   at {os.uname().nodename}, PID {os.getpid()}, "
          f"{time.monotonic() - began:5.2f} s old", flush=True)
    time.sleep(float(sys.argv[1]))
print("end", flush=True)
PROGRAM
nsenter --target "${host[left]}" --net --pid --mount --uts -- sh -c 'echo $$ >"$0/pid"; 
  exec setsid /usr/bin/python3 "$0/program.py" 0.1 </dev/null >>"$0/output" 2>&1' "$work" &
disown # its end on host left is not to be reported
: >>"$work/output"
lines() { wc -l <"$work/output"; }
shown=0
show_until() { # show_until LINES: prints the output as it grows
  local have
  while :; do
    have=$(lines)
    [ "$have" -le "$shown" ] || sed -n "$((shown + 1)),${have}p" "$work/output"
    shown=$have
    [ "$have" -lt "$1" ] || break
    sleep 0.05
  done
}
show_until 20

say "crx-migrate --to 10.88.0.2:7077 --verify $(cat "$work/pid")    (at left)"
report=${CRX_DEMO_REPORT:-/tmp/crx-demo-report.html}
on left "$build/bin/crx-migrate" --to 10.88.0.2:7077 --tls-dir "$work/tls/10.88.0.1" --state "$work/left" --verify \
  --report "$report" "$(cat "$work/pid")" || { tail -20 "$work/agent.log"; exit 1; }

say "The sequence goes on at right"
show_until 61

say "Was it the same sequence?"
/usr/bin/python3 "$work/program.py" 0 >"$work/unmoved"
if cmp <(awk '{print $1, $2}' "$work/output") <(awk '{print $1, $2}' "$work/unmoved"); then
  echo "Yes: all 60 numbers equal those of a run that was not moved."
else
  echo "No." >&2
  exit 1
fi
echo "The report with the rounds and the cutover: $report"
