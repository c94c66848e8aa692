// dashboard FILE RULES: checks a dashboard by Grafana's own schema: every key of the dashboard, of its
// panels' options and of its queries must be one that Grafana knows, with its type. Writes the
// expressions of its panels to RULES, as rules that promtool can check.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

func main() {
	file, rules := os.Args[1], os.Args[2]
	if err := run(file, rules); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
		os.Exit(1)
	}
}

func run(file, rules string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	panels, err := parse(text)
	if err != nil {
		return err
	}
	found, err := expressions(panels)
	if err != nil {
		return err
	}
	fmt.Println(len(panels), "panels,", len(found), "expressions")
	return write(rules, found)
}

// What Grafana puts in place of variables.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*", "$scaled_object", ".*", "$connection", ".*")

func expressions(panels []*dashboard.Panel) ([]string, error) {
	var found []string
	for _, panel := range panels {
		for _, target := range panel.Targets {
			query, ok := target.(prometheus.Dataquery)
			if pointer, is := target.(*prometheus.Dataquery); is {
				query, ok = *pointer, true
			}
			if !ok || query.Expr == "" {
				return nil, fmt.Errorf("panel %q: a query that is not for Prometheus: %T", *panel.Title, target)
			}
			found = append(found, variables.Replace(query.Expr))
		}
	}
	return found, nil
}

func write(file string, expressions []string) error {
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	type group struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	}
	rules := []rule{}
	for i, expression := range expressions {
		rules = append(rules, rule{fmt.Sprintf("panel:%d", i), expression})
	}
	// JSON is YAML.
	text, err := json.Marshal(map[string][]group{"groups": {{"dashboard", rules}}})
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

func parse(text []byte) ([]*dashboard.Panel, error) {
	plugins.RegisterDefaultPlugins()
	var strict, parsed dashboard.Dashboard
	// An empty list as an error: all is right.
	if err := strict.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		return nil, err
	}
	// What is parsed strictly has no panels.
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, err
	}
	if err := parsed.Validate(); err != nil && err.Error() != "" {
		return nil, err
	}
	var panels []*dashboard.Panel
	for _, either := range parsed.Panels {
		panel := either.Panel
		if panel == nil {
			continue
		}
		if _, untyped := panel.Options.(map[string]any); untyped || panel.Options == nil {
			return nil, fmt.Errorf("panel %q: no options, or its type %s is unknown", *panel.Title, panel.Type)
		}
		panels = append(panels, panel)
	}
	return panels, nil
}
