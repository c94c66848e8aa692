//! Whether the cluster has an object as it is written.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{metadata::values::without_login, sampling::TypeKeys};

/// KEDA's operator writes an object again, and quantities in another spelling (`1000m` as `1`).
const WITH_QUANTITIES: [&str; 2] = ["jobTargetRef", "tolerance"];

/// Keys of a trigger that are KEDA's or ours, whatever the backend, and no secrets.
const OPEN: [&str; 3] = ["scalerAddress", "backend", "connection"];

/// The first difference between two specs, for people; `None`: there is none. Of the triggers it is any
/// difference; beside them, the API server and KEDA may have added defaults.
pub fn difference(file: &Value, cluster: &Value, keys: &[TypeKeys]) -> Option<String> {
    let triggers = |spec: &Value| spec["triggers"].as_array().cloned().unwrap_or_default();
    let (of_file, of_cluster) = (triggers(file), triggers(cluster));
    if of_file.len() != of_cluster.len() {
        let (here, there) = (of_file.len(), of_cluster.len());
        return Some(format!(
            "spec.triggers: {here} in the file, {there} in the cluster"
        ));
    }
    let mut pairs = of_file.iter().zip(&of_cluster).enumerate();
    let of_trigger = pairs.find_map(|(index, (here, there))| {
        let mut path = vec![format!("spec.triggers[{index}]")];
        let (here, there) = first(&mut path, here, there, true)?;
        let open = path.get(1).is_none_or(|key| key != "metadata")
            || path
                .get(2)
                .is_some_and(|key| is_open(key, &of_file[index], keys));
        Some(said(&path, here, there, open))
    });
    of_trigger.or_else(|| {
        let mut path = vec!["spec".to_owned()];
        let (here, there) = first(&mut path, file, cluster, false)?;
        Some(said(&path, here, there, true))
    })
}

/// The first difference, whose path is left in `path`. `both`: what only the cluster has is one too.
fn first<'a>(
    path: &mut Vec<String>,
    file: &'a Value,
    cluster: &'a Value,
    both: bool,
) -> Option<(&'a Value, &'a Value)> {
    match (file, cluster) {
        (Value::Object(here), Value::Object(there)) => {
            let mut names: BTreeSet<&String> = here.keys().collect();
            if both {
                names.extend(there.keys());
            }
            let is_triggers = path.len() == 1 && path[0] == "spec";
            names.into_iter().find_map(|name| {
                let skip =
                    WITH_QUANTITIES.contains(&name.as_str()) || is_triggers && name == "triggers";
                if skip {
                    return None;
                }
                path.push(name.clone());
                let found = first(path, &file[name], &cluster[name], both);
                if found.is_none() {
                    path.pop();
                }
                found
            })
        }
        (Value::Array(here), Value::Array(there)) if here.len() == there.len() => {
            let mut pairs = here.iter().zip(there).enumerate();
            pairs.find_map(|(index, (here, there))| {
                path.push(format!("[{index}]"));
                let found = first(path, here, there, both);
                if found.is_none() {
                    path.pop();
                }
                found
            })
        }
        _ if file == cluster || is_nothing(file) && is_nothing(cluster) => None,
        _ => Some((file, cluster)),
    }
}

/// KEDA's types leave out what is empty when the operator writes an object again (`omitempty`).
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.values().all(is_nothing),
    }
}

/// Whether the value of a key of a trigger may be shown: it is known, and no secret.
fn is_open(key: &str, trigger: &Value, keys: &[TypeKeys]) -> bool {
    let backend = trigger["metadata"]["backend"].as_str();
    let of = keys
        .iter()
        .filter(|keys| Some(keys.trigger_type) == backend);
    let mut known = of.flat_map(|keys| {
        let all = [&keys.query, &keys.connection, &keys.tls, &keys.common];
        all.into_iter().flatten()
    });
    OPEN.contains(&key) || known.any(|known| known.name == key && !known.secret)
}

fn said(path: &[String], file: &Value, cluster: &Value, open: bool) -> String {
    let path = path.join(".").replace(".[", "[");
    if !open {
        return format!("{path} differs");
    }
    format!(
        "{path}: {} in the file, {} in the cluster",
        shown(file),
        shown(cluster)
    )
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("`{}`", without_login(text)),
        Value::Object(_) => "a map".to_owned(),
        Value::Array(items) => format!("a list of {}", items.len()),
        other => format!("`{other}`"),
    }
}
