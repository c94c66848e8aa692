#!/bin/sh
# Installs the Temporal server that the tests run, from Go's module proxy, under a pinned version.
#   tests/servers/temporal/install.sh
# Needs Go 1.26 or newer. Takes about 7 minutes of CPU and 2 GB of memory the first time, and
# nothing when it is there already. Nothing outside of the folder that it names is changed, except
# Go's own caches.
set -eu

version=1.32.1
dir=${BACKLOG_SCALER_CACHE:-$HOME/.cache/backlog-scaler}/temporal-$version

if [ -x "$dir/server" ]; then
    echo "temporal server $version is installed: $dir/server"
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "temporal server $version: Go is not installed (https://go.dev/dl)" >&2
    exit 1
fi
echo "temporal server $version: building in $dir, about 7 minutes of CPU"
# Built aside and moved, so that an interrupted build is not taken for an installed server.
aside=$dir.building
mkdir -p "$aside"
CGO_ENABLED=0 GOBIN=$aside go install -trimpath -ldflags='-s -w' "go.temporal.io/server/cmd/server@v$version"
mkdir -p "$dir"
mv "$aside/server" "$dir/server"
rmdir "$aside"
echo "temporal server $version: installed $dir/server"
