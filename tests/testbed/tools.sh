#!/usr/bin/env bash
# Checks what compiling takes: Rust as Cargo.toml demands, a C compiler, perl and make. What is missing is installed where
# that is possible without asking (Debian packages, as root), and else named with the command that mends it.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
say() { printf 'tools: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Program and Debian package. The OpenSSL inside libssh2 is configured by perl; libgit2 is compiled by cc.
missing=()
for pair in cc:gcc perl:perl make:make; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
[[ " ${missing[*]-} " != *" gcc "* ]] || missing+=(libc6-dev)
if ((${#missing[@]})); then
  install="apt-get install -y --no-install-recommends ${missing[*]}"
  if [[ $(id -u) == 0 && -e /etc/debian_version ]]; then
    say "installing ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive $install -qq; } >&2 ||
      fail "apt-get could not install ${missing[*]}; why stands above"
  else
    fail "these programs are missing: ${missing[*]}. On Debian or Ubuntu: sudo $install"
  fi
fi

wanted=$(sed -nE 's/^rust-version = "([0-9.]+)"$/\1/p' "$here/Cargo.toml")
rustup="install it from https://rustup.rs, and run this again in a new shell"
{ command -v cargo && command -v rustc; } >/dev/null || fail "Rust was not found: $rustup"
found=$(rustc --version | sed -nE 's/^rustc ([0-9]+\.[0-9]+\.[0-9]+).*/\1/p')
[[ -n $found ]] || fail "\`rustc --version\` could not be read: $(rustc --version 2>&1 | head -n 1)"
if [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) != "$wanted" ]]; then
  if command -v rustup >/dev/null; then mend="rustup update stable"; else mend=$rustup; fi
  fail "rustc $found is older than the $wanted that Cargo.toml demands: $mend"
fi
