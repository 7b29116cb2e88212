# syntax=docker/dockerfile:1

# The base images, pinned: a rebuild is made of the same ones. For newer ones, say which:
# --build-arg RUN_BASE=gcr.io/distroless/cc-debian12:nonroot
ARG BUILD_BASE=docker.io/library/rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1
ARG RUN_BASE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

# ---- build: a binary for Debian 12's C library, with link-time optimisation
FROM ${BUILD_BASE} AS build
WORKDIR /src
# Records the dependencies in the binary, where `cargo audit bin` and image scanners find them.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    cargo install --quiet --locked --version 0.7.7 cargo-auditable
ARG REVISION=unknown
COPY . .
# The caches outlive the layer, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    REVISION="${REVISION}" packaging/program.sh \
    && install -D -m 0755 target/dist/whatsapp-archiver /out/usr/local/bin/whatsapp-archiver \
    && install -d /out/etc/whatsapp-archiver /out/var/lib/whatsapp-archiver

# ---- run: the C library and the root certificates, no shell, no package manager
FROM ${RUN_BASE}

ARG RUN_BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="whatsapp-archiver" \
      org.opencontainers.image.description="Archives an organisation's WhatsApp items from TeleMessage into its mailboxes, exactly once" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${RUN_BASE}"

COPY --from=build /out/usr/local/bin/whatsapp-archiver /usr/local/bin/whatsapp-archiver
COPY --from=build /out/etc/whatsapp-archiver /etc/whatsapp-archiver
# The only writable path: the ledger, and staging if it is local. Everything else can be read-only.
COPY --from=build --chown=65532:65532 /out/var/lib/whatsapp-archiver /var/lib/whatsapp-archiver
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/whatsapp-archiver/

ENV WHATSAPP_ARCHIVER_CONFIG=/etc/whatsapp-archiver/config.toml
VOLUME ["/var/lib/whatsapp-archiver"]
EXPOSE 8080
USER 65532:65532
# SIGTERM lets copies under way finish; allow a minute before SIGKILL (`docker stop --time 60`).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/whatsapp-archiver", "health"]
ENTRYPOINT ["/usr/local/bin/whatsapp-archiver"]
CMD ["run"]
