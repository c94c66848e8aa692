#!/bin/sh
# Builds programs that tests and benchmarks call: tools.sh DIR NAME...
#   keda-judge  KEDA's own client and scalers (tests/keda); its first build takes 8 to 15 minutes
#   grpcurl     the command line that the README shows
#   cargo-deny  checks licences, bans and sources of dependencies
#   mdbook      builds the documentation as a book
#   cargo-cyclonedx  lists what is in the program
#   actionlint  checks the workflows
#   compose     checks deploy/compose (tests/compose)
#   dashboard   checks the dashboard by Grafana's schema (tests/dashboard)
#   panels      what panels of the dashboard show of recorded metrics (tests/promtool/panels)
#   promtool    tests the alerts (tests/promtool); its first build takes 3 minutes
#   helm        renders the chart
#   kustomize   renders the overlays
# Go keeps what it compiled, so a second build takes seconds; what cargo installs is kept in DIR.
set -eu

dir=$1
shift
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

GRPCURL_VERSION=v1.9.3
HELM_VERSION=v3.22.0
KUSTOMIZE_VERSION=v5.8.1
ACTIONLINT_VERSION=v1.7.12

CARGO_DENY_VERSION=0.20.2
MDBOOK_VERSION=0.5.4
CYCLONEDX_VERSION=0.5.9

need_go() {
    command -v go >/dev/null 2>&1 || {
        echo "go is missing: install Go 1.26 or newer (https://go.dev/dl), for what is written in Go." >&2
        exit 1
    }
}

# cargo_tool NAME VERSION TIME: cargo itself does nothing if that version is there.
cargo_tool() {
    # A subcommand of cargo has its version below its own name.
    { "$dir/bin/$1" --version || "$dir/bin/$1" "${1#cargo-}" --version; } 2>/dev/null | grep -qF "$2" && return
    echo "Building $1 $2; the first time takes $3 …" >&2
    cargo install --quiet --debug --locked --root "$dir" "$1@$2"
}

# go_tool PACKAGE VERSION LDFLAGS: nothing if that version is there.
go_tool() {
    need_go
    name=$(basename "${1%/v[0-9]*}")
    go version -m "$dir/$name" 2>/dev/null | grep -q "	mod	.*	$2	" && return
    echo "Building $name $2; the first time takes about a minute …" >&2
    GOBIN="$dir" go install -ldflags "${3:-}" "$1@$2"
}

for name in "$@"; do
    case $name in
    keda-judge)
        need_go
        echo "Building KEDA's client (tests/keda); the first time takes 8 to 15 minutes …" >&2
        (cd tests/keda && go build -o "$dir/keda-judge" .)
        ;;
    grpcurl)
        need_go
        [ -x "$dir/grpcurl" ] && "$dir/grpcurl" -version 2>&1 | grep -qF "$GRPCURL_VERSION" && continue
        echo "Building grpcurl $GRPCURL_VERSION …" >&2
        GOBIN="$dir" go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$GRPCURL_VERSION"
        ;;
    cargo-deny)
        cargo_tool cargo-deny "$CARGO_DENY_VERSION" "about 4 minutes"
        ;;
    mdbook)
        cargo_tool mdbook "$MDBOOK_VERSION" "about 3 minutes"
        ;;
    cargo-cyclonedx)
        cargo_tool cargo-cyclonedx "$CYCLONEDX_VERSION" "about 3 minutes"
        ;;
    helm)
        # Helm's own releases set the Kubernetes version that a chart sees without a cluster.
        k8s=helm.sh/helm/v3/pkg/chartutil.k8sVersion
        go_tool helm.sh/helm/v3/cmd/helm "$HELM_VERSION" "-X ${k8s}Major=1 -X ${k8s}Minor=36"
        ;;
    actionlint)
        go_tool github.com/rhysd/actionlint/cmd/actionlint "$ACTIONLINT_VERSION"
        ;;
    compose)
        need_go
        (cd tests/compose && go build -o "$dir/compose" .)
        ;;
    dashboard)
        need_go
        (cd tests/dashboard && go build -o "$dir/dashboard" .)
        ;;
    promtool)
        need_go
        [ -x "$dir/promtool" ] || echo "Building promtool (tests/promtool); the first time takes about 3 minutes …" >&2
        (cd tests/promtool && go build -o "$dir/promtool" github.com/prometheus/prometheus/cmd/promtool)
        ;;
    panels)
        need_go
        (cd tests/promtool && go build -o "$dir/panels" ./panels)
        ;;
    kustomize)
        go_tool sigs.k8s.io/kustomize/kustomize/v5 "$KUSTOMIZE_VERSION"
        ;;
    *)
        echo "tools.sh: unknown tool $name" >&2
        exit 2
        ;;
    esac
done
