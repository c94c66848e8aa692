#!/bin/sh
# Builds the documentation as a book: book.sh MDBOOK [FOLDER]
# The book has the folders of the repository, so that a link between pages leads to the same place in
# both: pages of docs, the READMEs of examples and backends, and the files that they link to.
set -eu

mdbook=$1
book=${2:-target/book}

cd "$(dirname "$0")/.."
mkdir -p "$book"
book=$(cd "$book" && pwd)
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT

cp -R docs deploy proto CHANGELOG.md CONTRIBUTING.md SECURITY.md "$source"
for file in src/backends/*/README.md src/simulation/mod.rs tests/it/recorded/run.csv; do
    mkdir -p "$source/$(dirname "$file")"
    cp "$file" "$source/$file"
done
find "$source" -name __pycache__ -prune -exec rm -r {} +
# The summary is at the top of the book, and its links begin there.
mv "$source/docs/book.toml" "$source"
sed 's#](\.\./#](/#; s#](\([^/][^)]*)\)#](docs/\1#; s#](/#](#' "$source/docs/SUMMARY.md" >"$source/SUMMARY.md"
rm "$source/docs/SUMMARY.md"

"$mdbook" build "$source" --dest-dir "$book"
# mdbook copies its first chapter there, where the links of a page in a folder lead nowhere.
cat >"$book/index.html" <<'HTML'
<!DOCTYPE html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=docs/index.html">
<title>backlog-scaler</title>
<a href="docs/index.html">backlog-scaler</a>
HTML
