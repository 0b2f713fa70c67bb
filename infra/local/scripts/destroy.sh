#!/usr/bin/env bash
# Removes the cluster, its registry and its kubeconfig. Started by `terraform destroy`, which gives CLUSTER, CLUSTER_KUBECONFIG and OWNER.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=owner.sh
source "$here/owner.sh"

docker info >/dev/null 2>&1 || fail "docker does not answer: start it, then \`terraform destroy\` again"

case $(whose) in
  ours) k3d cluster delete "$CLUSTER" ;;
  absent) say "the cluster $CLUSTER is gone already" ;;
  foreign) fail "the k3d cluster $CLUSTER was not made from here, so it stays. To forget ours, which is gone: terraform state rm module.cluster" ;;
  *) fail "docker did not say which containers there are" ;;
esac

# k3d keeps a registry that other networks use, too, and says so only in passing.
left=$(containers | cut -d' ' -f1; docker network ls --filter "name=^k3d-$CLUSTER\$" --format '{{.Name}}')
[[ -z $left ]] || fail "these are still there: $(paste -sd ' ' - <<<"$left"). See what uses them, remove them, then \`terraform destroy\` again"

[[ $(contexts) != "k3d-$CLUSTER" ]] || rm -f "$CLUSTER_KUBECONFIG"
# The folder that create.sh made for it.
[[ $CLUSTER_KUBECONFIG != */.local/kubeconfig ]] || rmdir "$(dirname -- "$CLUSTER_KUBECONFIG")" 2>/dev/null || true
