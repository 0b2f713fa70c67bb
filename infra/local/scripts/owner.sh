#!/usr/bin/env bash
# Whose cluster is it? Read by the scripts beside it; they give CLUSTER, OWNER and CLUSTER_KUBECONFIG.

say() { printf 'infra/local: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# The containers of the cluster of this name, one per line: name, then the owner that nodes are labelled with.
containers() {
  docker ps --all --filter "label=k3d.cluster=$CLUSTER" --format '{{.Names}} {{.Label "promoted.owner"}}'
}

# absent, ours or foreign.
whose() {
  local found
  found=$(containers) || return 1
  if [[ -z $found ]]; then
    echo absent
  elif grep -qE " $OWNER\$" <<<"$found"; then
    echo ours
  else
    echo foreign
  fi
}

# The contexts of the kubeconfig, if it exists; only k3d-$CLUSTER may be there.
contexts() {
  [[ ! -s $CLUSTER_KUBECONFIG ]] || kubectl --kubeconfig "$CLUSTER_KUBECONFIG" config get-contexts --output name
}
