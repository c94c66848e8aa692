#!/bin/sh
# Checks the systems in deploy/examples that are more than one file: examples.sh TOOLS [--update]
#   renders what deploy/examples/exceptions/template makes, and compares it with what is committed;
#   --update writes it anew;
#   builds each kustomization, with each of its components too, and loads each compose file as compose does;
#   tests each example's rules with promtool, with the queries of its prometheus triggers among them, and parses
#   every expression of its dashboard, if promtool is there.
set -eu

tools=$1
update=${2:-}
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

exceptions=deploy/examples/exceptions
for template in "$exceptions"/template/templates/*.yaml; do
    file=$(basename "$template")
    # Kubernetes has no use for the compose file, so the chart holds it back unless it is asked for.
    if ! "$tools/helm" template exceptions "$exceptions/template" --set compose=true --show-only "templates/$file" >"$work/out"; then
        fail "exceptions, $file"
        continue
    fi
    {
        echo "# Written by scripts/examples.sh from template/values.yaml: change that, and run"
        echo "# scripts/examples.sh target/tools --update"
        grep -v '^# Source: ' "$work/out" | sed '1{/^---$/d}'
    } >"$work/$file"
    [ "$update" = --update ] && cp "$work/$file" "$exceptions/$file"
    if diff -u "$exceptions/$file" "$work/$file" >&2; then
        pass "exceptions, $file"
    else
        fail "exceptions, $file: scripts/examples.sh $tools --update writes it anew"
    fi
done

for kustomization in deploy/examples/*/kustomization.yaml; do
    folder=$(dirname "$kustomization")
    name=$(basename "$folder")
    if "$tools/kustomize" build "$folder" >"$work/objects" && grep -q '^kind: ScaledObject$' "$work/objects"; then
        pass "$name, $(grep -c '^kind: ' "$work/objects") objects"
    else
        fail "$name, kustomize"
    fi
    # What can be switched on, in a copy where it is.
    for component in "$folder"/*/kustomization.yaml; do
        grep -q '^kind: Component$' "$component" 2>/dev/null || continue
        part=$(basename "$(dirname "$component")")
        rm -rf "$work/with"
        cp -r "$folder" "$work/with"
        printf 'components:\n  - %s\n' "$part" >>"$work/with/kustomization.yaml"
        if "$tools/kustomize" build "$work/with" >"$work/$name-$part.objects" && ! cmp -s "$work/objects" "$work/$name-$part.objects"; then
            pass "$name with $part"
        else
            fail "$name with $part, kustomize"
        fi
    done
    if [ -e "$folder/compose.yaml" ]; then
        if "$tools/compose" "$folder/compose.yaml" >"$work/out"; then
            pass "$name, compose: $(wc -l <"$work/out") services"
        else
            fail "$name, compose"
        fi
    fi
done

# A PrometheusRule holds a rules file under `spec`, two spaces deep.
rules() { # rules FILE: that rules file
    sed -n '/^spec:$/,/^[^ #]/{ s/^  //p; }' "$1"
}
# A prometheus trigger's query and threshold as recorded metrics.
queries() { # queries OBJECTS: a rules file
    printf 'groups:\n  - name: queries\n    rules:\n'
    awk '
        function rule(record, expression) {
            printf "      - record: %s\n        labels: { scaled_object: %s }\n        expr: %s\n", record, object, expression
        }
        # The next line of a scalar that kustomize has folded.
        folded && /^        [^ ]/ { sub(/^ +/, ""); query = query " " $0; next }
        folded { rule("trigger_query", query); folded = 0 }
        /^---$/ { object = "" }
        /^  name: / { object = $2 }
        /^      query: / { sub(/^ *query: /, ""); query = $0; folded = 1 }
        /^      threshold: / { rule("trigger_threshold", $2) }
        END { if (folded) rule("trigger_query", query) }
    ' "$1" | sed 's/expr: "\([0-9.]*\)"$/expr: vector(\1)/'
}
promtool=$(command -v promtool || true)
[ -x "$tools/promtool" ] && promtool=$tools/promtool
if [ -z "$promtool" ]; then
    echo "skip   promtool is not installed (Debian's package prometheus)" >&2
fi
for test in deploy/examples/*/tests/rules.yaml; do
    [ -n "$promtool" ] || break
    folder=$(dirname "$(dirname "$test")")
    name=$(basename "$folder")
    mkdir "$work/$name"
    cp "$test" "$work/$name/test.yaml"
    for file in "$folder"/*.yaml; do
        grep -q '^kind: PrometheusRule$' "$file" && rules "$file" >"$work/$name/$(basename "$file")"
    done
    for objects in "$work/$name"-*.objects; do
        [ -e "$objects" ] && grep -q 'type: prometheus$' "$objects" && queries "$objects" >"$work/$name/queries.yaml"
    done
    if "$promtool" test rules "$work/$name/test.yaml" >"$work/out" 2>&1; then
        pass "$name, rules"
    else
        cat "$work/out" >&2
        fail "$name, rules"
    fi
    # promtool parses what is in a rules file: each expression of the dashboard becomes a rule.
    if [ -e "$folder/dashboard.json" ]; then
        {
            printf 'groups:\n  - name: dashboard\n    rules:\n'
            sed -n "s/^.*\"expr\": \"\(.*\)\".*$/\1/p" "$folder/dashboard.json" | sed 's/\\"/"/g' |
                awk '{ printf "      - record: panel:%d\n        expr: |\n          %s\n", NR, $0 }'
        } >"$work/$name/panels.yaml"
        count=$(grep -c 'record: panel:' "$work/$name/panels.yaml" || true)
        if [ "$count" -gt 0 ] && "$promtool" check rules "$work/$name/panels.yaml" >"$work/out" 2>&1; then
            pass "$name, $count expressions of the dashboard"
        else
            cat "$work/out" >&2
            fail "$name, expressions of the dashboard"
        fi
        # What a panel shows is recorded by these rules, or there is nothing to show.
        for metric in $(sed -n "s/^.*\"expr\": \"\(.*\)\".*$/\1/p" "$folder/dashboard.json" | grep -o "$name:[a-z_]*" | sort -u); do
            if grep -q "record: \"\{0,1\}$metric\"\{0,1\}\(,\|$\)" "$work/$name"/*.yaml; then
                pass "$name, $metric is recorded"
            else
                fail "$name, $metric is not recorded"
            fi
        done
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
