//! The rules for a ScaledObject or ScaledJob as a whole.

use std::collections::BTreeMap;

use super::{
    checker::Checker,
    codes,
    finding::Finding,
    trigger::{self, Checked},
};
use crate::manifests::{File, NodeRef, Object, Scaled, is_external};

/// KEDA's default is 30 s. Below this, most of what a poll sees is what the one before it saw: the HPA
/// itself decides every 15 s.
const SHORTEST_INTERVAL: u64 = 5;

/// Adds what is found in one object.
pub fn check(checker: &Checker, file: &File, object: &Object<'_>, findings: &mut Vec<Finding>) {
    let id = format!("{}/{}", object.namespace, object.name);
    let ours = object
        .triggers
        .iter()
        .any(|trigger| is_external(&trigger.trigger_type));
    let mut names = BTreeMap::new();
    let mut metrics = BTreeMap::new();
    for (index, trigger) in object.triggers.iter().enumerate() {
        let of = format!("{id}, trigger {index}");
        if let Some(name) = trigger.name.as_deref().filter(|name| !name.is_empty())
            && let Some(first) = names.insert(name, index)
        {
            let at = trigger.node.get("name").unwrap_or(trigger.node).span();
            let message = format!("`{name}` is the name of trigger {first} as well");
            let finding = Finding::new(&codes::DUPLICATE_TRIGGER_NAME, file, at, "name", message);
            findings.push(finding.of(&of));
        }
        if !is_external(&trigger.trigger_type) {
            continue;
        }
        let Checked { metric_name } = trigger::check(checker, file, object, index, &of, findings);
        // Of a named connection, only the name is known of where the same queue is read.
        let connection = trigger.metadata.get("connection");
        let connection = connection.and_then(|name| name.as_str());
        if let Some(name) = metric_name
            && let Some(first) = metrics.insert((name.clone(), connection), index)
        {
            let at = trigger.node.span().start;
            let message =
                format!("its metric is `{name}`, which is that of trigger {first} as well");
            let finding = Finding::new(&codes::SAME_METRIC_NAME, file, at..at, "metadata", message);
            findings.push(finding.of(&of));
        }
    }
    if !ours {
        return;
    }
    let spec = object.node.get("spec").unwrap_or(object.node);
    let mut found = |code, node: NodeRef<'_>, key: &str, message: String| {
        findings.push(Finding::new(code, file, node.span(), key, message).of(&id));
    };
    if let Some(node) = spec.get("pollingInterval")
        && let Some(seconds) = node.text().and_then(|text| text.parse::<u64>().ok())
        && seconds < SHORTEST_INTERVAL
    {
        let message =
            format!("`{seconds}` polls each trigger every {seconds} s; KEDA's default is 30");
        found(
            &codes::SHORT_POLLING_INTERVAL,
            key_of(spec, "pollingInterval"),
            "spec.pollingInterval",
            message,
        );
    }
    if object.scaled == Scaled::Object && spec.get("fallback").is_none() {
        let node = key_of(object.node, "spec");
        let message = "there is none: while no value can be had, the replicas stay as they are";
        found(
            &codes::NO_FALLBACK,
            node,
            "spec.fallback",
            message.to_owned(),
        );
    }
    if object.paused {
        let node = key_of(object.node, "metadata");
        let message = "an annotation pauses it: KEDA does not scale it by its triggers";
        found(
            &codes::PAUSED,
            node,
            "metadata.annotations",
            message.to_owned(),
        );
    }
}

fn key_of<'a>(node: NodeRef<'a>, name: &str) -> NodeRef<'a> {
    node.entry(name).map_or(node, |(key, _)| key)
}
