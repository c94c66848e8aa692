#!/bin/sh
# krew's manifest for a release, on stdout: krew.sh SHA256SUMS VERSION URL HOMEPAGE
#   SHA256SUMS  of the release (make dist), with the archives of all platforms
#   URL         of the folder that holds the archives
set -eu

sums=$1 version=$2 url=$3 homepage=$4
template=$(dirname "$0")/../deploy/krew/backlog-scaler.yaml
text=$(cat "$template")
for target in $(sed -n 's/.*@SHA256_\(.*\)@.*/\1/p' "$template"); do
    archive=backlog-scaler-$version-$target.tar.gz
    sum=$(awk -v archive="$archive" '$2 == archive || $2 == "*" archive { print $1 }' "$sums")
    if [ -z "$sum" ]; then
        echo "krew.sh: $sums has no $archive" >&2
        exit 1
    fi
    text=$(printf '%s\n' "$text" | sed "s|@SHA256_$target@|$sum|")
done
printf '%s\n' "$text" | sed "/^#/d; s|@VERSION@|$version|g; s|@URL@|$url|g; s|@HOMEPAGE@|$homepage|g"
