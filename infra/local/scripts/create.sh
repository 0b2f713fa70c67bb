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

# Terraform runs no destroy provisioner for what failed while it was made.
undo() {
  local status=$?
  rm -rf "$work"
  ((status != 0)) || return 0
  say "that failed, so the cluster $CLUSTER is removed again"
  k3d cluster delete "$CLUSTER" >&2 || say "it could not be removed: \`k3d cluster delete $CLUSTER\`"
  rm -f "$CLUSTER_KUBECONFIG"
  exit "$status"
}
trap undo EXIT
trap 'exit 130' INT TERM

printf '%s\n' "$CONFIG" >"$work/k3d.yaml"
k3d cluster create --config "$work/k3d.yaml"

k3d kubeconfig get "$CLUSTER" >"$work/kubeconfig"
mv -f "$work/kubeconfig" "$CLUSTER_KUBECONFIG"

kubectl --kubeconfig "$CLUSTER_KUBECONFIG" --context "k3d-$CLUSTER" wait --for=condition=Ready nodes --all --timeout "$WAIT"
