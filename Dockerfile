# syntax=docker/dockerfile:1
# The program alone with the libraries it needs: no shell, no package manager, no root.
#   docker build -t registry.example/backlog-scaler:0.1.0 .
# BUILD_BASE is any Debian with Rust 1.95 or newer and a C compiler; its glibc goes into the image.
ARG BUILD_BASE=docker.io/library/rust:1.95-slim-bookworm

FROM ${BUILD_BASE} AS build
WORKDIR /src
# Cargo features, such as aws-msk-iam.
ARG FEATURES=
# The dependencies first, from empty sources: this layer changes with Cargo.lock alone.
COPY Cargo.toml Cargo.lock ./
COPY testkit/Cargo.toml testkit/
RUN mkdir -p src testkit/src benches/load \
    && touch src/lib.rs testkit/src/lib.rs \
    && for main in src/main.rs build.rs benches/hot_path.rs benches/load/main.rs; do echo 'fn main() {}' >"$main"; done \
    && cargo build --release --locked --bin backlog-scaler --features "$FEATURES"
COPY . .
RUN find src build.rs proto -type f -exec touch {} + \
    && cargo build --release --locked --bin backlog-scaler --features "$FEATURES"
# What is in the image: the program, the shared libraries that the loader finds for it, the
# authorities of the system, a user; and the packages' names for scanners.
RUN set -eu; root=/image; bin=target/release/backlog-scaler; \
    mkdir -p $root/etc/ssl/certs $root/var/lib/dpkg/status.d $root/usr/share/licenses/backlog-scaler; \
    cp $bin $root/backlog-scaler; \
    for lib in $(ldd $bin | grep -o '/[^ ]*'); do \
        mkdir -p "$root$(dirname "$lib")"; cp -L "$lib" "$root$lib"; \
    done; \
    cp -L /etc/ssl/certs/ca-certificates.crt $root/etc/ssl/certs/; \
    cp LICENSE $root/usr/share/licenses/backlog-scaler/; \
    echo 'nonroot:x:65532:65532:nonroot:/:/nonexistent' >$root/etc/passwd; \
    echo 'nonroot:x:65532:' >$root/etc/group; \
    echo 'hosts: files dns' >$root/etc/nsswitch.conf; \
    for package in libc6 libgcc-s1 ca-certificates; do \
        dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"; \
    done

FROM scratch
COPY --from=build /image /
USER 65532:65532
# KEDA's calls; metrics and health. Both listen on loopback until a setting says otherwise.
EXPOSE 9090 9091
ENTRYPOINT ["/backlog-scaler"]
CMD ["serve"]
# Of the address in BACKLOG_SCALER__LISTEN__GRPC, or the default.
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s CMD ["/backlog-scaler", "health"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="backlog-scaler" \
      org.opencontainers.image.description="KEDA external scaler for queues: Redis, Kafka and Temporal backlogs over shared connections" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
