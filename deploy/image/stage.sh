#!/usr/bin/env bash
# Lays out the files of the daemon's image: the one list of what is in it, for the Dockerfile and for build.sh.
#
#   stage.sh BINARIES ROOT      BINARIES has promoted and promote; ROOT is made
set -euo pipefail

fail() { printf 'image: %s\n' "$*" >&2; exit 1; }
[[ $# == 2 ]] || fail "usage: stage.sh BINARIES ROOT"
binaries=$1 root=$2
[[ ! -e $root ]] || fail "$root exists already; the image's files need a folder of their own"

for program in promoted promote; do
  [[ -f $binaries/$program ]] || fail "$binaries has no $program; deploy/image/compile.sh makes it"
  headers=$(readelf --program-headers --wide "$binaries/$program")
  [[ $headers != *INTERP* ]] ||
    fail "$binaries/$program needs shared libraries, which the image does not have; deploy/image/compile.sh makes static programs"
  install -D -m 755 "$binaries/$program" "$root/usr/local/bin/$program"
done

# The package's own files, not /etc/ssl/certs: that one also has the authorities which this machine alone trusts.
shopt -s nullglob
LC_ALL=C authorities=(/usr/share/ca-certificates/mozilla/*.crt)
((${#authorities[@]})) || fail "there are no certificate authorities in /usr/share/ca-certificates/mozilla; install Debian's package ca-certificates"
mkdir -p "$root/etc/ssl/certs"
cat "${authorities[@]}" >"$root/etc/ssl/certs/ca-certificates.crt"

cat >"$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/usr/sbin/nologin
nonroot:x:65532:65532:nonroot:/var/lib/promoted:/usr/sbin/nologin
END
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
# A static glibc has these two built in and could load no other.
printf 'hosts: files dns\npasswd: files\ngroup: files\n' >"$root/etc/nsswitch.conf"
chmod 644 "$root"/etc/{passwd,group,nsswitch.conf,ssl/certs/ca-certificates.crt}
