//! What a server would refuse of moved triggers: as `check` finds it.

use serde_json::Value;

use super::{
    kedas_keys::Scaler,
    plan::Fate,
    rewrite::{Id, Migrator, Moved},
    site::{Outcome, REFERENCE, Site},
};
use crate::{
    check::{Checker, Finding, Severity, codes},
    manifests::{File, Found, Object, Position, is_external},
};

/// A trigger that cannot move, with the reason and its place.
type Refusal = (Id, Position, String);

const BROKEN: &str = "its change would not be what was meant, which is a mistake of `migrate`: please \
                      report it";

impl Migrator<'_> {
    /// Why triggers of a file cannot move: what was found before, what the server, KEDA or Kubernetes
    /// would refuse of the result, and a result that is not what was meant.
    pub fn check(
        &self,
        checker: &Checker,
        number: usize,
        file: &File,
        found: &Found<'_>,
        moved: &Moved,
    ) -> Vec<Refusal> {
        let after = File::new(file.name(), moved.text.as_str());
        let found_after = Found::of(&after);
        let errors: Vec<Finding> = errors(checker, &after);
        let tls = self.options.tls().is_some();
        let mut refused = Vec::new();
        let mut outcomes = moved.triggers.iter();
        for (o, object) in found.objects.iter().enumerate() {
            for (t, trigger) in object.triggers.iter().enumerate() {
                let Some(scaler) = Scaler::of(&trigger.trigger_type) else {
                    continue;
                };
                let Some(outcome) = outcomes.next() else {
                    return refused;
                };
                let site = Site {
                    file,
                    object,
                    index: t,
                    scaler,
                };
                let mut refuse = |(at, why)| refused.push(((number, o, t), at, why));
                if !outcome.refused.is_empty() {
                    outcome.refused.iter().cloned().for_each(refuse);
                    continue;
                }
                let new = found_after.objects.get(o);
                let Some(new) = new.filter(|new| is_as_meant(outcome, object, new, tls)) else {
                    refuse((outcome.position, BROKEN.to_owned()));
                    continue;
                };
                let span = new.triggers[t].node.span();
                let (start, end) = (after.position(span.start), after.position(span.end));
                let within = errors.iter().filter(|f| start <= f.start && f.start <= end);
                within.for_each(|finding| refuse(site.refusal_at(&finding.key, why(finding))));
            }
        }
        refused
    }
}

fn errors(checker: &Checker, after: &File) -> Vec<Finding> {
    let mut findings = checker.check(after, true);
    findings.retain(|finding| {
        // These were so before, and are notes.
        let notes = [&codes::UNQUOTED_VALUE, &codes::TEMPLATE];
        let is_note = notes.iter().any(|code| code.name == finding.code.name);
        finding.code.severity == Severity::Error && !is_note
    });
    findings
}

/// Whether a trigger became what it was to become, as its file is read now; `tls`: with `enableTLS`.
fn is_as_meant(outcome: &Outcome, before: &Object<'_>, after: &Object<'_>, tls: bool) -> bool {
    let (Some(before), Some(after)) = (
        before.triggers.get(outcome.index),
        after.triggers.get(outcome.index),
    ) else {
        return false;
    };
    let (old, new) = (&before.metadata, &after.metadata);
    let is_new = |name: &str| {
        let ours = ["scalerAddress", "backend", "connection"];
        let mut fates = outcome.fates.iter();
        ours.contains(&name)
            || tls && name == "enableTLS"
            || fates.any(|(_, fate)| matches!(fate, Fate::Becomes { key, .. } if *key == name))
    };
    let gone = |key: &str| is_new(key) || new[key].is_null();
    let each = outcome.fates.iter().all(|(key, fate)| match fate {
        Fate::Stays | Fate::Differs(_) => new[key] == old[key],
        Fate::Goes(_) | Fate::ToConnection => gone(key),
        Fate::Becomes {
            key: becomes,
            value,
            ..
        } => {
            let value = value.map_or_else(|| old[key].clone(), Value::from);
            gone(key) && new[*becomes] == value
        }
    });
    let has_tls = !tls || new["enableTLS"] == "true";
    let stays = outcome.reference_goes.is_none() && before.node.get(REFERENCE).is_some();
    each && has_tls
        && after.node.get(REFERENCE).is_some() == stays
        && is_external(&after.trigger_type)
        && new["backend"] == before.trigger_type.as_str()
}

fn why(finding: &Finding) -> String {
    let Finding {
        key, message, fix, ..
    } = finding;
    match fix.is_empty() {
        true => format!("{key}: {message}"),
        false => format!("{key}: {message}. {}", sentence(fix)),
    }
}

/// A fix as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
