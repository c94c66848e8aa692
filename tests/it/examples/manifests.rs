//! What every directory of an example must have.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use super::{directories, name, root};

/// The documents of the resources that a kustomization lists.
fn resources(directory: &Path) -> Vec<Value> {
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).unwrap();
    let kustomization: Value = serde_saphyr::from_str(&read("kustomization.yaml")).unwrap();
    let files = kustomization["resources"].as_array().unwrap();
    let texts = files.iter().map(|file| read(file.as_str().unwrap()));
    let texts: Vec<String> = texts.map(|text| format!("\n{text}")).collect();
    let documents = texts.iter().flat_map(|text| text.split("\n---"));
    documents
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .filter(|value: &Value| !value.is_null())
        .collect()
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn every_worker_has_what_scaling_needs_of_it() {
    for directory in directories() {
        let all = resources(&directory);
        let budgets = of_kind(&all, "PodDisruptionBudget");
        let scaled = of_kind(&all, "ScaledObject");
        let deployments = of_kind(&all, "Deployment");
        assert!(!deployments.is_empty(), "{}", name(&directory));
        for deployment in deployments {
            let place = format!("{}: {}", name(&directory), deployment["metadata"]["name"]);
            let spec = &deployment["spec"];
            assert!(
                spec["replicas"].is_null(),
                "{place}: the ScaledObject has the replicas"
            );
            let pod = &spec["template"]["spec"];
            let container = &pod["containers"][0];
            for field in [
                "/resources/requests/cpu",
                "/resources/requests/memory",
                "/resources/limits/memory",
                "/readinessProbe",
                "/livenessProbe",
            ] {
                assert!(container.pointer(field).is_some(), "{place}: {field}");
            }
            let grace = pod["terminationGracePeriodSeconds"].as_u64();
            assert!(grace.is_some(), "{place}: terminationGracePeriodSeconds");
            let labels = &spec["selector"]["matchLabels"];
            let protects = |budget: &&Value| budget["spec"]["selector"]["matchLabels"] == *labels;
            assert!(budgets.iter().any(protects), "{place}: no budget");
            let target = |object: &&Value| {
                object["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
            };
            assert!(scaled.iter().any(target), "{place}: not scaled");
        }
        for object in scaled {
            let place = format!("{}: {}", name(&directory), object["metadata"]["name"]);
            let behavior = "/spec/advanced/horizontalPodAutoscalerConfig/behavior";
            assert!(object.pointer(behavior).is_some(), "{place}: no behavior");
            assert!(
                object.pointer("/spec/fallback").is_some(),
                "{place}: no fallback"
            );
        }
    }
}

/// Of the scaler's own metrics; those of others are not listed there.
#[test]
fn alerts_use_metrics_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap();
    for directory in directories() {
        let all = resources(&directory);
        let rules = of_kind(&all, "PrometheusRule");
        assert!(!rules.is_empty(), "{}: no alerts", name(&directory));
        let mut used = BTreeSet::new();
        for rule in rules {
            let text = rule.to_string();
            let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
            used.extend(
                words
                    .filter(|word| word.starts_with("backlog_scaler_"))
                    .map(str::to_owned),
            );
        }
        assert!(!used.is_empty(), "{}", name(&directory));
        for metric in used {
            assert!(
                page.contains(&format!("`{metric}`")),
                "{}: {metric}",
                name(&directory)
            );
        }
    }
}

#[test]
fn every_example_has_a_page_that_leads_to_it() {
    let page = std::fs::read_to_string(root().join("docs/how-to/examples.md")).unwrap();
    for directory in directories() {
        let name = name(&directory);
        assert!(directory.join("README.md").exists(), "{name}");
        let link = format!("../../deploy/examples/{name}/README.md");
        assert!(page.contains(&link), "{link}");
    }
}
