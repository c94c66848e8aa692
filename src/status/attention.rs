//! What needs a person first.

use std::{collections::HashMap, time::Duration};

use super::{
    convert::{connection_id, error_text, help_path, status_of},
    id_text,
    model::{About, Attention, ErrorText, TriggerStatus},
    snapshot::Snapshot,
};
use crate::{
    error::Kind,
    sampling::{Health, Inspected, InspectedConnection, Usage},
};

/// Entries of one kind: a list of more is read by nobody, and the triggers can be filtered.
const MOST: usize = 20;
/// Calls take an older sample rather than wait for longer than this (`sampling::query_slot`, PATIENCE).
const LONG_WAIT: Duration = Duration::from_millis(500);

/// What needs a person, the most urgent first. Triggers of a lost connection are counted with it.
pub fn of(snapshot: &Snapshot) -> Vec<Attention> {
    let mut entries = Vec::new();
    let lost = lost_connections(snapshot);
    for (about, status) in [
        (About::Refused, TriggerStatus::Refused),
        (About::Failing, TriggerStatus::Failing),
        (About::Stale, TriggerStatus::Stale),
    ] {
        let of_status = |found: &&Inspected| {
            let id = connection_id(found);
            status_of(found) == status && !id.is_some_and(|id| lost.contains_key(&id))
        };
        let triggers = snapshot.triggers.iter().filter(of_status);
        let triggers = triggers.filter_map(|found| of_trigger(about, found, snapshot));
        entries.extend(triggers.take(MOST));
    }
    let connections = snapshot.connections.iter();
    let connections = connections.filter_map(|found| {
        let affected = lost.get(&found.id).copied().unwrap_or(0);
        of_connection(found, affected, snapshot)
    });
    entries.extend(connections.take(MOST));
    let usage = snapshot.usage.iter().filter(|usage| usage.is_near_limit());
    entries.extend(usage.take(MOST).map(of_limit));
    entries.sort_by_key(|entry| entry.about);
    entries
}

/// The lost connections, with the number of their triggers that are stale or fail.
fn lost_connections(snapshot: &Snapshot) -> HashMap<u64, usize> {
    let all = snapshot.connections.iter();
    let lost = all.filter(|found| matches!(found.figures.health, Health::Lost(_)));
    let mut lost: HashMap<u64, usize> = lost.map(|found| (found.id, 0)).collect();
    for found in &snapshot.triggers {
        if status_of(found) >= TriggerStatus::Stale
            && let Some(affected) = connection_id(found).and_then(|id| lost.get_mut(&id))
        {
            *affected += 1;
        }
    }
    lost
}

fn of_trigger(about: About, found: &Inspected, snapshot: &Snapshot) -> Option<Attention> {
    let (error, since) = match &found.state {
        Ok(bound) => (bound.status.status.error()?, bound.status.since),
        Err(refused) => (&refused.error, refused.since),
    };
    Some(Attention {
        about,
        id: Some(id_text(found.id)),
        name: format!("{}/{}", found.namespace, found.object),
        triggers: 1,
        since: Some(snapshot.clock.text(since)),
        error: error_text(error),
    })
}

fn of_connection(
    found: &InspectedConnection,
    affected: usize,
    snapshot: &Snapshot,
) -> Option<Attention> {
    let (about, error, since) = match (&found.figures.health, &found.figures.budget) {
        (Health::Lost(error), _) => {
            let since = snapshot.clock.text(found.figures.since);
            (About::Connection, error_text(error), Some(since))
        }
        (_, Some(budget)) if budget.expected_wait > LONG_WAIT => {
            let what = format!(
                "{}: {} requests wait for their turn, a new one for {:?}: the {} allows itself \
                 {:.1} a second",
                found.address, budget.waiting, budget.expected_wait, found.backend, budget.allowed
            );
            let next =
                "Raise freshFor, so that less is read, or requestsPerSecond of the connection.";
            (About::Budget, exhausted(what, next), None)
        }
        _ => return None,
    };
    Some(Attention {
        about,
        id: Some(id_text(found.id)),
        name: found.address.clone(),
        triggers: affected,
        since,
        error,
    })
}

fn of_limit(usage: &Usage) -> Attention {
    let Usage {
        setting,
        namespace,
        used,
        limit,
    } = usage;
    let of = match namespace {
        Some(namespace) => format!("namespace {namespace}"),
        None => "the server".to_owned(),
    };
    let what = format!("{setting}: {of} uses {used} of {limit}");
    Attention {
        about: About::Limit,
        id: None,
        name: of,
        triggers: 0,
        since: None,
        error: exhausted(what, &format!("Raise {setting}, or remove triggers.")),
    }
}

fn exhausted(what: String, next: &str) -> ErrorText {
    ErrorText {
        kind: Kind::Exhausted.label(),
        what,
        next: next.to_owned(),
        help: help_path(Kind::Exhausted),
    }
}
