#!/bin/sh
# Runs a system of deploy/examples on this machine: example.sh NAME
# Installs what it needs: the backend for real, the workers' client library, and builds the scaler.
# EXAMPLE_RATE, EXAMPLE_SECONDS, EXAMPLE_SPEED and EXAMPLE_WORKERS go over the example's local.yaml.
set -eu

name=${1:-}
folder=deploy/examples/$name
if [ -z "$name" ] || [ ! -e "$folder/local.yaml" ]; then
    echo "Say which: make example NAME=…, one of" deploy/examples/*/local.yaml >&2
    exit 2
fi
server=$(sed -n 's/^server: *//p' "$folder/local.yaml")
sets="build test-build python"
case $server in
redis) sets="$sets redis" ;;
kafka) sets="$sets java" ;;
esac
# shellcheck disable=SC2086 # names of sets, one a word
scripts/packages.sh $sets
[ "$server" = redis ] || "tests/servers/$server/install.sh"
scripts/example-python.sh "$name"
echo "building the scaler and the runner (about 5 minutes the first time)"
cargo build --quiet --workspace --bins
set -- "$folder" --program target/debug/backlog-scaler --python "$(scripts/example-python.sh "$name" --where)"
[ -z "${EXAMPLE_RATE:-}" ] || set -- "$@" --rate "$EXAMPLE_RATE"
[ -z "${EXAMPLE_SECONDS:-}" ] || set -- "$@" --seconds "$EXAMPLE_SECONDS"
[ -z "${EXAMPLE_SPEED:-}" ] || set -- "$@" --speed "$EXAMPLE_SPEED"
[ -z "${EXAMPLE_WORKERS:-}" ] || set -- "$@" --workers "$EXAMPLE_WORKERS"
exec target/debug/example "$@"
