//! One of KEDA's own triggers: where it is written, and what became of it.

use super::{
    authentications::Reference,
    kedas_keys::Scaler,
    plan::{FROM_ENV, Fate},
};
use crate::manifests::{Edits, File, NodeRef, Object, Position, Refused};

/// What became of one of KEDA's own triggers.
pub struct Outcome {
    /// `shop/worker`.
    pub object: String,
    pub index: usize,
    pub position: Position,
    /// The type that it had.
    pub was: &'static str,
    /// Each key with what became of it.
    pub fates: Vec<(String, Fate)>,
    /// The fields beside type and metadata, which stay.
    pub beside: Vec<String>,
    /// Why the `authenticationRef` is removed, if it is.
    pub reference_goes: Option<&'static str>,
    pub notes: Vec<String>,
    /// Why it stays as it is, each with its place; empty: it moved.
    pub refused: Vec<(Position, String)>,
    /// How often KEDA polls it, in seconds.
    pub polling_interval: u64,
    /// What it connects to, for people, once moved.
    pub connection: String,
    /// KEDA's own setting that saves memory of its Kafka scaler.
    pub full_metadata: bool,
}

impl Outcome {
    /// Adds a reason, unless it is known.
    pub fn refuse(&mut self, refusal: (Position, String)) {
        if !self.refused.contains(&refusal) {
            self.refused.push(refusal);
        }
    }
}

/// Where a trigger is.
pub struct Site<'a> {
    pub file: &'a File,
    pub object: &'a Object<'a>,
    /// Of the trigger in its object.
    pub index: usize,
    pub scaler: Scaler,
}

/// The field of a trigger that names its authentication.
pub const REFERENCE: &str = "authenticationRef";

/// KEDA's default (`ScaledObjectSpec`).
const POLLING_INTERVAL: u64 = 30;

impl<'a> Site<'a> {
    pub fn node(&self) -> NodeRef<'a> {
        self.object.triggers[self.index].node
    }

    pub fn id(&self) -> String {
        format!("{}/{}", self.object.namespace, self.object.name)
    }

    /// Whether the `authenticationRef` can be removed without changing anything else.
    pub fn can_remove_reference(&self) -> bool {
        let mut alone = Edits::of(self.file);
        let removed = alone.remove(self.node(), REFERENCE);
        removed.and_then(|()| alone.apply()).is_ok()
    }

    /// Whether another trigger differs in its authentication alone.
    pub fn has_twin(&self) -> bool {
        let reference = |node| Reference::of(node, &self.object.namespace);
        let own = &self.object.triggers[self.index];
        let mut all = self.object.triggers.iter();
        all.any(|other| {
            other.trigger_type == own.trigger_type
                && other.metadata == own.metadata
                && reference(other.node) != reference(own.node)
        })
    }

    pub fn outcome(&self) -> Outcome {
        let node = self.node();
        let at = node
            .entry("type")
            .map_or(node.span(), |(key, _)| key.span());
        let spec = self.object.node.get("spec");
        let interval = spec.and_then(|spec| spec.text_of("pollingInterval"));
        let metadata = node.get("metadata");
        let full = metadata.and_then(|metadata| metadata.text_of("fullMetadata"));
        Outcome {
            object: self.id(),
            index: self.index,
            position: self.file.position(at.start),
            was: self.scaler.name,
            fates: Vec::new(),
            beside: node
                .entries()
                .filter_map(|(key, _)| key.text())
                .filter(|key| !matches!(*key, "type" | "metadata"))
                .map(str::to_owned)
                .collect(),
            reference_goes: None,
            notes: Vec::new(),
            refused: Vec::new(),
            polling_interval: interval
                .and_then(|text| text.parse().ok())
                .filter(|seconds| *seconds > 0)
                .unwrap_or(POLLING_INTERVAL),
            connection: String::new(),
            full_metadata: full != Some("false"),
        }
    }

    /// The metadata in order, if all of it is written in one place.
    pub fn metadata(&self) -> Result<Vec<(String, String)>, Refused> {
        let node = self.node();
        let refused = |node: NodeRef<'_>, reason| Refused {
            at: node.span().start,
            reason,
        };
        let metadata = node.get("metadata");
        let metadata = metadata.ok_or(refused(node, "is missing"))?;
        if metadata.is_shared() {
            let reason = "is an alias, or has an anchor that aliases refer to; write it out first";
            return Err(refused(metadata, reason));
        }
        let mut texts = Vec::new();
        for (key, value) in metadata.entries() {
            let name = key.text().unwrap_or_default();
            if name == "<<" {
                return Err(refused(key, "merges another mapping; write it out first"));
            }
            match value.text() {
                _ if value.is_null() => {}
                Some(text) => texts.push((name.to_owned(), text.to_owned())),
                None => return Err(refused(value, "has a value that is not a string")),
            }
        }
        Ok(texts)
    }

    pub fn refusal(&self, key: Option<&str>, why: &str) -> (Position, String) {
        match key {
            Some(key) => self.refusal_at(key, format!("{key}: {why}")),
            None => self.refusal_at("type", why.to_owned()),
        }
    }

    /// A reason, with the place of a key of the metadata or of the trigger.
    pub fn refusal_at(&self, key: &str, why: String) -> (Position, String) {
        let node = self.node();
        let metadata = node.get("metadata");
        let names = [key.to_owned(), format!("{key}{FROM_ENV}")];
        let in_metadata = metadata.and_then(|metadata| {
            let mut names = names.iter();
            names.find_map(|name| metadata.entry(name))
        });
        let entry = in_metadata
            .or_else(|| node.entry(key))
            .or_else(|| node.entry("metadata"));
        let at = entry.map_or(node.span(), |(key, _)| key.span());
        (self.file.position(at.start), why)
    }
}
