#!/bin/sh
# Checks what deploy/ renders, and the workflows: charts.sh TOOLS [--update]
#   lints the chart, renders it with every file of deploy/helm/tests/cases and compares the results
#   with deploy/helm/tests/golden; --update writes those anew;
#   renders it with every file of deploy/helm/tests/refused, which must fail with the text of the
#   file's first line;
#   renders deploy/kustomize and compares it with what the chart renders for the same case, and
#   the component for KEDA's operator with KEDA's own manifest;
#   renders what docs/how-to/install.md shows;
#   loads deploy/compose as compose does;
#   runs deploy/helm/tests/alerts.yaml with promtool, checks the dashboard by Grafana's schema, and has
#   promtool parse its expressions.
set -eu

tools=$1
update=${2:-}
# Not the cluster of whoever runs this.
KUBECONFIG=/dev/null
export KUBECONFIG
chart=deploy/helm/backlog-scaler
tests=deploy/helm/tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
passed=0

fail() {
    failed=$((failed + 1))
    echo "FAILED $1" >&2
}
pass() {
    passed=$((passed + 1))
    echo "ok     $1"
}

# helm shows the notes only to who installs: a copy of the chart renders them as an object.
cp -r "$chart" "$work/chart"
cat >"$work/chart/templates/notes.yaml" <<'TEMPLATE'
notes: |
  {{- include (print .Template.BasePath "/NOTES.txt") . | nindent 2 }}
TEMPLATE

notes() { # notes FILE: what helm says after an installation with these values
    "$tools/helm" template backlog-scaler "$work/chart" --namespace keda --values "$1" \
        --show-only templates/notes.yaml | sed -e '1,/^notes:/d' -e 's/^  //'
}

render() { # render FILE: the chart with these values, as a release in namespace keda
    "$tools/helm" template backlog-scaler "$chart" --namespace keda --values "$1"
}

