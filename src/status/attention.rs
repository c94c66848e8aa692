//! What needs a person first.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{
    convert::{error_text, help_path, instance, refusal_text, status_of},
    id_text,
    list_query::{LONGEST_SEARCH, ListQuery, StatusFilter},
    lost_servers::{LostServer, LostServers},
    model::{About, Affected, Attention, ErrorText, MoreAttention, TriggerStatus},
    snapshot::Snapshot,
};
use crate::{
    error::{Error, Kind},
    sampling::{Budget, Inspected, InspectedConnection, Usage},
};

/// Entries of one kind: more would push the next kind out of sight, and the triggers can be listed.
const MOST: usize = 5;
/// Triggers that an entry names.
const NAMED: usize = 3;
/// Calls take an older sample rather than wait for longer than this (`sampling::query_slot`, PATIENCE).
const LONG_WAIT: Duration = Duration::from_millis(500);

/// Something that needs a person.
enum Found<'a> {
    Triggers(About, Alike<'a>),
    Lost(LostServer<'a>),
    Slow(&'a InspectedConnection, Budget),
    Limit(&'a Usage),
}

/// Triggers of one namespace with an equal error.
struct Alike<'a> {
    /// By object.
    first: &'a Inspected,
    error: &'a Error,
    triggers: Vec<&'a Inspected>,
    since: Instant,
}

/// What needs a person: the most urgent kind first, of each the newest first. And how much is left out.
pub fn of(snapshot: &Snapshot) -> (Vec<Attention>, Vec<MoreAttention>) {
    let lost = LostServers::of(snapshot);
    let mut all = Vec::new();
    for (about, status) in [
        (About::Failing, TriggerStatus::Failing),
        (About::Refused, TriggerStatus::Refused),
        (About::Stale, TriggerStatus::Stale),
    ] {
        // Those of a lost connection are counted with it.
        let of_status = snapshot
            .triggers
            .iter()
            .filter(|found| status_of(found) == status && lost.server_of(found).is_none());
        let alike = alike(of_status).into_iter();
        all.extend(alike.map(|alike| Found::Triggers(about, alike)));
    }
    all.extend(lost.servers.into_iter().map(Found::Lost));
    let slow = snapshot.connections.iter().filter_map(slow);
    all.extend(slow.map(|(found, budget)| Found::Slow(found, budget)));
    let limits = snapshot.usage.iter().filter(|usage| usage.is_near_limit());
    all.extend(limits.map(Found::Limit));
    // A card keeps its place while others come and go, and the page is refreshed.
    all.sort_by_cached_key(|found| (found.about(), Reverse(found.since()), found.name()));

    let (mut entries, mut more) = (Vec::new(), Vec::new());
    for kind in all.chunk_by(|a, b| a.about() == b.about()) {
        let shown = kind.iter().take(MOST);
        entries.extend(shown.map(|found| found.entry(snapshot)));
        let left = kind.len().saturating_sub(MOST);
        if left > 0 {
            more.push(MoreAttention {
                about: kind[0].about(),
                entries: left,
            });
        }
    }
    (entries, more)
}

/// The groups of triggers that have an error.
fn alike<'a>(triggers: impl Iterator<Item = &'a Inspected>) -> Vec<Alike<'a>> {
    let mut groups = BTreeMap::<_, Alike<'_>>::new();
    for found in triggers {
        let Some((error, since)) = error_of(found) else {
            continue;
        };
        let key = (&found.namespace, error.kind(), error.what(), error.next());
        let group = groups.entry(key).or_insert_with(|| Alike {
            first: found,
            error,
            triggers: Vec::new(),
            since,
        });
        let by_object = |found: &Inspected| (found.object.clone(), found.id);
        if by_object(found) < by_object(group.first) {
            group.first = found;
        }
        group.since = group.since.min(since);
        group.triggers.push(found);
    }
    groups.into_values().collect()
}

fn error_of(found: &Inspected) -> Option<(&Error, Instant)> {
    match &found.state {
        Ok(bound) => Some((bound.status.status.error()?, bound.status.since)),
        Err(refused) => Some((&refused.error, refused.since)),
    }
}

/// A connection whose requests wait for long.
fn slow(found: &InspectedConnection) -> Option<(&InspectedConnection, Budget)> {
    let budget = found.figures.budget?;
    (budget.expected_wait > LONG_WAIT).then_some((found, budget))
}

