#!/usr/bin/env bash
# Says what is missing where Terraform could not log in to the cluster; changes nothing. The first thing that an apply does.
set -euo pipefail

fail() { printf 'infra/aws: %s: install the AWS CLI 2 (https://aws.amazon.com/cli), by which Terraform logs in to the cluster. Nothing was made\n' "$*" >&2; exit 1; }

command -v aws >/dev/null || fail "aws was not found"
found=$(aws --version 2>&1) || fail "\`aws --version\` fails"
[[ $found == aws-cli/2.* ]] || fail "\`aws --version\` says ${found%% *}"
