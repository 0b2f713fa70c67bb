#!/usr/bin/env bash
# Builds the tools that the platform's tests run into the cache, once per set of versions.
#
#   build.sh          builds what is missing; the folder's path is the only line on stdout
#   build.sh --find   prints the folder's path if it is complete, else fails at once
#
# Each folder below tools/ is a Go module. Its `tool` directives become programs in bin/. A file `files` beside it lists
# "MODULE GLOB" lines: what matches in that module, file or folder, is copied into a folder of the same name as the module's
# (crds/, charts/).
# tools/requirements.txt becomes the Python environment venv/.
# The folder is $PROMOTE_CACHE/tools/KEY. KEY covers all of tools/, this file, and the versions of Go and Python.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
modules=$here/tools
cache=${PROMOTE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME, XDG_CACHE_HOME or PROMOTE_CACHE must be set}/.cache}/promote}/tools

say() { printf 'tools: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
key() { sha256sum | cut -c1-16; }

want="Go 1.26 or newer is needed to build the tools: install it from go.dev/dl, put its bin folder on the PATH, and run this again"
command -v go >/dev/null || fail "go was not found. $want"
mapfile -t go < <(GOTOOLCHAIN=local go env GOVERSION GOARCH)
[[ ${go[0]} =~ ^go([0-9]+)\.([0-9]+) ]] || fail "go reports the version \"${go[0]}\", which can't be read. $want"
((BASH_REMATCH[1] > 1 || BASH_REMATCH[2] >= 26)) || fail "${go[0]} was found. $want"

want="Python 3.9 or newer with venv is needed (Debian: apt-get install python3-venv)"
command -v python3 >/dev/null || fail "python3 was not found. $want"
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.base_prefix)')

# Names and contents alike, in an order that does not depend on the language.
inputs() { (cd "$here" && find build.sh tools -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); printf '%s\n' "${go[@]}" "$python"; }
folder=$cache/$(inputs | key)
venv=$cache/venv-$({ cat "$modules/requirements.txt" 2>/dev/null || true; echo "$python"; } | key)

if [[ ${1:-} == --find ]]; then
  [[ -d $folder ]] || fail "the tools are not built; run \`tests/platform/build.sh\`"
  echo "$folder"
  exit 0
fi
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
mkdir -p "$work/bin"

say "building into $folder; about 15 minutes on two cores the first time"
SECONDS=0
so_far() { printf '%d min %02d s so far' $((SECONDS / 60)) $((SECONDS % 60)); }

programs() {
  local package name
  grep -qE '^tool\b' go.mod || return 0
  while read -r package; do
    name=$package
    [[ ${name##*/} =~ ^v[0-9]+$ ]] && name=${name%/*}
    name=${name##*/}
    say "$name ($(so_far))"
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$work/bin/$name" "$package" 9>&- >&2 ||
      fail "$name could not be built; what went wrong stands above"
  done < <(go list -f '{{.ImportPath}}' tool)
}

# $1: the folder that they go to.
copies() {
  local module pattern directory file
  [[ -e files ]] || return 0
  mkdir -p "$work/$1"
  while read -r module pattern; do
    [[ -n $module && $module != \#* ]] || continue
    directory=$(go mod download -json "$module" 9>&- | sed -nE 's/^\t"Dir": "(.*)",?$/\1/p')
    [[ -n $directory ]] || fail "$module could not be downloaded"
    for file in "$directory"/$pattern; do
      [[ -e $file ]] || fail "$module has no $pattern"
      # The module cache is read-only, and what is built here must be removable.
      cp -R --no-preserve=mode "$file" "$work/$1/${file##*/}"
    done
  done <files
}

for directory in "$modules"/*/; do
  [[ -e $directory/go.mod ]] || continue
  cd "$directory"
  programs
  copies "$(basename "$directory")"
done

# A virtual environment knows its own path, so it is made in place; the mark says that it is whole.
if [[ -e $modules/requirements.txt && ! -e $venv/whole ]]; then
  say "the Python environment ($(so_far))"
  rm -rf "$venv"
  { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --no-compile --disable-pip-version-check -r "$modules/requirements.txt"; } 9>&- >&2 ||
    fail "the Python environment could not be made; what went wrong stands above. $want"
  touch "$venv/whole"
fi
[[ ! -e $modules/requirements.txt ]] || ln -s "../${venv##*/}" "$work/venv"

# Complete folders only ever appear under their final name.
mv -T "$work" "$folder"
find "$cache" -mindepth 1 -maxdepth 1 -type d -regextype posix-extended -regex '.*/(venv-)?[0-9a-f]{16}' \
  ! -path "$folder" ! -path "$venv" -mtime +30 -exec rm -rf {} +
say "done after $((SECONDS / 60)) min $((SECONDS % 60)) s"
echo "$folder"
