# What is built is kept outside the clone, below $XDG_CACHE_HOME/promote (~/.cache/promote): `bed` and `bed-mesh` hold the
# test bed's parts, `tools` Helm and what else the platform's tests run,
# `target-KEY` what cargo builds, where KEY covers Cargo.lock and the compiler, so that clones share their dependencies.
# CARGO_TARGET_DIR names another folder for cargo, PROMOTE_CACHE another one for parts and tools.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo announce test generated bed parts platform own image test-app compare-policies compare-gates lint bench clean tools needs
# `announce` speaks before anything is built.
.NOTPARALLEL:

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/promote
ifndef CARGO_TARGET_DIR
CARGO_TARGET_DIR := $(cache)/target-$(shell { cat Cargo.lock; rustc -vV; } 2>/dev/null | sha256sum | cut -c1-12)
endif
export CARGO_TARGET_DIR

# How long a step took, in the words of its last line.
took = echo "$(1): done in $$((SECONDS / 60)) min $$((SECONDS % 60)) s"

help: ## Prints this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  make %-16s %s\n' "$$name" "$$what"; done

demo: announce parts own ## Shows a good release, a bad one and a promotion on real parts; KEEP=1 leaves it running until Ctrl-C
	@cargo build --locked --bins --example bed --example demo
	@exec "$$CARGO_TARGET_DIR/debug/examples/demo"

announce:
	@if ! tests/testbed/build.sh --find >/dev/null 2>&1; then \
	  echo "demo: Kubernetes, KWOK and Flux are built from source first: 15 to 30 minutes on two cores, once."; fi
	@if [[ ! -e $$CARGO_TARGET_DIR/debug/examples/demo ]]; then \
	  echo "demo: promoted and promote are built first: 5 to 15 minutes on two cores, once."; fi
	@echo "demo: the demo itself takes one to two minutes, and leaves nothing behind."

test: needs bed platform own ## Runs every test on the same real parts, and says how long it took
	@SECONDS=0; \
	cargo build --locked --bins --example bed --example demo; \
	cargo test --locked --lib; \
	echo "test: the image's static programs (the first time: 5 to 10 minutes)"; \
	CARGO_TARGET_DIR="$$CARGO_TARGET_DIR/static" CARGO_PROFILE_DEV_STRIP=symbols \
	  deploy/image/compile.sh "$$CARGO_TARGET_DIR/static/image" dev; \
	echo "test: of the platform, Terraform, Helm, k3d's configuration and the providers of Helm and Kubernetes are real; AWS is a schema"; \
	echo "test: stand-in with mocked answers, its S3 an emulator; k3d, docker and mostly kubectl are recording stand-ins."; \
	cargo test --locked --test platform; \
	cargo test --locked --test it -- --test-threads 8; \
	$(call took,test)

generated: own ## Edits 30,000 generated files and checks each byte, with optimised code (CASES=300000 for more)
	EDIT_CASES=$(or $(CASES),30000) cargo test --locked --profile ci --lib in_generated_files

bed: parts ## Builds the parts of the test bed (the first time: 25 to 40 minutes on two cores)
	@tests/testbed/mesh/build.sh >/dev/null

parts: tools
	@tests/testbed/build.sh >/dev/null

platform: needs tools ## Builds the tools that check clusters, chart and image (the first time: some 15 minutes)
	@tests/platform/build.sh >/dev/null

image: tools own ## Makes the daemon's image as an OCI layout in target/image-oci, without a container engine; REF=REPO:TAG names it
	@deploy/image/build.sh $(if $(REF),--reference "$(REF)")

test-app: ## Makes the image of the app that shows its version in a browser in target/test-app-oci; VERSION=1.0.0 COLOUR=blue
	@deploy/apps/test-app/image/build.sh $(if $(VERSION),--version "$(VERSION)") $(if $(COLOUR),--colour "$(COLOUR)") \
	  $(if $(REF),--reference "$(REF)")

SETS ?= 2000
compare-policies: bed own ## Compares what our policies elect with what Flux's elect, over SETS=2000 generated sets of tags (some 10 minutes)
	@cargo build --locked --bins --example bed
	@COMPARE_SETS=$(SETS) cargo test --locked --test it our_policies_elect -- --nocapture

compare-gates: own ## Judges simulated releases by our gate of traffic, by Flagger's rule and by Argo Rollouts' (RUNS=2000, SEED=20261121)
	@cargo bench --locked --profile ci --bench releases

lint: tools own ## Checks format, clippy's and rustc's warnings, licences and known vulnerabilities
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	@cargo deny --version >/dev/null 2>&1 || { echo "lint: licences and vulnerabilities were not checked, since there is no cargo-deny:" \
	  "run \`cargo install --locked cargo-deny\` and then this again" >&2; exit 1; }
	cargo deny --locked check

bench: bed own ## Measures against floors and peers, with optimised builds (the first time: some 10 minutes more)
	@SECONDS=0; cargo build --locked --profile ci --bins --example bed; \
	cargo bench --locked --profile ci --bench figures; $(call took,bench)

clean: ## Removes what was built, for all clones: cargo's folders, and the parts of the test bed
	rm -rf "$(cache)"/target-* "$${PROMOTE_CACHE:-$(cache)}"/{bed,bed-mesh,tools}

needs:
	@tests/platform/needs.sh

# Cargo goes by the times of files: what a clone with younger files has built would be taken for what this one builds.
own:
	@if [[ "$$(cat "$$CARGO_TARGET_DIR/clone" 2>/dev/null)" != "$(CURDIR)" ]]; then \
	  touch src/lib.rs; mkdir -p "$$CARGO_TARGET_DIR"; echo "$(CURDIR)" >"$$CARGO_TARGET_DIR/clone"; fi

tools:
	@tests/testbed/tools.sh
