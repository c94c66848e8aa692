//! Settings → the text of the manifest with them, and nothing else changed.

use std::fmt;

use crate::{
    cli::simulate::vary::FIELDS,
    error::{Error, Kind, Result},
    manifests::{Edits, File, Found, NodeRef, Object, Refused, Style},
};

/// The HPA's window for the way down, which has a place of its own.
pub const WINDOW: &str = "stabilizationWindowSeconds";
/// Where that is, below `spec`.
const WINDOW_PATH: [&str; 5] = [
    "advanced",
    "horizontalPodAutoscalerConfig",
    "behavior",
    "scaleDown",
    WINDOW,
];

/// A key or field with another value than the manifest has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    pub key: String,
    /// `None`: it is left out.
    pub value: Option<String>,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => write!(f, "without {}", self.key),
        }
    }
}

/// The trigger that is tuned, in its file.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub file: &'a File,
    /// `shop/worker`.
    pub object: &'a str,
    /// Which of the object's triggers.
    pub trigger: usize,
}

impl Site<'_> {
    /// The text of a key or field, if the manifest has it.
    pub fn value(&self, key: &str) -> Option<String> {
        let found = Found::of(self.file);
        let object = self.of(&found)?;
        let value = match path(key) {
            Some(path) => {
                let spec = object.node.get("spec");
                path.iter().fold(spec, |node, name| node?.get(name))
            }
            None => object
                .triggers
                .get(self.trigger)?
                .node
                .get("metadata")?
                .get(key),
        };
        value.and_then(NodeRef::text).map(str::to_owned)
    }

    /// The file with other settings.
    pub fn edited(&self, settings: &[Setting]) -> Result<String> {
        let found = Found::of(self.file);
        let mut edits = Edits::of(self.file);
        if let Some(object) = self.of(&found) {
            for Setting { key, value } in settings {
                let set = self.set(&mut edits, object, key, value.as_deref());
                set.map_err(|refused| self.refused(key, &refused))?;
            }
        }
        edits.apply().map_err(|refused| self.refused("", &refused))
    }

    fn of<'a>(&self, found: &'a Found<'a>) -> Option<&'a Object<'a>> {
        let objects = found.objects.iter();
        let mut named = objects.map(|object| (object, name(object)));
        let found = named.find(|(_, name)| name == self.object)?;
        Some(found.0)
    }

    fn set(
        &self,
        edits: &mut Edits<'_>,
        object: &Object<'_>,
        key: &str,
        value: Option<&str>,
    ) -> std::result::Result<(), Refused> {
        if let Some(path) = path(key) {
            return match (object.node.get("spec"), value) {
                (Some(spec), Some(value)) => set_field(edits, spec, path, value),
                _ => Ok(()),
            };
        }
        let trigger = object.triggers.get(self.trigger);
        let Some(metadata) = trigger.and_then(|trigger| trigger.node.get("metadata")) else {
            return Ok(());
        };
        match (metadata.get(key), value) {
            (Some(node), Some(value)) => edits.replace_scalar(node, value),
            (Some(_), None) => edits.remove(metadata, key),
            (None, Some(value)) => insert_last(edits, metadata, key, &Edits::quoted(value)),
            (None, None) => Ok(()),
        }
    }

    fn refused(&self, key: &str, refused: &Refused) -> Error {
        let line = self.file.position(refused.at).line;
        let key = match key {
            "" => String::new(),
            key => format!("{key} "),
        };
        let what = format!("{}:{line}: {key}{refused}", self.file.name());
        Error::new(Kind::Invalid, what, "")
    }
}

/// `shop/worker`.
pub fn name(object: &Object<'_>) -> String {
    format!("{}/{}", object.namespace, object.name)
}

/// Where a field of `spec` is; `None`: it is a key of the trigger.
fn path(key: &str) -> Option<&[&'static str]> {
    if key == WINDOW {
        return Some(&WINDOW_PATH);
    }
    let field = FIELDS.iter().position(|field| *field == key)?;
    Some(&FIELDS[field..=field])
}

/// Sets a field of `spec`. What is missing of its path is written on one line.
fn set_field(
    edits: &mut Edits<'_>,
    spec: NodeRef<'_>,
    path: &[&str],
    value: &str,
) -> std::result::Result<(), Refused> {
    let (mut mapping, mut rest) = (spec, path);
    while let [name, below @ ..] = rest {
        match (mapping.get(name), below) {
            (Some(node), []) => return edits.replace_raw(node, value),
            (Some(node), _) if node.entries().len() > 0 => (mapping, rest) = (node, below),
            // `behavior:` or `behavior: {}` has nothing to put it beside.
            (Some(node), below) => return edits.replace_raw(node, &flow(spec, below, value)),
            (None, below) => {
                let value = match below {
                    [] => value.to_owned(),
                    below => flow(spec, below, value),
                };
                return match mapping.get("triggers").is_some() {
                    true => insert_before_triggers(edits, mapping, name, &value),
                    false => insert_last(edits, mapping, name, &value),
                };
            }
        }
    }
    Ok(())
}

/// `{a: {b: value}}`, or the same as JSON where its neighbours are.
fn flow(beside: NodeRef<'_>, path: &[&str], value: &str) -> String {
    let first = beside.entries().next();
    let style = first.and_then(|(key, _)| key.style());
    let quote = match style {
        Some(Style::DoubleQuoted) => "\"",
        _ => "",
    };
    let nested = path.iter().rev();
    nested.fold(value.to_owned(), |inner, name| {
        format!("{{{quote}{name}{quote}: {inner}}}")
    })
}

/// Triggers come last, and are long.
fn insert_before_triggers(
    edits: &mut Edits<'_>,
    spec: NodeRef<'_>,
    key: &str,
    value: &str,
) -> std::result::Result<(), Refused> {
    let names = spec.entries().map(|(key, _)| key.text());
    let names: Vec<&str> = names.map(Option::unwrap_or_default).collect();
    let triggers = names.iter().position(|name| *name == "triggers");
    match triggers.and_then(|at| at.checked_sub(1)) {
        Some(before) => edits.insert_after(spec, names[before], key, value),
        None => edits.insert_before(spec, "triggers", key, value),
    }
}

fn insert_last(
    edits: &mut Edits<'_>,
    mapping: NodeRef<'_>,
    key: &str,
    value: &str,
) -> std::result::Result<(), Refused> {
    match mapping.entries().last() {
        Some((last, _)) => edits.insert_after(mapping, last.text().unwrap_or_default(), key, value),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
