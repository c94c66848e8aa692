//! The manifests of an example, as tests read them.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// A file of an example.
pub fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Every object of a file.
pub fn objects(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The objects of a kind.
pub fn of_kind(file: &str, kind: &str) -> Vec<Value> {
    let mut objects = objects(file);
    objects.retain(|object| object["kind"] == kind);
    assert!(!objects.is_empty(), "{file} has no {kind}");
    objects
}

/// The number of a key, which may be a text.
pub fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or(value.as_u64())
        .unwrap_or_else(|| panic!("{value} is not a number"))
}

/// The value of an environment variable of the only container of a Deployment.
pub fn variable(deployment: &Value, name: &str) -> String {
    let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    let all = env.as_array().expect("an environment");
    let found = all.iter().find(|variable| variable["name"] == name);
    let value = found.and_then(|variable| variable["value"].as_str());
    value.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

/// CPUs and GiB that the only container of a Deployment requests.
pub fn requests(deployment: &Value) -> (f64, f64) {
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let requests = &container["resources"]["requests"];
    (quantity(&requests["cpu"]), quantity(&requests["memory"]))
}

/// One of Kubernetes' quantities: `250m` of a CPU, memory in GiB.
pub fn quantity(value: &Value) -> f64 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no quantity"));
    let (number, unit) = match text.find(|c: char| c.is_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let number: f64 = number.parse().unwrap_or_else(|_| panic!("{text}"));
    match unit {
        "" | "Gi" => number,
        "m" => number / 1000.0,
        "Mi" => number / 1024.0,
        _ => panic!("{text} has another unit"),
    }
}
