#!/bin/sh
# Installs the client library of an example's workers into a virtual environment of its own.
#   scripts/example-python.sh NAME            installs what is missing; NAME is a folder of deploy/examples
#   scripts/example-python.sh NAME --where    prints the path of its Python
#   scripts/example-python.sh NAME --check    whether everything is there; installs nothing
# Versions and hashes are those of the example's requirements.txt. Needs python3 with venv; takes about
# twenty seconds the first time, and nothing when it is there already. Nothing outside of the cache is
# changed, except that of pip.
set -eu

requirements=$(cd "$(dirname "$0")/../deploy/examples/$1" && pwd)/requirements.txt
locked=$(cksum <"$requirements" | cut -d ' ' -f 1)
# Examples with the same requirements share one.
dir=${BACKLOG_SCALER_CACHE:-$HOME/.cache/backlog-scaler}/example-python-$locked

installed() {
    # A virtual environment outlives the Python that it was made with.
    [ -e "$dir/complete" ] && "$dir/bin/python" -c '' 2>/dev/null
}

case ${2:-} in
--where)
    echo "$dir/bin/python"
    exit
    ;;
--check)
    installed
    exit
    ;;
esac
installed && exit
command -v python3 >/dev/null || {
    echo "python3 is missing: scripts/packages.sh python installs it" >&2
    exit 1
}
echo "installing the client library of the workers of $1 into $dir (twenty seconds)"
rm -rf "$dir"
python3 -m venv "$dir"
"$dir/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r "$requirements"
touch "$dir/complete"
