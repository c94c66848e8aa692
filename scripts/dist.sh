#!/bin/sh
# What a release consists of, in target/dist: dist.sh TOOLS
#   backlog-scaler-VERSION-TARGET.tar.gz   the program, LICENSE, README.md, manual pages, completions
#   backlog-scaler-VERSION-TARGET.cdx.json its SBOM (CycloneDX)
#   backlog-scaler-VERSION.tgz             the chart; with CHART_IMAGE=NAME, that is its default image
#   SHA256SUMS                             of all of them
# and `cargo package`, which must be clean: everything that the crate needs is in it.
set -eu

tools=$1
dist=target/dist
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
target=$(rustc -vV | sed -n 's/^host: //p')
name=backlog-scaler-$version-$target
rm -rf "$dist"
mkdir -p "$dist/$name"

cargo build --release --locked
cp target/release/backlog-scaler LICENSE README.md "$dist/$name/"
"$dist/$name/backlog-scaler" man "$dist/$name/man"
mkdir "$dist/$name/completions"
for shell in bash zsh fish; do
    "$dist/$name/backlog-scaler" completions "$shell" >"$dist/$name/completions/backlog-scaler.$shell"
done
# The same bytes from the same commit: no names, times or order of this machine.
tar --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
    -C "$dist" -cf - "$name" | gzip -n9 >"$dist/$name.tar.gz"
rm -r "${dist:?}/$name"

# Of what is in the program: neither tests nor what only builds it.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0) \
    "$tools/bin/cargo-cyclonedx" cyclonedx --format json --spec-version 1.5 \
    --target "$target" --no-build-deps --override-filename sbom
# It names components by their folder here.
sed "s|path+file://$PWD|path+file:///src|g" sbom.json >"$dist/$name.cdx.json"
rm sbom.json testkit/sbom.json

chart=$(mktemp -d)
trap 'rm -rf "$chart"' EXIT
cp -r deploy/helm/backlog-scaler "$chart/"
if [ -n "${CHART_IMAGE:-}" ]; then
    sed -i "s|^  repository: \"\" .*|  repository: $CHART_IMAGE|" "$chart/backlog-scaler/values.yaml"
    grep -qF "  repository: $CHART_IMAGE" "$chart/backlog-scaler/values.yaml"
fi
"$tools/helm" package "$chart/backlog-scaler" --destination "$dist" >/dev/null

(cd "$dist" && sha256sum -- *.tar.gz *.cdx.json *.tgz >SHA256SUMS && sha256sum --check --quiet SHA256SUMS)

cargo package --locked --package backlog-scaler
ls -l "$dist"
