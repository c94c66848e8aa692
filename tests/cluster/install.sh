#!/bin/sh
# Builds what the cluster tests run, from Go's module proxy, under pinned versions:
# etcd, kube-apiserver, kube-controller-manager and kubectl (kubernetes/go.mod), KEDA's operator and
# metrics adapter (../keda/go.mod), and KWOK, which plays the nodes (kwok/go.mod).
#   tests/cluster/install.sh            builds what is missing
#   tests/cluster/install.sh --where    prints the folder
#   tests/cluster/install.sh --check    whether everything is there; builds nothing
# Needs Go 1.26 or newer. On 2 cores the first time takes 12 to 20 minutes and 2 GB of memory, seconds
# when Go's build cache is warm, and nothing when the programs are there.
# Nothing outside of the folder is changed, except Go's own caches.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
pinned() { # pinned MODULE GO.MOD
    sed -n "s|^\(require\)\{0,1\}[[:space:]]*$1 v||p" "$here/$2" | head -n 1
}
kubernetes=$(pinned k8s.io/kubernetes kubernetes/go.mod)
keda=$(pinned github.com/kedacore/keda/v2 ../keda/go.mod)
kwok=$(pinned sigs.k8s.io/kwok kwok/go.mod)
dir=${BACKLOG_SCALER_CACHE:-$HOME/.cache/backlog-scaler}/cluster-$kubernetes-keda-$keda-kwok-$kwok

programs="etcd kube-apiserver kube-controller-manager kubectl keda-operator keda-adapter kwok"

installed() {
    for program in $programs; do
        [ -x "$dir/$program" ] || return 1
    done
    [ -d "$dir/crds" ]
}

case ${1:-} in
--where)
    echo "$dir"
    exit
    ;;
--check)
    installed
    exit
    ;;
esac
if installed; then
    echo "Kubernetes $kubernetes, KEDA $keda and KWOK $kwok are installed in $dir"
    exit
fi
if ! command -v go >/dev/null; then
    echo "Go is not installed (https://go.dev/dl); Kubernetes and KEDA are built with it" >&2
    exit 1
fi
mkdir -p "$dir"

build() { # build PROGRAM MODULE PACKAGE MINUTES LDFLAGS
    [ -x "$dir/$1" ] && return
    echo "building $1, about $4 of 2 cores the first time …"
    begun=$(date +%s)
    # Built aside and moved, so that an interrupted build is not taken for a program.
    (cd "$here/$2" && go build $paths -ldflags "-s -w $5" -o "$dir/$1.building" "$3")
    mv "$dir/$1.building" "$dir/$1"
    echo "built $1 in $(($(date +%s) - begun)) s"
}

# The version that a program reports; kubectl and KEDA compare it with the server's.
version=k8s.io/component-base/version
minor=${kubernetes#*.}
k8s="-X $version.gitVersion=v$kubernetes -X $version.gitMajor=${kubernetes%%.*} -X $version.gitMinor=${minor%%.*}"
paths=-trimpath
export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -mod=readonly" GOWORK=off
build etcd kubernetes go.etcd.io/etcd/server/v3 "a minute" ""
build kube-apiserver kubernetes k8s.io/kubernetes/cmd/kube-apiserver "4 minutes" "$k8s"
build kube-controller-manager kubernetes k8s.io/kubernetes/cmd/kube-controller-manager "3 minutes" "$k8s"
build kubectl kubernetes k8s.io/kubernetes/cmd/kubectl "a minute" "$k8s"
build kwok kwok sigs.k8s.io/kwok/cmd/kwok "2 minutes" ""
# As tests/keda is built, so that both share what Go compiled.
unset CGO_ENABLED
paths=
build keda-operator ../keda github.com/kedacore/keda/v2/cmd/operator "4 minutes" "-X github.com/kedacore/keda/v2/version.Version=$keda"
module=$(cd "$here/../keda" && go mod download github.com/kedacore/keda/v2 && go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2)
# The adapter's metrics page binds every address of the machine, whatever its flags: this copy of its
# main.go binds loopback, and is KEDA's in all else.
mkdir -p "$dir/adapter"
sed 's|metricsBindAddress := fmt.Sprintf(":%v"|metricsBindAddress := fmt.Sprintf("127.0.0.1:%v"|' \
    "$module/cmd/adapter/main.go" >"$dir/adapter/main.go"
grep -q '"127.0.0.1:%v"' "$dir/adapter/main.go" || {
    echo "KEDA $keda binds the adapter's metrics by other code than install.sh expects" >&2
    exit 1
}
build keda-adapter ../keda "$dir/adapter/main.go" "2 minutes" "-X github.com/kedacore/keda/v2/version.Version=$keda"

# KEDA's definitions, as its module has them.
rm -rf "$dir/crds" "$dir/crds.building"
mkdir "$dir/crds.building"
cp "$module"/config/crd/bases/*.yaml "$dir/crds.building"
chmod u+w "$dir"/crds.building/*
mv "$dir/crds.building" "$dir/crds"
echo "Kubernetes $kubernetes, KEDA $keda and KWOK $kwok are installed in $dir"
