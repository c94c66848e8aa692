#!/bin/sh
# Sends everything that deploy/ renders to an API server, as a dry run there: charts-apply.sh TOOLS
#   KUBECONFIG, KUBECTL  the server, and the client to use; the CRDs of KEDA, of cert-manager and of
#                        the Prometheus operator must be there (charts-apply.sh --crds prints
#                        the folders that hold them, from Go's module proxy)
# The namespaces warn of what Pod Security's `restricted` forbids, and a warning is an error.
set -eu

PROMETHEUS_OPERATOR=v0.85.0
CERT_MANAGER=v1.21.2

if [ "${1:-}" = --crds ]; then
    folder() { # folder MODULE@VERSION
        (cd tests/keda && GOFLAGS=-mod=mod go mod download -json "$1") | sed -n 's/^.*"Dir": "\(.*\)",$/\1/p'
    }
    echo "$(folder "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS_OPERATOR")/example/prometheus-operator-crd"
    echo "$(folder "github.com/cert-manager/cert-manager@$CERT_MANAGER")/deploy/crds"
    exit
fi

tools=$1
kubectl=${KUBECTL:-kubectl}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
passed=0

# Those of releases and examples, and those in which a case of the chart has roles.
for namespace in keda shop mail autoscaling observability; do
    "$kubectl" create namespace "$namespace" --dry-run=client -o yaml |
        "$kubectl" apply --server-side --force-conflicts --filename - >/dev/null
    "$kubectl" label --overwrite namespace "$namespace" \
        pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted >/dev/null
done

accepted() { # accepted NAME: what is in $work/objects
    if "$kubectl" apply --server-side --dry-run=server --warnings-as-errors --filename "$work/objects" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        echo "ok     $1: $(wc -l <"$work/out") objects"
    else
        failed=$((failed + 1))
        cat "$work/out" >&2
        echo "FAILED $1" >&2
    fi
}

for case in deploy/helm/tests/cases/*.yaml; do
    "$tools/helm" template backlog-scaler deploy/helm/backlog-scaler --namespace keda --values "$case" >"$work/objects"
    accepted "chart, $(basename "$case" .yaml)"
done
for overlay in base overlays/tls overlays/prometheus overlays/kubernetes overlays/kubernetes-namespaces; do
    "$tools/kustomize" build "deploy/kustomize/$overlay" >"$work/objects"
    accepted "kustomize, $overlay"
done
keda=$(cd tests/keda && go mod download github.com/kedacore/keda/v2 && go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2)
mkdir "$work/keda"
cat "$keda/config/manager/manager.yaml" >"$work/keda/keda.yaml"
cp -r deploy/kustomize/components/sidecar-to-keda "$work/keda/component"
printf 'resources: [keda.yaml]\ncomponents: [component]\n' >"$work/keda/kustomization.yaml"
"$tools/kustomize" build "$work/keda" >"$work/objects"
accepted "sidecar of KEDA's operator"
cp deploy/sidecar/application.yaml "$work/objects"
accepted "sidecar of an application"
for example in deploy/examples/*.yaml; do
    grep -q '^apiVersion:' "$example" || continue
    cp "$example" "$work/objects"
    accepted "$example"
done
# The server does judge: a pod that runs as root is not accepted.
sed 's/runAsNonRoot: true/runAsNonRoot: false/' deploy/sidecar/application.yaml >"$work/objects"
if "$kubectl" apply --server-side --dry-run=server --warnings-as-errors --filename "$work/objects" >"$work/out" 2>&1; then
    failed=$((failed + 1))
    echo "FAILED a pod that may run as root was accepted" >&2
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
