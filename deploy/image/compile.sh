#!/usr/bin/env bash
# Compiles promoted and promote as static programs.
#
#   compile.sh FOLDER [PROFILE]      into FOLDER; PROFILE is one of cargo's [release]
#
# The same sources, compiler and C compiler give the same bytes wherever the clone, cargo's home and the target folder are.
set -euo pipefail

say() { printf 'image: %s\n' "$*" >&2; }
[[ $# -ge 1 && $# -le 2 ]] || { say "usage: compile.sh FOLDER [PROFILE]"; exit 2; }
mkdir -p "$1"
folder=$(cd -- "$1" && pwd)
profile=${2:-release}
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

source=$PWD
cargo=${CARGO_HOME:-${HOME:?HOME or CARGO_HOME must be set}/.cargo}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$source/target}
mkdir -p "$CARGO_TARGET_DIR"
CARGO_TARGET_DIR=$(cd -- "$CARGO_TARGET_DIR" && pwd)
triple=$(rustc -vV | sed -n 's/^host: //p')

# With a target of its own, build scripts and macros are compiled as usual: only what goes into the image is static.
# The clone's own path needs no replacing, since cargo names our sources relative to it; and clones that share a target
# folder share its dependencies only where their flags are the same.
separator=$'\x1f'
export CARGO_ENCODED_RUSTFLAGS="-Ctarget-feature=+crt-static"
CARGO_ENCODED_RUSTFLAGS+="${separator}--remap-path-prefix=$cargo=/cargo"
CARGO_ENCODED_RUSTFLAGS+="${separator}--remap-path-prefix=$CARGO_TARGET_DIR=/target"
# What cargo tells a test about itself, where a test calls this: build scripts that look at it would run again each time.
unset "${!CARGO_PKG_@}" "${!CARGO_MANIFEST_@}"
# OpenSSL, libssh2, libgit2 and zlib are C.
export CFLAGS="-ffile-prefix-map=$cargo=/cargo -ffile-prefix-map=$CARGO_TARGET_DIR=/target ${CFLAGS:-}"
# OpenSSL writes the time and the folder of its build into the program.
export SOURCE_DATE_EPOCH=0 MAKEFILES=$source/deploy/image/openssl.mk

cargo build --locked --bins --profile "$profile" --target "$triple"

built=$CARGO_TARGET_DIR/$triple/${profile/#dev/debug}
for program in promoted promote; do
  install -m 755 "$built/$program" "$folder/$program"
done
