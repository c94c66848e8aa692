//! A file of the server's settings.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{codes, finding::Finding, stand_in};
use crate::{
    error::Error,
    manifests::{File, NodeRef},
    metadata::problem::{Problem, Problems},
    sampling::{NamedConnection, Registry},
    settings::{self, Settings, Wrong},
};

/// Whether a file looks like settings: no kind, and a section of them.
pub fn is_settings(file: &File) -> bool {
    let [document] = file.documents() else {
        return false;
    };
    let Ok(tree) = &document.content else {
        return false;
    };
    let root = tree.root();
    let sections = ["listen", "log", "engine", "connections", "kubernetes"];
    let has = |name: &str| root.get(name).is_some_and(NodeRef::is_mapping);
    root.get("kind").is_none() && sections.into_iter().any(has)
}

/// How many mistakes are looked for: each is found by reading without those before it.
const MOST: usize = 50;

/// Everything that is found in a file of settings.
pub fn check(file: &File, registry: &Registry) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in file.documents() {
        match &document.content {
            Ok(tree) => check_document(file, tree.root(), registry, &mut findings),
            Err(unreadable) => {
                let (at, reason) = (unreadable.at, unreadable.reason.as_str());
                findings.push(Finding::new(&codes::INVALID_YAML, file, at..at, "", reason));
            }
        }
    }
    findings
}

fn check_document(
    file: &File,
    root: NodeRef<'_>,
    registry: &Registry,
    findings: &mut Vec<Finding>,
) {
    let mut value = match root.value() {
        Ok(value) => value,
        Err(unreadable) => {
            let (at, reason) = (unreadable.at, unreadable.reason.as_str());
            findings.push(Finding::new(&codes::INVALID_YAML, file, at..at, "", reason));
            return;
        }
    };
    for _ in 0..MOST {
        match settings::load_text(Some((file.name(), &value.to_string())), []) {
            Ok(settings) => {
                for problem in problems(&settings, registry) {
                    findings.push(invalid(file, root, &problem.key, &said(&problem)));
                }
                open_connections(file, root, &settings, findings);
                return;
            }
            Err(Wrong { path, reason }) => {
                let path = with_unknown(&path, &reason);
                findings.push(invalid(file, root, &path, &reason));
                if !remove(&mut value, &path) {
                    return;
                }
            }
        }
    }
}

/// What is wrong with settings that can be read.
fn problems(settings: &Settings, registry: &Registry) -> Vec<Problem> {
    let mut problems = Problems::default();
    if let Some(limits) = problems.keep(settings.engine.limits().map_err(of_error)) {
        problems.keep(registry.check_limits(&limits));
    }
    problems.keep(settings.kubernetes.options().map_err(of_error));
    let (connections, stood_in) = sketch(settings);
    problems.keep(registry.check_connections(&connections));
    stand_in::without(problems, &stood_in)
}

/// The named connections as far as they are written, with the keys that files and variables have: those
/// are not read.
pub fn sketch(settings: &Settings) -> (BTreeMap<String, NamedConnection>, Vec<String>) {
    let mut stood_in = Vec::new();
    let connections = settings.connections.iter().map(|(name, connection)| {
        let connection = connection.sketch(&mut |written, key| {
            stood_in.push(written.to_owned());
            stand_in::value(key)
        });
        (name.clone(), connection)
    });
    let connections = connections.collect();
    (connections, stood_in)
}

fn open_connections(
    file: &File,
    root: NodeRef<'_>,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) {
    let (connections, _) = sketch(settings);
    let open = connections
        .iter()
        .filter(|(_, connection)| connection.namespaces.is_none());
    for (name, _) in open {
        let path = format!("connections.{name}");
        let at = key_at(root, &path).span();
        let message = "every namespace may use it";
        findings.push(Finding::new(
            &codes::OPEN_CONNECTION,
            file,
            at,
            &path,
            message,
        ));
    }
}

fn invalid(file: &File, root: NodeRef<'_>, path: &str, reason: &str) -> Finding {
    let at = key_at(root, path).span();
    let finding = Finding::new(&codes::INVALID_SETTINGS, file, at, path, reason);
    match reason.split_once("did you mean `") {
        Some((_, meant)) => {
            let meant = meant.split('`').next().unwrap_or_default();
            finding.mended_by(format!("write `{meant}`"))
        }
        None => finding,
    }
}

fn of_error(error: Error) -> Problem {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((path, reason)) => Problem::key(path, reason),
        None => Problem::key("settings", text),
    }
}

/// A problem without its key, which the finding has.
fn said(problem: &Problem) -> String {
    let text = problem.to_string();
    let rest = text.strip_prefix(problem.key.as_str());
    rest.and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(&text)
        .to_owned()
}

/// The path of an unknown setting, which is told of the section around it.
fn with_unknown(path: &str, reason: &str) -> String {
    let name = reason
        .strip_prefix("unknown setting `")
        .and_then(|rest| rest.split('`').next());
    match name {
        Some(name) if path == "settings" => name.to_owned(),
        Some(name) if path != name && !path.ends_with(&format!(".{name}")) => {
            format!("{path}.{name}")
        }
        _ => path.to_owned(),
    }
}

/// The key at a path, or the innermost one around it.
fn key_at<'a>(root: NodeRef<'a>, path: &str) -> NodeRef<'a> {
    let (mut key, mut node) = (root, root);
    for part in path.split('.') {
        let Some((found, value)) = node.entry(part) else {
            break;
        };
        (key, node) = (found, value);
    }
    key
}

fn remove(value: &mut Value, path: &str) -> bool {
    let (around, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut node = value;
    for part in around.split('.').filter(|part| !part.is_empty()) {
        match node.get_mut(part) {
            Some(found) => node = found,
            None => return false,
        }
    }
    let map = node.as_object_mut();
    map.is_some_and(|map| map.remove(name).is_some())
}
