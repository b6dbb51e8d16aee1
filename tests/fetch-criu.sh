#!/bin/sh
# fetch-criu.sh FOLDER: unpacks CRIU of Debian trixie, with all its libraries, below FOLDER; installs nothing. The
# packages come from the sources in this machine's own apt configuration. Prints nothing if CRIU is there already.
#
# Run it with tests/integration/library/criutest.py, or by hand:
#   FOLDER/root/usr/lib64/ld-linux-x86-64.so.2 --library-path FOLDER/root/usr/lib/x86_64-linux-gnu FOLDER/root/usr/sbin/criu
set -eu
[ $# -eq 1 ] || { echo "usage: fetch-criu.sh FOLDER" >&2; exit 2; }
suite=trixie
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[ ! -e "$folder/done" ] || exit 0

exec 9>"$folder/lock"
flock 9
[ ! -e "$folder/done" ] || exit 0

# The main archive of this machine's configuration, with another suite.
sources=$folder/sources.list
: >"$sources"
for file in /etc/apt/sources.list.d/*.sources; do
  [ -e "$file" ] || continue
  awk -v suite="$suite" '
    function flush() {
      if (types ~ /deb/ && uris ~ /debian\/?$/ && components ~ /main/)
        print "deb " (signed ? "[signed-by=" signed "] " : "") uris " " suite " main"
      types = uris = components = signed = ""
    }
    /^#/ { next }
    /^Types:/ { types = $2 } /^URIs:/ { uris = $2 } /^Components:/ { components = $2 } /^Signed-By:/ { signed = $2 }
    /^[ \t]*$/ { flush() }
    END { flush() }' "$file" >>"$sources"
done
if [ -e /etc/apt/sources.list ]; then
  sed -nE 's#^deb +(\[[^]]*\] +)?([^ ]*/debian/?) +[a-z]+ +.*main.*#deb \1\2 '"$suite"' main#p' /etc/apt/sources.list >>"$sources"
fi
if [ ! -s "$sources" ]; then
  echo "fetch-criu.sh: apt knows no Debian archive here" >&2
  exit 1
fi
sort -u -o "$sources" "$sources"

mkdir -p "$folder/lists/partial" "$folder/archives/partial" "$folder/root"
: >"$folder/status"
apt() {
  apt-get -q -o Dir::Etc::SourceList="$sources" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$folder/lists" \
    -o Dir::Cache="$folder" -o Dir::Cache::archives="$folder/archives" -o Dir::State::status="$folder/status" \
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o APT::Keep-Downloaded-Packages=true "$@"
}
if ! { apt update && apt -y install --download-only criu python3-pycriu; } >"$folder/log" 2>&1; then
  tail -20 "$folder/log" >&2
  exit 1
fi
for package in "$folder"/archives/*.deb; do
  dpkg-deb -x "$package" "$folder/root"
done
[ -e "$folder/root/usr/sbin/criu" ]
rm -rf "$folder/archives" "$folder/lists"
touch "$folder/done"
