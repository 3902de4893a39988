# syntax=docker/dockerfile:1

FROM rust:1.95.0-slim-bookworm AS build
# librdkafka and OpenSSL are compiled in.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ make perl pkg-config zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
# The image's own toolchain: rust-toolchain.toml would add rustfmt and clippy, which a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
# The caches make the second build a short one; what is installed comes from the sources above alone.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin sfbridge \
 && install -D --mode=0755 target/release/sfbridge /out/sfbridge

# A test makes this stage without an engine: what it installs and who it runs as are read from here.
FROM debian:bookworm-slim
# Not pinned: a rebuild is to bring the release's security updates.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sfbridge
COPY --from=build /out/sfbridge /usr/local/bin/sfbridge

ARG REVISION=unknown
LABEL org.opencontainers.image.title="sfbridge" \
      org.opencontainers.image.description="A bridge between Salesforce and Kafka: events exactly once, in order, under versioned contracts" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"

# By number, so that Kubernetes can see that it is not root. Nothing is written: the root may be read-only.
USER 10001:10001
ENV SFBRIDGE_CONFIG=/etc/sfbridge/sfbridge.yaml
EXPOSE 9400
# SIGTERM drains; give it longer than bridge.shutdown_timeout.
STOPSIGNAL SIGTERM
# Whether the process lives, not whether its routes do: some platforms restart what is unhealthy, and a halted route is
# mended by no restart.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/sfbridge", "health", "--live"]
ENTRYPOINT ["/usr/local/bin/sfbridge"]
CMD ["run"]
