#!/bin/sh
# Installs Kafka 4.3.1 for the tests: its jars, from Maven's configured repository.
# Needs mvn and Java 17. Does nothing when it is installed already.
set -eu

version=4.3.1
here=$(cd "$(dirname "$0")" && pwd)
target=${BACKLOG_SCALER_CACHE:-$HOME/.cache/backlog-scaler}/kafka-$version

if [ -e "$target/libs" ]; then
    echo "Kafka $version is installed in $target"
    exit 0
fi

echo "installing Kafka $version into $target (about 55 MB)"
mkdir -p "$target"
# The jars take their place at once: an installation that was interrupted is none.
partial=$(mktemp -d "$target/partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT
mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$partial"
cp "$here/log4j2.properties" "$target/"
chmod 755 "$partial"
mv "$partial" "$target/libs"
trap - EXIT
echo "Kafka $version is installed in $target"
