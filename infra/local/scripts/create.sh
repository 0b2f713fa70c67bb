#!/usr/bin/env bash
# Makes the cluster and its kubeconfig, or leaves nothing behind. Started by `terraform apply`, which gives
# CLUSTER, CLUSTER_KUBECONFIG, OWNER, CONFIG, PORTS and WAIT.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=owner.sh
source "$here/owner.sh"

"$here/preflight.sh"

if [[ $(whose) == ours ]]; then
  say "removing what an interrupted run left of the cluster $CLUSTER"
  k3d cluster delete "$CLUSTER"
fi

umask 077
mkdir -p "$(dirname -- "$CLUSTER_KUBECONFIG")"
work=$(mktemp -d)

# What takes long runs beside this script: a shell looks at a signal only once the program that it waits for has ended.
beside=
run() {
  "$@" &
  beside=$!
  wait "$beside"
  beside=
}

# Terraform runs no destroy provisioner for what failed while it was made.
undo() {
  local status=$?
  trap '' INT TERM
  rm -rf "$work"
  ((status != 0)) || return 0
  [[ -z $beside ]] || kill "$beside" 2>/dev/null || true
  rm -f "$CLUSTER_KUBECONFIG"
  say "that failed, so the cluster $CLUSTER is removed again"
  run k3d cluster delete "$CLUSTER" >&2 || say "it could not be removed: \`k3d cluster delete $CLUSTER\`"
  exit "$status"
}
trap undo EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

printf '%s\n' "$CONFIG" >"$work/k3d.yaml"
run k3d cluster create --config "$work/k3d.yaml"

k3d kubeconfig get "$CLUSTER" >"$work/kubeconfig"
mv -f "$work/kubeconfig" "$CLUSTER_KUBECONFIG"

run kubectl --kubeconfig "$CLUSTER_KUBECONFIG" --context "k3d-$CLUSTER" wait --for=condition=Ready nodes --all --timeout "$WAIT"
