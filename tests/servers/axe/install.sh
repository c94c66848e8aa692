#!/bin/sh
# Installs axe-core, which finds what a page lacks for people with a screen reader or weak eyes, under a
# pinned version (package-lock.json).
#   tests/servers/axe/install.sh            installs it if it is missing
#   tests/servers/axe/install.sh --where    prints the folder, which has axe.min.js
#   tests/servers/axe/install.sh --check    whether it is there; installs nothing
# Needs node and npm. Takes some seconds and 3 MB the first time. Nothing outside of the folder is
# changed, except npm's cache.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
locked=$(cksum <"$here/package-lock.json" | cut -d ' ' -f 1)
dir=${BACKLOG_SCALER_CACHE:-$HOME/.cache/backlog-scaler}/axe-$locked

case ${1:-} in
--where)
    echo "$dir"
    exit
    ;;
--check)
    [ -e "$dir/axe.min.js" ]
    exit
    ;;
esac
if [ -e "$dir/axe.min.js" ]; then
    echo "axe-core is installed in $dir"
    exit
fi
for program in npm node; do
    command -v $program >/dev/null || {
        echo "$program is missing: scripts/packages.sh browser installs it" >&2
        exit 1
    }
done
mkdir -p "$dir"
partial=$(mktemp -d "$dir/partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT
cp "$here/package.json" "$here/package-lock.json" "$partial"
npm ci --prefix "$partial" --ignore-scripts --no-audit --no-fund --loglevel=error
# The one file that pages need, at once.
mv "$partial/node_modules/axe-core/axe.min.js" "$dir/axe.min.js"
echo "axe-core is installed in $dir"
