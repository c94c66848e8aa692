#!/bin/sh
# Installs the job queues on Redis whose layouts tests compare with what their libraries say, under
# pinned versions: BullMQ 5 and 6 from npm (package-lock.json), Celery and RQ from PyPI
# (requirements.txt). Sidekiq is Debian's package ruby-sidekiq, which scripts/packages.sh installs.
#   tests/servers/redis-clients/install.sh            installs what is missing
#   tests/servers/redis-clients/install.sh --where    prints the folder
#   tests/servers/redis-clients/install.sh --check    whether everything is there; installs nothing
# Needs node, npm, and python3 with venv. Takes about 20 seconds and 60 MB the first time, and
# nothing when it is there already. Nothing outside of the folder is changed, except the caches of
# npm and pip.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
locked=$(cat "$here/package-lock.json" "$here/requirements.txt" | cksum | cut -d ' ' -f 1)
dir=${BACKLOG_SCALER_CACHE:-$HOME/.cache/backlog-scaler}/redis-clients-$locked

installed() {
    # A virtual environment outlives the Python that it was made with.
    [ -d "$dir/node_modules" ] && "$dir/venv/bin/python" -c 'import celery, rq' 2>/dev/null
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
    echo "BullMQ, Celery and RQ are installed in $dir"
    exit
fi
for program in npm node python3; do
    command -v $program >/dev/null || {
        echo "$program is missing: scripts/packages.sh redis-clients installs it" >&2
        exit 1
    }
done
echo "installing BullMQ, Celery and RQ into $dir (about 60 MB, 20 seconds)"
rm -rf "$dir"
mkdir -p "$dir"
# Nothing but node_modules and venv counts as installed, and each takes its place at once.
partial=$(mktemp -d "$dir/partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT
cp "$here/package.json" "$here/package-lock.json" "$partial"
# Without scripts: what a package would compile only makes it faster.
npm ci --prefix "$partial" --ignore-scripts --no-audit --no-fund --loglevel=error
# A virtual environment cannot be moved: its packages are checked by `installed` instead.
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    -r "$here/requirements.txt"
mv "$partial/node_modules" "$dir/node_modules"
echo "BullMQ, Celery and RQ are installed in $dir"
