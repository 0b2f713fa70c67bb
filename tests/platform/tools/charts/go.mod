// Charts that infra/ installs, as far as they can be had as Go modules; nothing of this is compiled.
module promote.tools/charts

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2 // indirect
	istio.io/istio v0.0.0-20260827124520-eed52ebb66ad // indirect
)
