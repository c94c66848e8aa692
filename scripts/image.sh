#!/bin/sh
# Builds the image with docker, podman or buildah, whichever is there: image.sh NAME:TAG
#   BASE=debootstrap  builds on a Debian that this script makes from Debian's packages and this
#                     machine's Rust, for where no registry of images can be reached; needs root,
#                     buildah and debootstrap
#   FEATURES          cargo features
#   OCI=FILE          also writes the image as an OCI archive (buildah)
set -eu

name=$1
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
revision=$(git describe --always --dirty 2>/dev/null || echo unknown)
builder=
for found in docker podman buildah; do
    if command -v $found >/dev/null 2>&1; then
        builder=$found
        break
    fi
done
[ "${BASE:-}" = debootstrap ] && builder=buildah

set -- --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
    --build-arg "FEATURES=${FEATURES:-}" --build-arg "SOURCE=${SOURCE:-unknown}" --tag "$name"

# base ROOT: a Debian with a C compiler and Rust, as the image localhost/backlog-scaler-build.
base() {
    rust=$(dirname "$(dirname "$(rustup which cargo)")")
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
        awk '/^URIs:/ { print $2; exit } /^deb / { print $2; exit }')
    if [ ! -e "$1/made" ]; then
        echo "Making a Debian with debootstrap; this takes 1 to 8 minutes …" >&2
        rm -rf "$1"
        debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates bookworm "$1" "$mirror" >&2
        mkdir -p "$1/usr/local"
        cp -r "$rust/bin" "$rust/lib" "$1/usr/local/"
        # How this machine's cargo and its certificates reach the registry.
        mkdir -p "$1/root/.cargo"
        [ ! -e "$HOME/.cargo/config.toml" ] || cp "$HOME/.cargo/config.toml" "$1/root/.cargo/"
        cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
        touch "$1/made"
    fi
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$1" / >/dev/null
    buildah commit --quiet --rm "$container" localhost/backlog-scaler-build >/dev/null
}

case $builder in
docker | podman)
    exec "$builder" build "$@" .
    ;;
buildah)
    # Without a container engine: no namespaces or overlays are needed.
    STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
    BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
    export STORAGE_DRIVER BUILDAH_ISOLATION
    if [ "${BASE:-}" = debootstrap ]; then
        buildah inspect --type image localhost/backlog-scaler-build >/dev/null 2>&1 || base target/image/rootfs
        set -- --pull-never --build-arg BUILD_BASE=localhost/backlog-scaler-build "$@"
    fi
    # The format that has a HEALTHCHECK; layers are kept, so that a second build reuses them.
    # Some versions do not see that a label's argument has changed, so the label is given as well.
    buildah build --format docker --layers --label "org.opencontainers.image.revision=$revision" "$@" .
    [ -z "${OCI:-}" ] || buildah push --quiet "$name" "oci-archive:$OCI"
    ;;
*)
    echo "docker, podman or buildah is missing; on Debian: apt-get install buildah" >&2
    exit 1
    ;;
esac
