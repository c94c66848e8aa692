//! YAML that pages show: whole files, and pieces that a reader puts into one of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Map, Value, json};

use super::{
    blocks::{Block, blocks},
    load, page,
};

/// What a block is, by its keys.
enum Shown {
    Settings,
    /// Of the chart; its `settings` are checked as such.
    ChartValues,
    Kustomization,
    /// A ScaledObject as the page has it, or completed by what the page leaves out.
    Objects(Vec<Value>),
}

const SETTINGS: [&str; 6] = [
    "admin",
    "listen",
    "log",
    "engine",
    "connections",
    "kubernetes",
];
const KUSTOMIZATION: [&str; 4] = ["resources", "components", "images", "configMapGenerator"];
/// Fields of ScaledObjects above the triggers, in blocks that begin with them.
const SPEC: [&str; 1] = ["advanced"];

#[test]
fn every_yaml_block_is_what_its_reader_needs() {
    let known = KnownKeys::new();
    let mut objects = Vec::new();
    for block in blocks("yaml") {
        let value: Value =
            serde_saphyr::from_str(&block.text).unwrap_or_else(|error| panic!("{block}: {error}"));
        match shown(&block, value.clone(), &known) {
            Shown::Settings => _ = load(&block.text),
            Shown::ChartValues => chart_values(&block, &value),
            Shown::Kustomization => kustomization(&block, &value),
            Shown::Objects(candidates) => objects.push((block, candidates)),
        }
    }
    assert!(objects.len() > 25, "{}", objects.len());
    understood(objects);
}

fn shown(block: &Block, value: Value, known: &KnownKeys) -> Shown {
    if let Value::Array(triggers) = value {
        return Shown::Objects(vec![object(Value::Array(triggers))]);
    }
    let Value::Object(map) = value else {
        panic!("{block}: neither a map nor a list");
    };
    let keys: BTreeSet<&str> = map.keys().map(String::as_str).collect();
    let all_of = |set: &[&str]| keys.iter().all(|key| set.contains(key));
    if all_of(&KUSTOMIZATION) {
        return Shown::Kustomization;
    }
    // The chart's `kubernetes` has keys of its own beside those of the settings.
    let of_chart = map
        .get("kubernetes")
        .is_some_and(|k| k.get("secretNames").is_some());
    if all_of(&SETTINGS) && !of_chart {
        return Shown::Settings;
    }
    if keys.contains("kind") {
        return Shown::Objects(vec![Value::Object(map)]);
    }
    if let Some(triggers) = map.get("triggers") {
        return Shown::Objects(vec![object(triggers.clone())]);
    }
    if let Some(spec) = map.get("spec") {
        let fields: Vec<&String> = spec.as_object().unwrap().keys().collect();
        assert!(
            fields.iter().all(|f| SPEC.contains(&f.as_str())),
            "{block}: {fields:?}"
        );
        let mut whole = object(json!([trigger(known.completed(&Map::new()).remove(0))]));
        whole["spec"]["advanced"] = spec["advanced"].clone();
        return Shown::Objects(vec![whole]);
    }
    if of_chart || keys.contains("image") || keys.contains("networkPolicy") {
        return Shown::ChartValues;
    }
    let (metadata, metric_type) = match map.get("metadata") {
        Some(metadata) => (metadata.as_object().unwrap().clone(), map.get("metricType")),
        None => (map, None),
    };
    let completed = known.completed(&metadata);
    assert!(
        !completed.is_empty(),
        "{block}: no trigger type has all of these keys"
    );
    let objects = completed.into_iter().map(|metadata| {
        let mut trigger = trigger(metadata);
        if let Some(metric_type) = metric_type {
            trigger["metricType"] = metric_type.clone();
        }
        object(json!([trigger]))
    });
    Shown::Objects(objects.collect())
}

fn trigger(metadata: Map<String, Value>) -> Value {
    json!({ "type": "external", "metadata": metadata })
}

fn object(triggers: Value) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": { "name": "worker", "namespace": "shop" },
        "spec": { "scaleTargetRef": { "name": "worker" }, "triggers": triggers },
    })
}

/// The keys of each trigger type, as the program declares them.
struct KnownKeys(BTreeMap<String, BTreeSet<String>>);

impl KnownKeys {
    fn new() -> Self {
        let output = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
            .args(["keys", "--output", "json"])
            .output()
            .unwrap();
        let types: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let keys = types.iter().map(|of_type| {
            let groups = ["query", "connection", "tls", "common"];
            let keys = groups
                .iter()
                .flat_map(|group| of_type[group].as_array().unwrap());
            let names = keys.map(|key| key["name"].as_str().unwrap().to_owned());
            let name = of_type["backend"].as_str().unwrap().to_owned();
            (name, names.collect())
        });
        KnownKeys(keys.collect())
    }

    /// The metadata with what a trigger needs besides, for each type that has all its keys.
    fn completed(&self, metadata: &Map<String, Value>) -> Vec<Map<String, Value>> {
        let named = metadata.get("backend").and_then(Value::as_str);
        let types = self.0.iter().filter(|(name, keys)| {
            let known = |key: &String| {
                let key = key.strip_suffix("FromEnv").unwrap_or(key);
                keys.contains(key) || ["backend", "scalerAddress"].contains(&key)
            };
            named.is_none_or(|named| named == *name) && metadata.keys().all(known)
        });
        types.map(|(name, _)| complete(name, metadata)).collect()
    }
}

