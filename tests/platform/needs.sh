#!/usr/bin/env bash
# Says what the platform's tests lack, before anything is built for them: building takes half an hour. Installs nothing.
set -euo pipefail

problems=0
problem() { problems=$((problems + 1)); printf 'platform: %s\n' "$*" >&2; }

wanted=1.11.0
where="install Terraform 1.11 or newer (https://developer.hashicorp.com/terraform/install) and put it on the PATH"
if command -v terraform >/dev/null; then
  found=$(CHECKPOINT_DISABLE=1 terraform version 2>/dev/null | sed -nE '1s/^Terraform v([0-9]+\.[0-9]+\.[0-9]+).*/\1/p') || found=
  if [[ -z $found ]]; then
    problem "\`terraform version\` names no version: $where"
  elif [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) != "$wanted" ]]; then
    problem "Terraform $found is older than $wanted: $where"
  fi
else
  problem "terraform was not found: $where"
fi

# Debian's python3 has venv, but not what venv starts with.
python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null ||
  problem "Python 3.9 or newer with venv is needed (Debian: apt-get install python3-venv)"

((problems == 0)) || exit 1
