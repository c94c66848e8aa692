#!/bin/sh
# Builds programs that tests and benchmarks call: tools.sh DIR NAME...
#   keda-judge  KEDA's own client and scalers (tests/keda); its first build takes 8 to 15 minutes
#   grpcurl     the command line that the README shows
# Go keeps what it compiled, so a second build takes seconds.
set -eu

dir=$1
shift
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

GRPCURL_VERSION=v1.9.3

command -v go >/dev/null 2>&1 || {
    echo "go is missing: install Go 1.26 or newer (https://go.dev/dl), for KEDA's own client and grpcurl." >&2
    exit 1
}
for name in "$@"; do
    case $name in
    keda-judge)
        echo "Building KEDA's client (tests/keda); the first time takes 8 to 15 minutes …" >&2
        (cd tests/keda && go build -o "$dir/keda-judge" .)
        ;;
    grpcurl)
        [ -x "$dir/grpcurl" ] && "$dir/grpcurl" -version 2>&1 | grep -qF "$GRPCURL_VERSION" && continue
        echo "Building grpcurl $GRPCURL_VERSION …" >&2
        GOBIN="$dir" go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$GRPCURL_VERSION"
        ;;
    *)
        echo "tools.sh: unknown tool $name" >&2
        exit 2
        ;;
    esac
done
