# syntax=docker/dockerfile:1

FROM rust:1.95.0-slim-bookworm AS build
# librdkafka and OpenSSL are compiled in.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ make perl pkg-config zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
# The image's own toolchain: rust-toolchain.toml would add rustfmt and clippy, which a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin sfbridge \
 && install -D target/release/sfbridge /out/sfbridge

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin sfbridge
COPY --from=build /out/sfbridge /usr/local/bin/sfbridge
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 9400
# SIGTERM drains; give it longer than bridge.shutdown_timeout.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/sfbridge"]
CMD ["run", "--config", "/etc/sfbridge/sfbridge.yaml"]