impl Found<'_> {
    fn about(&self) -> About {
        match self {
            Found::Triggers(about, _) => *about,
            Found::Lost(_) => About::Connection,
            Found::Slow(..) => About::Budget,
            Found::Limit(_) => About::Limit,
        }
    }

    fn since(&self) -> Option<Instant> {
        match self {
            Found::Triggers(_, alike) => Some(alike.since),
            Found::Lost(lost) => Some(lost.since),
            Found::Slow(..) | Found::Limit(_) => None,
        }
    }

    fn name(&self) -> String {
        match self {
            Found::Triggers(_, alike) => {
                format!("{}/{}", alike.first.namespace, alike.first.object)
            }
            Found::Lost(lost) => lost.first.address.clone(),
            Found::Slow(found, _) => found.address.clone(),
            Found::Limit(usage) => match &usage.namespace {
                Some(namespace) => format!("namespace {namespace}"),
                None => "the server".to_owned(),
            },
        }
    }

    fn entry(&self, snapshot: &Snapshot) -> Attention {
        let (id, connections, triggers, query, error) = match self {
            Found::Triggers(about, alike) => (
                Some(alike.first.id),
                0,
                alike.triggers.clone(),
                Some(alike.query(*about)),
                alike.error(),
            ),
            Found::Lost(lost) => (
                Some(lost.first.id),
                lost.connections,
                lost.affected.clone(),
                Some(lost.query()),
                error_text(lost.error),
            ),
            Found::Slow(found, budget) => (
                Some(found.id),
                1,
                users(found, snapshot),
                Some(of_connection(found.id, None)),
                over_budget(found, budget),
            ),
            Found::Limit(usage) => (None, 0, Vec::new(), None, near_limit(usage, &self.name())),
        };
        Attention {
            about: self.about(),
            id: id.map(id_text),
            name: self.name(),
            triggers: triggers.len(),
            connections,
            affected: first_of(triggers),
            query: query.map(|query| query.text()),
            since: self.since().map(|since| snapshot.clock.text(since)),
            error,
        }
    }
}

impl Alike<'_> {
    fn error(&self) -> ErrorText {
        match &self.first.state {
            Err(refused) => refusal_text(refused),
            Ok(_) => error_text(self.error),
        }
    }

    /// Those of the namespace and status; of refused ones, those that are refused for this.
    fn query(&self, about: About) -> ListQuery {
        let refused = self.first.state.as_ref().err();
        let text = refused.map_or("", |refused| refused.error.what());
        let search = match text.len() <= LONGEST_SEARCH {
            true => text.to_owned(),
            false => String::new(),
        };
        ListQuery {
            search,
            namespace: Some(self.first.namespace.clone()).filter(|name| !name.is_empty()),
            status: Some(match about {
                About::Refused => StatusFilter::Refused,
                About::Stale => StatusFilter::Stale,
                _ => StatusFilter::Failing,
            }),
            ..ListQuery::default()
        }
    }
}

impl LostServer<'_> {
    /// The triggers with a problem that use it, by the connection's id or, if there are several, by the
    /// server's address.
    fn query(&self) -> ListQuery {
        let server = &self.first.server;
        let status = Some(StatusFilter::Problem);
        match self.has_one_id || server.len() > LONGEST_SEARCH {
            true => of_connection(self.first.id, status),
            false => ListQuery {
                search: server.clone(),
                status,
                ..ListQuery::default()
            },
        }
    }
}

fn of_connection(id: u64, status: Option<StatusFilter>) -> ListQuery {
    ListQuery {
        connection: Some(id),
        status,
        ..ListQuery::default()
    }
}

/// The triggers of a connection.
fn users<'a>(connection: &InspectedConnection, snapshot: &'a Snapshot) -> Vec<&'a Inspected> {
    let all = snapshot.triggers.iter();
    all.filter(|found| instance(found) == Some(connection.instance))
        .collect()
}

fn first_of(mut triggers: Vec<&Inspected>) -> Vec<Affected> {
    triggers.sort_by_key(|found| (&found.namespace, &found.object, found.id));
    let first = triggers.into_iter().take(NAMED);
    first
        .map(|found| Affected {
            id: id_text(found.id),
            namespace: found.namespace.clone(),
            object: found.object.clone(),
            measures: found
                .state
                .as_ref()
                .ok()
                .map(|bound| bound.trigger.measures()),
        })
        .collect()
}

fn over_budget(found: &InspectedConnection, budget: &Budget) -> ErrorText {
    let what = format!(
        "{}: {} requests wait for their turn, a new one for {:?}: the {} allows itself {:.1} a second",
        found.address, budget.waiting, budget.expected_wait, found.backend, budget.allowed
    );
    let next = "Raise freshFor, so that less is read, or requestsPerSecond of the connection.";
    exhausted(what, next)
}

fn near_limit(usage: &Usage, of: &str) -> ErrorText {
    let Usage {
        setting,
        used,
        limit,
        ..
    } = usage;
    let what = format!("{setting}: {of} uses {used} of {limit}");
    exhausted(what, &format!("Raise {setting}, or remove triggers."))
}

fn exhausted(what: String, next: &str) -> ErrorText {
    ErrorText {
        kind: Kind::Exhausted.label(),
        what,
        next: next.to_owned(),
        help: help_path(Kind::Exhausted),
    }
}
