//! Alerts, dashboard and the page of metrics: each metric and label that they name is one that a
//! server has.

pub mod exposed;
mod labels;

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;
use testkit::{redis::available, require};

use crate::docs::{anchors, page};
use labels::{Labels, Metric, Metrics, labels_of};

const RULES: &str = "deploy/helm/backlog-scaler/files/rules.yaml";
const DASHBOARD: &str = "deploy/helm/backlog-scaler/files/dashboard.json";
const ALERTS: &str = "docs/how-to/alerts.md";

/// The rows of a table below a heading, as cells.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = page.split_once(heading).expect(heading);
    let rows = below.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        let row = row.trim_matches('|');
        row.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What docs/reference/metrics.md has of our own metrics: their labels by their name.
fn documented() -> BTreeMap<String, Labels> {
    let mut documented = BTreeMap::new();
    let mut same = Labels::new();
    for row in table(&page("docs/reference/metrics.md"), "# Metrics") {
        let words = row[1].split(", ").filter(|word| !word.is_empty());
        let mut labels = Labels::new();
        for word in words {
            match word {
                "the same" => labels.extend(same.clone()),
                word => _ = labels.insert(word.trim_start_matches("and ").to_owned()),
            }
        }
        if !row[1].starts_with("the same") {
            same = labels.clone();
        }
        for name in quoted(&row[0]) {
            if row[0].contains("(histogram)") {
                for ending in ["sum", "count"] {
                    documented.insert(format!("{name}_{ending}"), labels.clone());
                }
                let mut labels = labels.clone();
                labels.insert("le".to_owned());
                documented.insert(format!("{name}_bucket"), labels);
            } else {
                documented.insert(name.to_owned(), labels.clone());
            }
        }
    }
    documented
}

/// Metrics of others that alerts and the dashboard read, as the page has them.
fn of_others() -> Metrics {
    let rows = table(&page("docs/reference/metrics.md"), "## Metrics of others");
    let metrics = rows.iter().flat_map(|row| {
        let mut labels = BTreeMap::new();
        for label in row[1].split(", ") {
            let (name, values) = label.split_once(' ').unwrap_or((label, ""));
            let values = values.trim_matches(['(', ')']).split('/');
            labels.insert(name.to_owned(), values.map(str::to_owned).collect());
        }
        quoted(&row[0]).map(move |name| {
            let labels = labels.clone();
            (name.to_owned(), Metric { labels })
        })
    });
    metrics.collect()
}

async fn all_metrics() -> Metrics {
    let mut metrics = exposed::metrics().await;
    metrics.extend(of_others());
    metrics
}

fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&page(RULES)).unwrap();
    file["groups"][0]["rules"].as_array().unwrap().clone()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    let found = value.pointer(path).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("{path} is missing: {value:#}"))
}

/// The expression of an alert.
pub fn alert(name: &str) -> String {
    let rule = rules().into_iter().find(|rule| rule["alert"] == name);
    text(&rule.expect(name), "/expr").to_owned()
}

/// The expressions of a panel, for all objects.
pub fn panel(title: &str) -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&page(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let panel = panels.iter().find(|panel| panel["title"] == title);
    let targets = panel.expect(title)["targets"].as_array().unwrap();
    let expressions = targets
        .iter()
        .map(|target| interpolated(text(target, "/expr")));
    expressions.collect()
}

#[tokio::test]
async fn the_page_of_metrics_has_what_a_server_shows_and_nothing_else() {
    if !require(available(), "redis-server") {
        return;
    }
    let exposed = exposed::metrics().await;
    let exposed: BTreeMap<String, Labels> = exposed
        .into_iter()
        .map(|(name, metric)| (name, metric.names()))
        .collect();
    let documented = documented();
    let names =
        |metrics: &BTreeMap<String, Labels>| metrics.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&documented), names(&exposed));
    for (name, labels) in exposed {
        assert_eq!(documented[&name], labels, "{name}");
    }
}