for case in "$tests"/cases/*.yaml; do
    name=$(basename "$case" .yaml)
    if ! "$tools/helm" lint "$chart" --strict --quiet --values "$case" >"$work/lint" 2>&1; then
        cat "$work/lint" >&2
        fail "helm lint, $name"
    fi
    if ! render "$case" >"$work/$name.yaml"; then
        fail "helm template, $name"
        continue
    fi
    notes "$case" >"$work/golden.txt"
    # Without the dashboard itself, which is compared with its file below.
    sed '/^    {$/,/^    }$/d' "$work/$name.yaml" >"$work/golden.yaml"
    for kind in yaml txt; do
        file=$name.$kind
        [ "$update" = --update ] && cp "$work/golden.$kind" "$tests/golden/$file"
        if diff -u "$tests/golden/$file" "$work/golden.$kind" >&2; then
            pass "chart, $file"
        else
            echo "scripts/charts.sh $tools --update writes it anew." >&2
            fail "chart, $file"
        fi
    done
done
for golden in "$tests"/golden/*; do
    name=$(basename "$golden")
    [ -e "$tests/cases/${name%.*}.yaml" ] || fail "$golden has no case"
done

for case in "$tests"/refused/*.yaml; do
    name=$(basename "$case" .yaml)
    expected=$(sed -n '1s/^# //p' "$case")
    if render "$case" >"$work/out" 2>"$work/err"; then
        fail "refused, $name: it was rendered"
    elif grep -qF -- "$expected" "$work/err"; then
        pass "refused, $name"
    else
        cat "$work/err" >&2
        fail "refused, $name: the error does not say: $expected"
    fi
done

# Kustomize writes both in one order and style; then nothing may differ but the labels that say Helm,
# and what makes pods restart with their settings: an annotation there, the ConfigMap's name here.
normal() { # normal DIR RESOURCE: a kustomization in DIR of what is rendered in RESOURCE
    mkdir -p "$1"
    cp "$2" "$1/rendered.yaml"
    cat >"$1/kustomization.yaml" <<'YAML'
resources: [rendered.yaml]
sortOptions: { order: legacy }
YAML
    "$tools/kustomize" build "$1" | sed \
        -e '/^    app.kubernetes.io\/managed-by: Helm$/d' -e '/^    helm.sh\/chart: /d' \
        -e '/^      annotations:$/d' -e '/^        checksum\/settings: /d' \
        -e 's/^\( *name: backlog-scaler\)-[0-9a-z]\{10\}$/\1/'
}

# A kustomization reads no file outside its folder, so it has a copy of the rules.
rules=deploy/kustomize/components/prometheus/prometheusrule.yaml
if [ "$update" = --update ]; then
    sed '/^spec:$/q' "$rules" >"$work/rules"
    sed 's/^./  &/' "$chart/files/rules.yaml" >>"$work/rules"
    cp "$work/rules" "$rules"
fi

for pair in base:default overlays/tls:tls overlays/prometheus:prometheus overlays/kubernetes:kubernetes \
    overlays/kubernetes-namespaces:kubernetes-role; do
    overlay=${pair%:*}
    case=${pair#*:}
    if ! "$tools/kustomize" build "deploy/kustomize/$overlay" >"$work/overlay.yaml"; then
        fail "kustomize, $overlay"
        continue
    fi
    normal "$work/normal/chart" "$work/$case.yaml" >"$work/a"
    normal "$work/normal/overlay" "$work/overlay.yaml" >"$work/b"
    if diff -u --label "chart, $case" --label "kustomize, $overlay" "$work/a" "$work/b" >&2; then
        pass "kustomize, $overlay is the chart's $case"
    else
        fail "kustomize, $overlay is not the chart's $case"
    fi
done

# The component for KEDA's operator changes KEDA's own Deployment as recorded, and nothing else.
keda=$(cd tests/keda && go mod download github.com/kedacore/keda/v2 && go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2)
mkdir "$work/keda"
cp "$keda/config/manager/manager.yaml" "$work/keda/rendered.yaml"
chmod u+w "$work/keda/rendered.yaml"
cp -r deploy/kustomize/components/sidecar-to-keda "$work/keda/component"
echo 'resources: [rendered.yaml]' >"$work/keda/kustomization.yaml"
"$tools/kustomize" build "$work/keda" >"$work/a"
echo 'components: [component]' >>"$work/keda/kustomization.yaml"
"$tools/kustomize" build "$work/keda" >"$work/b"
diff "$work/a" "$work/b" >"$work/sidecar-to-keda.diff" || true
[ "$update" = --update ] && cp "$work/sidecar-to-keda.diff" deploy/kustomize/tests/
if diff -u deploy/kustomize/tests/sidecar-to-keda.diff "$work/sidecar-to-keda.diff" >&2; then
    pass "kustomize, sidecar-to-keda on KEDA's operator"
else
    fail "kustomize, sidecar-to-keda on KEDA's operator"
fi

# What docs/how-to/install.md shows, run as it is shown.
block() { # block HEADING: the first YAML block below it
    awk -v heading="## $1" '$0 == heading { on = 1 } inside && /^```$/ { exit } inside { print }
        on && /^```yaml$/ { inside = 1 }' docs/how-to/install.md
}
block Helm >"$work/shown.yaml"
if [ -s "$work/shown.yaml" ] && render "$work/shown.yaml" >/dev/null; then
    pass "install.md, values of the chart"
else
    fail "install.md, values of the chart"
fi
sed -n 's/^| .* | `\(tls: {.*}\|grafanaDashboard: {.*}\)` |$/\1/p; s/^| .* | `\(serviceMonitor: {.*}\)`, `\(.*\)` |$/\1\n\2/p' docs/how-to/install.md |
    grep -v '^$' >"$work/rows"
while read -r row; do
    printf 'image: { repository: registry.example/backlog-scaler }\n%s\n' "$row" >"$work/row.yaml"
    if render "$work/row.yaml" >/dev/null; then pass "install.md, $row"; else fail "install.md, $row"; fi
done <"$work/rows"
[ "$(wc -l <"$work/rows")" -ge 5 ] || fail "install.md, rows of values were not found"
mkdir -p "$work/shown/backlog-scaler"
cp -r deploy "$work/shown/backlog-scaler/"
cp deploy/kustomize/base/settings.yaml "$work/shown/settings.yaml"
echo 'engine: {}' >>"$work/shown/settings.yaml"
block Kustomize >"$work/shown/kustomization.yaml"
if "$tools/kustomize" build "$work/shown" >"$work/out" && grep -q 'engine: {}' "$work/out" &&
    grep -q 'image: registry.internal/backlog-scaler:0.1.0' "$work/out" && grep -q PrometheusRule "$work/out"; then
    pass "install.md, the kustomization"
else
    fail "install.md, the kustomization"
fi
# The table of versions: those that the tests have.
tested() { # tested NAME VERSION
    if grep -qF "| $1 | ${2#v} |" docs/how-to/install.md; then
        pass "install.md, $1 $2"
    else
        fail "install.md, $1: the tests have $2"
    fi
}
tested "KEDA (operator and metrics adapter; client and scalers)" "$(sed -n 's|.*github.com/kedacore/keda/v2 v|v|p' tests/keda/go.mod)"
tested Kafka "$(sed -n 's/^version=//p' tests/servers/kafka/install.sh)"
tested Temporal "$(sed -n 's/^version=//p' tests/servers/temporal/install.sh)"
tested Helm "$(sed -n 's/^HELM_VERSION=//p' scripts/tools.sh)"
tested kustomize "$(sed -n 's/^KUSTOMIZE_VERSION=//p' scripts/tools.sh)"

compose=deploy/compose/compose.yaml
if "$tools/compose" "$compose" >"$work/compose"; then
    pass "compose, $(wc -l <"$work/compose") services"
else
    fail "compose"
fi
# Versions and settings are those that the tests and the README have.
has() { # has TEXT SOURCE
    if grep -qF -- "$1" "$compose"; then
        pass "compose, $1"
    else
        fail "compose, $1: $2 has it"
    fi
}
has "apache/kafka:$(sed -n 's/^version=//p' tests/servers/kafka/install.sh)" tests/servers/kafka/install.sh
has "temporalio/temporal:$(sed -n 's/.*cmd\/temporal@v//p' README.md)" README.md
for property in $(grep -E '^(offsets|transaction|group)\.[a-z.]*=' tests/servers/kafka/run.sh); do
    variable=KAFKA_$(echo "${property%=*}" | tr 'a-z.' 'A-Z_')
    has "$variable: ${property#*=}" tests/servers/kafka/run.sh
done

# Alerts and dashboard. promtool is of the version that compose runs: v0.305.0 of the module is 3.5.0.
has "prom/prometheus:v$(sed -n 's/.*prometheus\/prometheus v0\.\([0-9]\)0*\([0-9][0-9]*\.[0-9]*\) .*/\1.\2/p' tests/promtool/go.mod)" tests/promtool/go.mod
promtool=$(cd "$tools" && pwd)/promtool
mkdir "$work/prometheus"
cp deploy/compose/prometheus.yaml "$chart/files/rules.yaml" "$tests/alerts.yaml" "$work/prometheus/"
dashboard=$chart/files/dashboard.json
if "$tools/dashboard" "$dashboard" "$work/prometheus/dashboard.yaml" >"$work/out" 2>&1; then
    pass "dashboard, $(cat "$work/out")"
else
    cat "$work/out" >&2
    fail "dashboard, $dashboard"
fi
for check in "check config prometheus.yaml" "check rules rules.yaml" "test rules alerts.yaml" "check rules dashboard.yaml"; do
    # shellcheck disable=SC2086 # words of a command
    if (cd "$work/prometheus" && "$promtool" $check) >"$work/out" 2>&1; then
        pass "promtool $check"
    else
        cat "$work/out" >&2
        fail "promtool $check"
    fi
done
sed -n '/^    {$/,/^    }$/s/^    //p' "$work/dashboard.yaml" >"$work/out"
if [ -s "$work/out" ] && diff -u "$dashboard" "$work/out" >&2; then
    pass "chart, the dashboard is the file"
else
    fail "chart, the dashboard is not the file"
fi
if "$tools/actionlint"; then
    pass "actionlint, workflows"
else
    fail "actionlint, workflows"
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
for key in version appVersion; do
    if grep -qx "$key: $version" "$chart/Chart.yaml"; then
        pass "chart, $key is the program's"
    else
        fail "chart, $key: Cargo.toml has $version"
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
