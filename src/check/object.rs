//! The rules for a ScaledObject or ScaledJob as a whole.

use std::collections::BTreeMap;

use super::{
    checker::Checker,
    codes,
    finding::Finding,
    trigger::{self, Checked},
    trigger_types::{self, Wrong},
};
use crate::manifests::{File, NodeRef, Object, Scaled, Trigger, is_external};

/// KEDA's default is 30 s. Below this, most of what a poll sees is what the one before it saw: the HPA
/// itself decides every 15 s.
const SHORTEST_INTERVAL: u64 = 5;

/// A name is the value of labels, which are no longer.
const LONGEST_LABEL: usize = 63;

/// Adds what is found in one object.
pub fn check(checker: &Checker, file: &File, object: &Object<'_>, findings: &mut Vec<Finding>) {
    let id = format!("{}/{}", object.namespace, object.name);
    let ours = object.triggers.iter().any(|trigger| {
        is_external(&trigger.trigger_type) || wrong_type(file, trigger, &id).is_some()
    });
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
        let meant = findings.len();
        findings.extend(wrong_type(file, trigger, &of));
        // One whose type is a slip is checked as what it was meant to be.
        let is_slip = findings[meant..]
            .iter()
            .any(|finding| finding.code.name == codes::UNKNOWN_TYPE.name);
        if !is_external(&trigger.trigger_type) && !is_slip {
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
        // 0 is refused.
        && (1..SHORTEST_INTERVAL).contains(&seconds)
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
    if object.scaled == Scaled::Object {
        refused_by_keda(object, spec, &mut found);
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

/// `shop/worker`, also of an object whose fields cannot be read.
pub fn id_of(node: NodeRef<'_>) -> String {
    let text = |field| {
        node.get("metadata")
            .and_then(|metadata| metadata.text_of(field))
    };
    format!(
        "{}/{}",
        text("namespace").unwrap_or("default"),
        text("name").unwrap_or("?")
    )
}

/// A type that is a slip of `external`, or one that does not read the scalerAddress.
fn wrong_type(file: &File, trigger: &Trigger<'_>, of: &str) -> Option<Finding> {
    let has_address = trigger.metadata.get("scalerAddress").is_some();
    let at = trigger.node.get("type").unwrap_or(trigger.node).span();
    let finding = |code, message: String| Finding::new(code, file, at, "type", message).of(of);
    match trigger_types::wrong(&trigger.trigger_type, has_address)? {
        Wrong::NotExternal { message } => Some(finding(&codes::NOT_EXTERNAL, message)),
        Wrong::Unknown { message, near } => {
            let finding = finding(&codes::UNKNOWN_TYPE, message);
            Some(match near {
                Some(near) => finding.mended_by(format!("write `type: {near}`")),
                None => finding,
            })
        }
    }
}

/// What KEDA's own rules refuse beyond the types of the fields (`validateScalingModifiersFormula` and
/// `verifyName` of its `scaledobject_webhook.go`).
fn refused_by_keda(
    object: &Object<'_>,
    spec: NodeRef<'_>,
    found: &mut impl FnMut(&'static codes::Code, NodeRef<'_>, &str, String),
) {
    let advanced = spec.get("advanced");
    let modifiers = advanced.and_then(|advanced| advanced.get("scalingModifiers"));
    if let Some(modifiers) = modifiers
        && modifiers
            .text_of("formula")
            .is_some_and(|formula| !formula.is_empty())
        && modifiers.text_of("target").is_none_or(str::is_empty)
    {
        let message = "has a formula and no target".to_owned();
        let path = "spec.advanced.scalingModifiers";
        found(
            &codes::INVALID_FIELD,
            key_of(modifiers, "formula"),
            path,
            message,
        );
    }
    let hpa = advanced.and_then(|advanced| advanced.get("horizontalPodAutoscalerConfig"));
    let named = hpa
        .and_then(|hpa| hpa.text_of("name"))
        .filter(|name| !name.is_empty());
    let hpa = named.map_or_else(|| format!("keda-hpa-{}", object.name), str::to_owned);
    if object.name.len() > LONGEST_LABEL || hpa.len() > LONGEST_LABEL {
        let node = object.node.get("metadata").unwrap_or(object.node);
        let message = format!(
            "it or the name of its HPA, `{hpa}`, has more than the {LONGEST_LABEL} characters of a label"
        );
        found(
            &codes::INVALID_FIELD,
            key_of(node, "name"),
            "metadata.name",
            message,
        );
    }
}

fn key_of<'a>(node: NodeRef<'a>, name: &str) -> NodeRef<'a> {
    node.entry(name).map_or(node, |(key, _)| key)
}
