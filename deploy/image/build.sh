#!/usr/bin/env bash
# Makes the daemon's image as an OCI layout, without a container engine; the same commit and compiler give the same digest.
#
#   build.sh [--reference REPO:TAG] [--output DIR] [--binaries DIR] [--largest MB]
#
# Prints REPO:TAG@DIGEST on stdout. --binaries takes static programs that were compiled before. An image with more
# compressed megabytes than --largest is refused: 30 unless given.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
top=$(cd -- "$here/../.." && pwd)
fail() { printf 'image: %s\n' "$1" >&2; exit "${2:-1}"; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$top/Cargo.toml" | head -n 1)
reference=promoted:$version output=$top/target/image-oci largest=30 binaries=
while (($#)); do
  case $1 in
    --reference | --output | --binaries | --largest) [[ -n ${2:-} ]] || fail "$1 needs a value" 2 ;;&
    --reference) reference=$2 ;;
    --output) output=$2 ;;
    --binaries) binaries=$2 ;;
    --largest) largest=$2 ;;
    *) fail "\"$1\" is not known; use --reference, --output, --binaries and --largest" 2 ;;
  esac
  shift 2
done
[[ $reference =~ ^[a-z0-9.:/_-]+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || fail "\"$reference\" is not REPOSITORY:TAG" 2

case $(uname -m) in
  x86_64) platform=linux/amd64 ;;
  aarch64) platform=linux/arm64 ;;
  *) fail "there is no image for $(uname -m); x86_64 and aarch64 are supported" ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -z $binaries ]]; then
  binaries=$work/binaries
  "$here/compile.sh" "$binaries"
fi
"$here/stage.sh" "$binaries" "$work/root"

# Outside a clone (an unpacked archive) the image names no revision.
revision=$(git -C "$top" rev-parse --verify --quiet HEAD || echo unknown)
[[ $revision == unknown ]] || git -C "$top" diff --quiet HEAD || revision+=-dirty
created=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || echo 0)}
python3 "$here/layout.py" --output "$output" --reference "$reference" --created "$created" --largest "$largest" \
  --platform "$platform=$work/root" --entrypoint /usr/local/bin/promoted \
  --writable /var/lib/promoted --env PROMOTED_STATE_DIR=/var/lib/promoted \
  --label org.opencontainers.image.title=promoted \
  --label org.opencontainers.image.source=https://github.com/promoted/promote \
  --label org.opencontainers.image.licenses=Apache-2.0 \
  --label "org.opencontainers.image.version=$version" \
  --label "org.opencontainers.image.revision=$revision"
