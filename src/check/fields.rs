//! The fields of a ScaledObject or ScaledJob beside KEDA's custom resources: what the API server, KEDA
//! or the HPA refuses, and what the API server drops without a word.
//!
//! The metadata of triggers is left to `metadata.rs`.

use std::ops::Range;

use serde_json::Value;

use super::{
    codes,
    finding::Finding,
    schema::{Holds, KEDA, Schema},
};
use crate::{
    manifests::{File, NodeRef, shown},
    metadata::schema::nearest,
};

/// Adds what is found in an object, from its root.
pub fn check(
    schema: &Schema,
    file: &File,
    root: NodeRef<'_>,
    of: &str,
    findings: &mut Vec<Finding>,
) {
    let mut walk = Walk { file, of, findings };
    walk.map(schema, root.span(), root, "");
}

struct Walk<'a> {
    file: &'a File,
    /// `shop/worker`.
    of: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Walk<'_> {
    fn found(&mut self, code: &'static codes::Code, at: Range<usize>, path: &str, message: String) {
        let finding = Finding::new(code, self.file, at, path, message);
        self.findings.push(finding.of(self.of));
    }

    fn mended(&mut self, fix: String) {
        if let Some(finding) = self.findings.pop() {
            self.findings.push(finding.mended_by(fix));
        }
    }

    fn refused(&mut self, node: NodeRef<'_>, path: &str, message: String) {
        self.found(&codes::INVALID_FIELD, node.span(), path, message);
    }

    /// A value; `key` is where its name stands, or what stands for it in a list. `null` is the same as
    /// nothing, as the API server removes it.
    fn value(&mut self, schema: &Schema, key: Range<usize>, node: NodeRef<'_>, path: &str) {
        if node.is_null() {
            return;
        }
        match schema.holds {
            None => {}
            Some(Holds::Object) => self.map(schema, key, node, path),
            Some(Holds::Array) => self.list(schema, node, path),
            Some(Holds::String) => self.text(schema, node, path),
            Some(Holds::Integer) => self.integer(schema, node, path),
            Some(Holds::Boolean) => self.boolean(node, path),
        }
    }

    fn map(&mut self, schema: &Schema, key: Range<usize>, node: NodeRef<'_>, path: &str) {
        if !node.is_mapping() {
            return self.refused(node, path, "must be a map".to_owned());
        }
        if schema.properties.is_empty() {
            return;
        }
        let inner = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        for (name, _) in node.entries().filter(|(key, _)| !key.is_merge()) {
            if let Some(text) = name.text()
                && !schema.properties.contains_key(text)
            {
                self.unknown(schema, name, text, &inner(text));
            }
        }
        let is_given = |name: &&String| node.get(name).is_some_and(|value| !value.is_null());
        let missing = schema.required.iter().filter(|name| !is_given(name));
        let missing: Vec<String> = missing.map(|name| format!("`{name}`")).collect();
        if !missing.is_empty() {
            let message = format!("has no {}", missing.join(" and no "));
            self.found(&codes::INVALID_FIELD, key, path, message);
            self.mended(format!("add {}", missing.join(" and ")));
        }
        for (name, schema) in &schema.properties {
            if let Some((key, value)) = node.entry(name) {
                self.value(schema, key.span(), value, &inner(name));
            }
        }
    }

    fn unknown(&mut self, schema: &Schema, key: NodeRef<'_>, name: &str, path: &str) {
        let known = || schema.properties.keys().map(String::as_str);
        let near = nearest(name, known());
        let message = match near {
            Some(near) => format!("KEDA {KEDA} has no such field; did you mean `{near}`?"),
            None => {
                let known: Vec<&str> = known().collect();
                format!(
                    "KEDA {KEDA} has no such field here; there are {}",
                    known.join(", ")
                )
            }
        };
        self.found(&codes::UNKNOWN_FIELD, key.span(), path, message);
        if let Some(near) = near {
            self.mended(format!("write `{near}`"));
        }
    }

    fn list(&mut self, schema: &Schema, node: NodeRef<'_>, path: &str) {
        if node.is_mapping() || node.text().is_some() {
            return self.refused(node, path, "must be a list".to_owned());
        }
        let Some(schema) = &schema.items else {
            return;
        };
        for (index, item) in node.items().enumerate() {
            self.value(schema, item.span(), item, &format!("{path}[{index}]"));
        }
    }

    fn text(&mut self, schema: &Schema, node: NodeRef<'_>, path: &str) {
        let Some(text) = node.text() else {
            return self.refused(node, path, "must be a text".to_owned());
        };
        if node.is_not_text() {
            let message = "has no quotes: Kubernetes reads no text, and refuses the object";
            self.refused(node, path, message.to_owned());
            return self.mended("put the value into quotes".to_owned());
        }
        let allowed = || schema.allowed.iter().map(String::as_str);
        if schema.allowed.is_empty() || allowed().any(|allowed| allowed == text) {
            return;
        }
        let words: Vec<&str> = allowed().collect();
        self.refused(node, path, format!("must be one of {}", words.join(", ")));
        if let Some(near) = nearest(text, allowed()) {
            self.mended(format!("write `{near}`"));
        }
    }

    fn integer(&mut self, schema: &Schema, node: NodeRef<'_>, path: &str) {
        // A tag that does not fit its value is a problem of the document.
        let Ok(value) = node.value() else {
            return;
        };
        let least = schema.minimum.unwrap_or(i32::MIN.into());
        // Every number of the resources is an int32.
        let most = schema.maximum.unwrap_or(i32::MAX.into());
        let number = integer(&value, node);
        if number.is_some_and(|number| (least..=most).contains(&number)) {
            return;
        }
        let mut range = format!("from {least}");
        if let Some(most) = schema.maximum {
            range += &format!(" to {most}");
        }
        let quoted = value.as_str();
        let seconds = quoted.and_then(|text| humantime::parse_duration(text).ok());
        match (seconds, quoted.and_then(|text| text.parse::<i64>().ok())) {
            (Some(seconds), _) => {
                let text = quoted.unwrap_or_default();
                let message = format!("`{text}` must be a whole number {range}, without a unit");
                self.refused(node, path, message);
                self.mended(format!("write `{}`", seconds.as_secs()));
            }
            (None, Some(number)) => {
                let message = format!("\"{number}\" must be a number, without quotes");
                self.refused(node, path, message);
                self.mended(format!("write `{number}`"));
            }
            (None, None) => {
                let message = format!("{} must be a whole number {range}", shown(&value));
                self.refused(node, path, message);
            }
        }
    }

    fn boolean(&mut self, node: NodeRef<'_>, path: &str) {
        let is_one = match node.value() {
            Ok(Value::Bool(_)) => true,
            // kubectl reads YAML 1.1, in which `yes` is one.
            Ok(Value::String(text)) => {
                node.is_not_text() && text.starts_with(|c: char| c.is_ascii_alphabetic())
            }
            Ok(_) => false,
            Err(_) => return,
        };
        if !is_one {
            let message = "must be true or false, without quotes".to_owned();
            self.refused(node, path, message);
        }
    }
}

/// A whole number, as kubectl reads it: `30.0` is one, and in YAML 1.1 so are `0042` and `1_000`.
fn integer(value: &Value, node: NodeRef<'_>) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?;
            let is_whole = number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX);
            is_whole.then_some(number as i64)
        }),
        Value::String(text) if node.is_not_text() => {
            let digits = text.replace('_', "");
            let octal = digits.strip_prefix('0').filter(|rest| !rest.is_empty());
            match octal {
                Some(rest) => i64::from_str_radix(rest, 8).ok(),
                None => digits.parse().ok(),
            }
        }
        _ => None,
    }
}
