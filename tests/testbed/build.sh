#!/usr/bin/env bash
# Builds the real parts of the test bed into the cache, once per set of versions.
#
#   build.sh          builds what is missing; the folder's path is the only line on stdout
#   build.sh --find   prints the folder's path if it is complete, else fails at once
#
# The folder is $PROMOTE_CACHE/bed/KEY with bin/ and crds/. KEY covers the versions,
# this file and the Go version, so a change of any of them builds a new folder.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
modules=$here/parts
cache=${PROMOTE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME, XDG_CACHE_HOME or PROMOTE_CACHE must be set}/.cache}/promote}/bed

# In this order each part reuses most of what the one before compiled.
parts=(
  k8s.io/kubernetes/cmd/kube-apiserver
  k8s.io/kubernetes/cmd/kube-controller-manager
  k8s.io/kubernetes/cmd/kube-scheduler
  github.com/fluxcd/kustomize-controller
  github.com/fluxcd/source-controller
  github.com/fluxcd/notification-controller
  github.com/fluxcd/image-reflector-controller
  github.com/fluxcd/image-automation-controller
  sigs.k8s.io/kwok/cmd/kwok
  go.etcd.io/etcd/server/v3
  k8s.io/kubernetes/cmd/kubectl
  github.com/distribution/distribution/v3/cmd/registry
)
crds=(
  "github.com/fluxcd/source-controller config/crd/bases/*.yaml"
  "github.com/fluxcd/kustomize-controller config/crd/bases/*.yaml"
  "github.com/fluxcd/notification-controller config/crd/bases/*.yaml"
  "github.com/fluxcd/image-reflector-controller config/crd/bases/*.yaml"
  "github.com/fluxcd/image-automation-controller config/crd/bases/*.yaml"
  "sigs.k8s.io/kwok kustomize/crd/bases/kwok.x-k8s.io_stages.yaml"
)

say() { printf 'bed: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Taken from Debian as they are: program and package.
debian() {
  local -a missing=()
  local pair
  for pair in docker-registry:docker-registry sshd:openssh-server ssh-keygen:openssh-client git:git \
    setpriv:util-linux flock:util-linux; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
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
    fail "these programs are missing: ${missing[*]}. On Debian or Ubuntu: sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
}

want="Go 1.26 or newer is needed to build the parts: install it from go.dev/dl, put its bin folder on the PATH, and run this again"
command -v go >/dev/null || fail "go was not found. $want"
mapfile -t go < <(GOTOOLCHAIN=local go env GOVERSION GOARCH)
[[ ${go[0]} =~ ^go([0-9]+)\.([0-9]+) ]] || fail "go reports the version \"${go[0]}\", which can't be read. $want"
((BASH_REMATCH[1] > 1 || BASH_REMATCH[2] >= 26)) || fail "${go[0]} was found. $want"

key=$({ cat "$modules/go.mod" "$modules/go.sum" "$here/build.sh"; printf '%s\n' "${go[@]}"; } | sha256sum)
folder=$cache/${key:0:16}

if [[ ${1:-} == --find ]]; then
  [[ -d $folder ]] || fail "the parts are not built; run \`make bed\`"
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
cd "$modules"

say "building ${#parts[@]} parts into $folder; about 15-20 minutes on two cores the first time"
kubernetes=$(sed -nE 's|^[[:space:]]*k8s.io/kubernetes (v[0-9.]+).*|\1|p' go.mod)
[[ $kubernetes =~ ^v([0-9]+)\.([0-9]+)\. ]] || fail "go.mod names no version of k8s.io/kubernetes"
version=k8s.io/component-base/version
flags="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=${BASH_REMATCH[1]} -X $version.gitMinor=${BASH_REMATCH[2]}"

SECONDS=0
count=0
for part in "${parts[@]}"; do
  count=$((count + 1))
  name=${part##*/}
  [[ $part == go.etcd.io/* ]] && name=etcd
  say "$(printf '%2d/%d %-29s (%d min %02d s so far)' "$count" "${#parts[@]}" "$name" $((SECONDS / 60)) $((SECONDS % 60)))"
  CGO_ENABLED=0 go build -trimpath -o "$work/bin/$name" -ldflags "$flags" "$part" 9>&- >&2 ||
    fail "$name could not be built; what went wrong stands above"
done

for entry in "${crds[@]}"; do
  read -r module pattern <<<"$entry"
  directory=$(go list -m -f '{{.Dir}}' "$module")
  for file in "$directory"/$pattern; do
    install -m 644 "$file" "$work/crds/${file##*/}"
  done
done

# Complete folders only ever appear under their final name.
mv -T "$work" "$folder"
find "$cache" -mindepth 1 -maxdepth 1 -type d -regex '.*/[0-9a-f]+' ! -path "$folder" -mtime +30 -exec rm -rf {} +
say "done after $((SECONDS / 60)) min $((SECONDS % 60)) s"
echo "$folder"
