//! A trigger's metadata as the server gets it, and what it would refuse of it.

use std::{collections::BTreeMap, ops::Range};

use serde_json::Value;

use super::{checker::Checker, codes, finding::Finding, stand_in};
use crate::{
    manifests::{File, NodeRef},
    metadata::{TriggerRef, problem::Problem},
    sampling::{Credentials, Spec},
};

/// The metadata of one trigger, with where it is written.
pub struct Metadata<'a> {
    pub file: &'a File,
    pub trigger: NodeRef<'a>,
    /// `shop/worker, trigger 0`.
    pub of: &'a str,
    pub texts: BTreeMap<String, String>,
    /// The keys whose values a variable has.
    stood_in: Vec<String>,
}

const FROM_ENV: &str = "FromEnv";

impl<'a> Metadata<'a> {
    /// Reads the values, and adds what is no text.
    pub fn read(
        file: &'a File,
        trigger: NodeRef<'a>,
        of: &'a str,
        written: &Value,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut metadata = Metadata {
            file,
            trigger,
            of,
            texts: BTreeMap::new(),
            stood_in: Vec::new(),
        };
        let Value::Object(entries) = written else {
            let message = "must be a map of texts";
            findings.push(metadata.finding(&codes::INVALID_FIELD, "metadata", message));
            return metadata;
        };
        for (key, value) in entries {
            let is_not_text = metadata.node().and_then(|node| node.get(key));
            let text = match value {
                Value::Null => continue,
                Value::Array(_) | Value::Object(_) => {
                    let message = "must be a text, not a list or a map";
                    findings.push(metadata.finding(&codes::INVALID_FIELD, key, message));
                    continue;
                }
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            if is_not_text.is_some_and(NodeRef::is_not_text) {
                let message = "has no quotes: Kubernetes reads no text, and refuses the object";
                findings.push(metadata.finding(&codes::UNQUOTED_VALUE, key, message));
            }
            if text.contains("{{") {
                let message = "holds a template that is not rendered";
                findings.push(metadata.finding(&codes::TEMPLATE, key, message));
                metadata.stood_in.push(key.clone());
                metadata.texts.insert(key.clone(), stand_in::value(key));
            } else if let Some(base) = key.strip_suffix(FROM_ENV) {
                metadata.stood_in.push(key.clone());
                metadata.texts.insert(key.clone(), stand_in::value(base));
            } else {
                metadata.texts.insert(key.clone(), text);
            }
        }
        metadata
    }

    /// A value, without the space around it; `None`: missing, blank, or not known here.
    pub fn get(&self, key: &str) -> Option<&str> {
        let known = !self.stood_in.iter().any(|name| name == key);
        let text = self.texts.get(key).filter(|_| known)?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Whether a key is given, here or by a variable.
    pub fn has(&self, key: &str) -> bool {
        self.texts.contains_key(key) || self.texts.contains_key(&format!("{key}{FROM_ENV}"))
    }

    /// A finding about one of its keys.
    pub fn finding(
        &self,
        code: &'static codes::Code,
        key: &str,
        message: impl Into<String>,
    ) -> Finding {
        Finding::new(code, self.file, self.bytes_of(key), key, message).of(self.of)
    }

    /// What the server would refuse; without that, what it would tell KEDA.
    pub fn parse(
        &self,
        checker: &Checker,
        object: (&str, &str),
        credentials: Credentials,
        findings: &mut Vec<Finding>,
    ) -> Option<Spec> {
        let (namespace, name) = object;
        let mut texts = self.texts.clone();
        // What a connection of unknown settings is for is not known, so that its keys may be missing.
        let named = texts.contains_key("connection") && !checker.knows_connections;
        if named {
            texts.remove("connection");
        }
        let request = TriggerRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            metadata: texts,
        };
        let credentials = if named {
            Credentials::Elsewhere
        } else {
            credentials
        };
        match checker.engine.check(&request, credentials) {
            Ok(spec) => Some(spec),
            Err(problems) => {
                for problem in stand_in::without(problems, &self.stood_in) {
                    findings.push(self.refused(&problem));
                }
                None
            }
        }
    }

    fn refused(&self, problem: &Problem) -> Finding {
        let Problem { key, value, reason } = problem;
        let is_zero = value.as_deref() == Some("0") && reason.contains("from 1");
        let code = match reason.starts_with("unknown key") {
            true => &codes::UNKNOWN_KEY,
            false if is_zero => &codes::ZERO_THRESHOLD,
            false => &codes::INVALID_METADATA,
        };
        // As the server would say it, but for the key, which the finding has.
        let text = problem.to_string();
        let message = text
            .strip_prefix(key.as_str())
            .and_then(|rest| rest.strip_prefix(": "));
        let finding = self.finding(code, key, message.unwrap_or(&text));
        match reason.split_once("did you mean `") {
            Some((_, meant)) => {
                let meant = meant.split('`').next().unwrap_or_default();
                finding.mended_by(format!("write `{meant}`"))
            }
            None => match self.get("backend") {
                Some(backend) => {
                    let fix = finding
                        .fix
                        .replace("keys BACKEND", &format!("keys {backend}"));
                    finding.mended_by(fix)
                }
                None => finding,
            },
        }
    }

    fn node(&self) -> Option<NodeRef<'a>> {
        self.trigger.get("metadata")
    }

    /// The bytes of a key; of one that is missing, those of the word `metadata`.
    fn bytes_of(&self, key: &str) -> Range<usize> {
        let entry = self.node().and_then(|node| {
            let env = format!("{key}{FROM_ENV}");
            node.entry(key).or_else(|| node.entry(&env))
        });
        let entry = entry.or_else(|| self.trigger.entry("metadata"));
        entry.map_or(self.trigger.span(), |(key, _)| key.span())
    }
}