#[tokio::test]
async fn alerts_are_about_metrics_that_exist_and_name_labels_that_they_have() {
    if !require(available(), "redis-server") {
        return;
    }
    let metrics = all_metrics().await;
    let label = Regex::new(r"\$labels\.([a-z_]+)").unwrap();
    for rule in rules() {
        let name = text(&rule, "/alert");
        let labels = labels_of(text(&rule, "/expr"), &metrics);
        let labels = labels.unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let labels = labels.expect("not a number");
        for annotation in ["summary", "description"] {
            let words = text(&rule, &format!("/annotations/{annotation}"));
            for used in label.captures_iter(words) {
                assert!(labels.contains(&used[1]), "{name}: {words}: {labels:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_dashboard_shows_metrics_that_exist_by_labels_that_they_have() {
    if !require(available(), "redis-server") {
        return;
    }
    let metrics = all_metrics().await;
    let dashboard: Value = serde_json::from_str(&page(DASHBOARD)).unwrap();
    let legend = Regex::new(r"\{\{([a-z_]+)\}\}").unwrap();
    let mut titles = BTreeSet::new();
    let mut checked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = text(panel, "/title");
        assert!(titles.insert(title), "two panels {title}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(!text(panel, "/description").is_empty(), "{title}");
        for target in panel["targets"].as_array().unwrap() {
            let labels = labels_of(&interpolated(text(target, "/expr")), &metrics);
            let labels = labels.unwrap_or_else(|problem| panic!("{title}: {problem}"));
            let labels = labels.expect("not a number");
            for used in legend.captures_iter(text(target, "/legendFormat")) {
                assert!(
                    labels.contains(&used[1]),
                    "{title}: {}: {labels:?}",
                    &used[1]
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        if let Some(expression) = annotation["expr"].as_str() {
            labels_of(expression, &metrics).unwrap();
        }
    }
    variables(&dashboard, &metrics);
}

/// What Grafana makes of an expression: all values of each variable.
fn interpolated(expression: &str) -> String {
    let known = ["$namespace", "$scaled_object", "$connection"];
    let text = known.iter().fold(expression.to_owned(), |text, variable| {
        text.replace(variable, ".*")
    });
    let text = text.replace("$__rate_interval", "5m");
    // "$1" of label_replace.
    assert!(!text.replace("\"$1\"", "").contains('$'), "{text}");
    text
}

fn variables(dashboard: &Value, metrics: &Metrics) {
    let call = Regex::new(r"^label_values\((.+), ([a-z_]+)\)$").unwrap();
    let mut found = Vec::new();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        found.push(text(variable, "/name"));
        if variable["type"] == "datasource" {
            continue;
        }
        let query = text(variable, "/query/query");
        assert_eq!(query, text(variable, "/definition"));
        let parts = call.captures(query).expect(query);
        let labels = labels_of(&interpolated(&parts[1]), metrics)
            .unwrap()
            .unwrap();
        assert!(labels.contains(&parts[2]), "{query}: {labels:?}");
    }
    assert_eq!(
        found,
        ["datasource", "namespace", "scaled_object", "connection"]
    );
}

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let page = page(ALERTS);
    let anchors = anchors(&page);
    let mut alerts = BTreeSet::new();
    for rule in rules() {
        let name = text(&rule, "/alert").to_owned();
        let severity = text(&rule, "/labels/severity");
        assert!(["critical", "warning"].contains(&severity), "{name}");
        let link = text(&rule, "/annotations/runbook_url");
        let (to, anchor) = link.split_once('#').unwrap();
        assert_eq!(to, ALERTS, "{name}");
        assert!(
            anchors.iter().any(|found| found == anchor),
            "{name}: {link}"
        );
        assert_eq!(anchor, name.to_lowercase());
        let section = page.split(&format!("## {name}\n")).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for part in ["**Means**", "**Look at**", "**Do**"] {
            assert!(section.contains(part), "{name}: {part}");
        }
        let said = format!("`{severity}`");
        assert!(section.contains(&said), "{name}: {said}");
        alerts.insert(name);
    }
    for heading in page
        .lines()
        .filter_map(|line| line.strip_prefix("## Backlog"))
    {
        assert!(alerts.contains(&format!("Backlog{heading}")), "{heading}");
    }
}

/// promtool runs them: scripts/charts.sh.
#[test]
fn each_alert_is_tested_firing_and_silent() {
    let tests: Value = serde_saphyr::from_str(&page("deploy/helm/tests/alerts.yaml")).unwrap();
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_array().unwrap() {
        for case in test["alert_rule_test"].as_array().unwrap() {
            let expected = case["exp_alerts"].as_array().unwrap();
            let cases = match expected.is_empty() {
                true => &mut silent,
                false => &mut fires,
            };
            cases.insert(text(case, "/alertname").to_owned());
        }
    }
    let alerts = rules()
        .iter()
        .map(|rule| text(rule, "/alert").to_owned())
        .collect();
    assert_eq!(fires, alerts);
    assert_eq!(silent, alerts);
}
