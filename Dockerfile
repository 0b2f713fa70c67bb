# The daemon's image for container engines. `make image` makes the same one as an OCI layout without an engine: what is
# compiled and what goes in is said once for both, in deploy/image/compile.sh and deploy/image/stage.sh.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" --tag promoted:0.1.0 .

FROM docker.io/library/rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY deploy/image deploy/image
RUN deploy/image/compile.sh /binaries && deploy/image/stage.sh /binaries /image && install -d -m 700 /state

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="promoted" \
      org.opencontainers.image.source="https://github.com/promoted/promote" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/ /
# The one place where the daemon writes; a volume where the root is read-only.
COPY --from=build --chown=65532:65532 /state /var/lib/promoted
ENV PROMOTED_STATE_DIR=/var/lib/promoted
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/promoted"]
