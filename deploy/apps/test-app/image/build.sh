#!/usr/bin/env bash
# Makes test-app's image for amd64 and arm64 as an OCI layout, without a container engine.
#
#   build.sh [--version V] [--colour C] [--unhealthy] [--reference REPO:TAG] [--output DIR]
#
# Prints REPO:TAG@DIGEST on stdout. The same version and colour give the same digest on every machine: Go is the one that
# go.mod names (another Go fetches it first), and nothing is compressed. The overlays name the digest of 1.0.0 in blue.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
top=$(cd -- "$here/../../../.." && pwd)
fail() { printf 'test-app: %s\n' "$1" >&2; exit "${2:-1}"; }

version=1.0.0 colour=blue unhealthy='' reference='' output=$top/target/test-app-oci
while (($#)); do
  case $1 in
    --unhealthy)
      unhealthy=yes
      shift
      continue
      ;;
    --version | --colour | --reference | --output) [[ -n ${2:-} ]] || fail "$1 needs a value" 2 ;;&
    --version) version=$2 ;;
    --colour) colour=$2 ;;
    --reference) reference=$2 ;;
    --output) output=$2 ;;
    *) fail "\"$1\" is not known; use --version, --colour, --unhealthy, --reference and --output" 2 ;;
  esac
  shift 2
done
[[ $version =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || fail "\"$version\" can't be a tag" 2
[[ $colour =~ ^[a-z]+$ ]] || fail "\"$colour\" is not the name of a CSS colour, such as blue or seagreen" 2
reference=${reference:-test-app:$version}
[[ $reference =~ ^[a-z0-9.:/_-]+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || fail "\"$reference\" is not REPOSITORY:TAG" 2
command -v go >/dev/null || fail "go was not found; install Go 1.21 or newer from go.dev/dl"
toolchain=$(sed -n 's/^toolchain //p' "$here/go.mod")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
platforms=()
for architecture in amd64 arm64; do
  (cd "$here" && CGO_ENABLED=0 GOOS=linux GOARCH=$architecture GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT='' GOFLAGS=-mod=readonly GOWORK=off \
    GOTOOLCHAIN="$toolchain" go build -trimpath -buildvcs=false -o "$work/$architecture/test-app" \
    -ldflags "-s -w -buildid= -X main.version=$version -X main.colour=$colour -X main.unhealthy=$unhealthy" .)
  platforms+=(--platform "linux/$architecture=$work/$architecture")
done
python3 "$top/deploy/image/layout.py" --uncompressed --output "$output" --reference "$reference" \
  --created "${SOURCE_DATE_EPOCH:-0}" \
  "${platforms[@]}" --entrypoint /test-app --port 8080/tcp \
  --label org.opencontainers.image.title=test-app \
  --label org.opencontainers.image.source=https://github.com/promoted/promote \
  --label org.opencontainers.image.licenses=Apache-2.0 \
  --label "org.opencontainers.image.version=$version"
