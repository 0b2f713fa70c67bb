#!/usr/bin/env bash
# Says all that would keep the cluster from being made, each with what to do; changes nothing. create.sh begins with it.
#
# Beside `terraform apply` it can be started by hand: for the default name, file and ports, or with CLUSTER, CLUSTER_KUBECONFIG and PORTS.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=owner.sh
source "$here/owner.sh"

: "${CLUSTER:=promote}" "${CLUSTER_KUBECONFIG:=$here/../.local/kubeconfig}" "${OWNER:=nobody}"
: "${PORTS:=127.0.0.1:8080 127.0.0.1:8443 127.0.0.1:5000}"
# Others in tests.
: "${INOTIFY:=/proc/sys/fs/inotify/max_user_instances}" "${LISTENS:=$here/listens.sh}"
wanted=5.8.0

problems=0
problem() { problems=$((problems + 1)); say "$*"; }

programs() {
  local pair
  for pair in \
    "k3d|https://k3d.io has the installer; $wanted or newer" \
    "kubectl|https://kubernetes.io/docs/tasks/tools" \
    "docker|https://docs.docker.com/engine/install"; do
    command -v "${pair%%|*}" >/dev/null || problem "${pair%%|*} was not found: install it (${pair#*|})"
  done
}

k3d_version() {
  local found
  found=$(k3d version | sed -nE 's/^k3d version v?([0-9]+\.[0-9]+\.[0-9]+).*/\1/p')
  [[ -n $found ]] || { problem "\`k3d version\` names no version: install k3d $wanted or newer from https://k3d.io"; return; }
  [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) == "$wanted" ]] ||
    problem "k3d $found is older than $wanted: install a newer one from https://k3d.io"
}

# Each node watches files; with the usual 128, the third or fourth node does not start.
inotify() {
  [[ -r $INOTIFY ]] || return 0
  local found
  found=$(<"$INOTIFY")
  ((found >= 512)) ||
    problem "fs.inotify.max_user_instances is $found, and nodes need 512: sudo sysctl -w fs.inotify.max_user_instances=512"
}

kubeconfig() {
  local found
  found=$(contexts) || { problem "$CLUSTER_KUBECONFIG is no kubeconfig: move it away, or name another file with -var kubeconfig=…"; return; }
  [[ -z $found || $found == "k3d-$CLUSTER" ]] ||
    problem "$CLUSTER_KUBECONFIG belongs to another cluster ($(paste -sd ' ' - <<<"$found")): name another file with -var kubeconfig=…"
}

cluster() {
  docker info >/dev/null 2>&1 || { problem "docker does not answer: start it, and see that \`docker info\` works for you"; return; }
  local whose registry
  whose=$(whose)
  [[ $whose != foreign ]] ||
    problem "there is a k3d cluster $CLUSTER already that was not made from here: choose another name with -var cluster_name=…, or remove it with \`k3d cluster delete $CLUSTER\`"
  registry=$(docker ps --all --filter 'name=^/?k3d-registry$' --format '{{.Label "k3d.cluster"}}.')
  [[ -z $registry || $registry == "$CLUSTER." ]] ||
    problem "there is a container k3d-registry already, of another cluster (${registry%.}): remove it with \`k3d registry delete k3d-registry\`"
  # What is left of an interrupted run holds the ports, and is removed first.
  [[ $whose == ours ]] || ports
}

ports() {
  local place address port
  for place in $PORTS; do
    address=${place%:*} port=${place##*:}
    [[ $address != 0.0.0.0 ]] || address=127.0.0.1
    "$LISTENS" "$address" "$port" || continue
    case $port in
      5000) problem "port $port is in use, and the registry needs it: stop what listens there (on macOS: AirPlay Receiver)" ;;
      *) problem "port $port is in use: stop what listens there, or choose another with -var http_port=… or -var https_port=…" ;;
    esac
  done
}

programs
((problems == 0)) || fail "nothing was changed"
k3d_version
inotify
kubeconfig
cluster
((problems == 0)) || fail "nothing was changed"
