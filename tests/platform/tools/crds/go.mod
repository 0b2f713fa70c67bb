// Definitions of kinds that the chart and the GitOps tree use; nothing of this is compiled.
module promote.tools/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2 // indirect
	github.com/controlplaneio-fluxcd/flux-operator v0.58.1 // indirect
	github.com/prometheus-operator/prometheus-operator v0.85.0 // indirect
	istio.io/istio v0.0.0-20260827124520-eed52ebb66ad // indirect
)
