//! A trigger's metadata as KEDA would send it: texts, with `…FromEnv` resolved.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::Error;

/// The environment that `…FromEnv` keys are resolved from.
pub struct Environment<'a> {
    pub get: &'a dyn Fn(&str) -> Variable,
    /// What to note of a key whose variable has no value.
    pub unset: &'static str,
}

/// An environment variable.
pub enum Variable {
    Value(String),
    Unset,
    /// It cannot be read, so that what KEDA sends is not known.
    Failed(Error),
}

/// Resolves the metadata of one trigger. No value appears in a note or problem: it may be a
/// secret, and so may the name of a variable, where the secret was written in its place.
pub struct Resolver<'a> {
    pub env: &'a Environment<'a>,
    /// Where the metadata is in its document.
    pub path: String,
    /// The trigger: `shop/orders, trigger 0`.
    pub of: String,
    pub notes: &'a mut Vec<String>,
    pub problems: &'a mut Vec<String>,
    /// Why the metadata are not known.
    pub failed: Option<Error>,
}

impl Resolver<'_> {
    /// What KEDA sends (`pkg/scalers/external_scaler.go`): a `…FromEnv` key carries the variable's
    /// value under its own name, and is left out if there is none.
    pub fn resolve(&mut self, map: Value) -> BTreeMap<String, String> {
        let mut metadata = BTreeMap::new();
        let Value::Object(entries) = map else {
            let path = &self.path;
            self.problems
                .push(format!("{path}: must be a map of texts"));
            return metadata;
        };
        for (key, value) in entries {
            let Some(text) = self.text(&key, value) else {
                continue;
            };
            if !key.ends_with("FromEnv") {
                metadata.insert(key, text);
                continue;
            }
            match (self.env.get)(&text) {
                Variable::Value(value) if !value.is_empty() => {
                    metadata.insert(key, value);
                }
                Variable::Value(_) | Variable::Unset => {
                    let reason = self.env.unset;
                    self.note(&format!("{key}: {reason}"));
                }
                Variable::Failed(error) => self.failed = Some(error.at(key)),
            }
        }
        if metadata.get("scalerAddress").is_none_or(String::is_empty) {
            self.note("scalerAddress: is missing, and without it KEDA refuses the trigger");
        }
        metadata
    }

    /// Adds a note about the trigger.
    pub fn note(&mut self, note: &str) {
        self.notes.push(format!("{}: {note}", self.of));
    }

    fn text(&mut self, key: &str, value: Value) -> Option<String> {
        let text = match value {
            Value::String(text) => return Some(text),
            // Kubernetes drops it.
            Value::Null => return None,
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                let path = &self.path;
                self.problems
                    .push(format!("{path}.{key}: must be a text, not a list or map"));
                return None;
            }
        };
        self.note(&format!(
            "{key}: needs quotes, as Kubernetes refuses metadata that is not a string; probe takes it as it is"
        ));
        Some(text)
    }
}