fn complete(backend: &str, metadata: &Map<String, Value>) -> Map<String, Value> {
    let mut all = metadata.clone();
    all.insert("backend".to_owned(), backend.into());
    // Pages write an ellipsis for a certificate.
    all.retain(|_, value| !value.as_str().is_some_and(|text| text.contains('…')));
    let mut add = |instead: &[&str], key: &str, value: &str| {
        if !instead.iter().any(|other| all.contains_key(*other)) {
            all.insert(key.to_owned(), value.into());
        }
    };
    let sentinel = backend.contains("sentinel");
    match backend.split('-').next() {
        Some("redis") if backend.contains("cluster") || sentinel => {
            add(
                &["addresses", "connection"],
                "addresses",
                "127.0.0.1:1,127.0.0.1:2",
            );
            if sentinel {
                add(
                    &["sentinelMaster", "connection"],
                    "sentinelMaster",
                    "mymaster",
                );
            }
        }
        Some("redis") => add(&["address", "host", "connection"], "address", "127.0.0.1:1"),
        Some("temporal") => {
            add(&["endpoint", "connection"], "endpoint", "127.0.0.1:1");
            add(&["taskQueue", "taskQueues"], "taskQueue", "orders");
        }
        Some("kafka" | "apache") => {
            add(
                &["bootstrapServers", "connection"],
                "bootstrapServers",
                "127.0.0.1:1",
            );
            add(&["consumerGroup"], "consumerGroup", "billing");
            add(&["topic", "topics"], "topic", "orders");
        }
        other => panic!("{other:?} is new: say here what its triggers need"),
    }
    if backend.ends_with("streams") {
        add(&["stream"], "stream", "orders");
        add(&["consumerGroup"], "consumerGroup", "billing");
    } else if backend.starts_with("redis") {
        add(&["listName", "lists", "layout"], "listName", "jobs");
    }
    all
}

/// Against backends that are not there: a trigger that is understood has a name for its metric.
fn understood(objects: Vec<(Block, Vec<Value>)>) {
    let mut settings = tempfile::NamedTempFile::new().unwrap();
    writeln!(settings, "connections:").unwrap();
    let mut documents = String::new();
    let mut env = BTreeMap::new();
    for (number, (_, candidates)) in objects.iter().enumerate() {
        for (other, candidate) in candidates.iter().enumerate() {
            let mut object = candidate.clone();
            object["metadata"]["name"] = json!(format!("block-{number}-{other}"));
            for trigger in object["spec"]["triggers"].as_array_mut().unwrap() {
                let metadata = trigger["metadata"].as_object_mut().unwrap();
                for (key, value) in metadata.iter().filter(|(key, _)| key.ends_with("FromEnv")) {
                    env.insert(value.as_str().unwrap().to_owned(), key.clone());
                }
                // A connection of its own for each, as they differ in what they are for.
                if metadata.contains_key("connection") {
                    let name = format!("of-{number}-{other}");
                    let backend = metadata["backend"].as_str().unwrap();
                    let address = match backend {
                        "temporal" => "endpoint: 127.0.0.1:1",
                        _ => "address: 127.0.0.1:1",
                    };
                    writeln!(settings, "  {name}: {{backend: {backend}, {address}}}").unwrap();
                    metadata.insert("connection".to_owned(), name.into());
                }
            }
            documents += &format!("---\n{object}\n");
        }
    }
    let results = probe(&documents, settings.path(), &env);
    for (number, (block, candidates)) in objects.iter().enumerate() {
        let mut problems = Vec::new();
        let fine = (0..candidates.len()).any(|other| {
            let problem = problem(&results[&format!("block-{number}-{other}")]);
            problems.extend(problem.clone());
            problem.is_none()
        });
        assert!(fine, "{block}: {problems:#?}");
    }
}

fn probe(
    documents: &str,
    settings: &std::path::Path,
    env: &BTreeMap<String, String>,
) -> BTreeMap<String, Value> {
    let mut probe = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .args(["probe", "-", "--output", "json", "--config"])
        .arg(settings)
        .envs(env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = probe.stdin.take().unwrap();
    input.write_all(documents.as_bytes()).unwrap();
    drop(input);
    let output = probe.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let response: Value = serde_json::from_slice(&output.stdout).expect(&errors);
    let objects = response["objects"].as_array().unwrap().clone();
    let named = objects.into_iter().map(|object| {
        let name = object["name"].as_str().unwrap().to_owned();
        (name, object)
    });
    named.collect()
}

fn problem(object: &Value) -> Option<String> {
    let triggers = object["triggers"].as_array().unwrap();
    let ours = triggers
        .iter()
        .filter(|trigger| trigger["status"] != "notOurs");
    let mut refused = ours.filter(|trigger| !trigger["metricName"].is_string());
    refused
        .next()
        .map(|trigger| trigger["error"]["message"].to_string())
}

/// Each key is one of the chart, as its schema has them.
fn chart_values(block: &Block, values: &Value) {
    let schema: Value =
        serde_json::from_str(&page("deploy/helm/backlog-scaler/values.schema.json")).unwrap();
    known_values(block, values, &schema);
    if let Some(settings) = values.get("settings") {
        load(&settings.to_string());
    }
}

fn known_values(block: &Block, values: &Value, schema: &Value) {
    let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for (key, value) in values {
        assert!(known.contains_key(key), "{block}: the chart has no {key}");
        known_values(block, value, &known[key]);
    }
}

/// What it takes from this repository is there.
fn kustomization(block: &Block, value: &Value) {
    let mut found = 0;
    for list in ["resources", "components"]
        .iter()
        .filter_map(|key| value.get(key))
    {
        for path in list.as_array().unwrap() {
            let path = path.as_str().unwrap();
            let Some((_, path)) = path.split_once("backlog-scaler/") else {
                continue;
            };
            page(&format!("{path}/kustomization.yaml"));
            found += 1;
        }
    }
    assert!(found > 0, "{block}");
}
