//! What the engine knows at one moment, and the JSON of it.

use std::{collections::HashMap, sync::Arc};

use super::{
    attention,
    clock::Clock,
    commands::commands,
    help, id_text,
    list_query::{ListQuery, Sort, StatusFilter},
    model::{
        Budget, Command, Connection, ConnectionCounts, ConnectionHealth, ConnectionRef,
        Connections, Counts, ErrorText, Limit, MetadataKey, Overview, PastError, Point, Reply,
        Trigger, TriggerDetail, TriggerStatus, Triggers,
    },
};
use crate::{
    error::{Error, Kind},
    sampling::{
        self, Engine, Health, Inspected, InspectedConnection, Past, ShownKey, ShownValue, Status,
        Usage,
    },
};

/// What the engine knows at one moment.
pub struct Snapshot {
    pub(super) clock: Clock,
    pub(super) triggers: Vec<Inspected>,
    pub(super) connections: Vec<InspectedConnection>,
    pub(super) usage: Vec<Usage>,
}

impl Snapshot {
    /// Takes it. With ten thousand triggers this takes some milliseconds.
    pub fn take(engine: &Arc<Engine>) -> Self {
        Snapshot {
            clock: Clock::now(),
            triggers: engine.inspect_triggers(),
            connections: engine.inspect_connections(),
            usage: engine.usage(),
        }
    }

    /// The overview.
    pub fn overview(&self) -> Overview {
        Overview {
            version: env!("CARGO_PKG_VERSION"),
            at: self.at(),
            triggers: self.counts(),
            connections: self.connection_counts(),
            limits: self.usage.iter().map(limit).collect(),
            attention: attention::of(self),
        }
    }

    /// The triggers that a query selects.
    pub fn triggers(&self, query: &ListQuery) -> Triggers {
        let (selected, list) = self.page(query);
        Triggers {
            at: self.at(),
            selected,
            all: self.triggers.len(),
            page: query.page,
            pages: selected.div_ceil(query.per_page).max(1),
            triggers: list
                .into_iter()
                .map(|found| trigger_of(found, &self.clock))
                .collect(),
        }
    }

    /// How many triggers a query selects, and those of its page, in its order.
    pub(super) fn page(&self, query: &ListQuery) -> (usize, Vec<&Inspected>) {
        let selected = self.triggers.iter().filter(|found| selects(query, found));
        let mut selected: Vec<&Inspected> = selected.collect();
        selected
            .sort_by(|a, b| (&a.namespace, &a.object, a.id).cmp(&(&b.namespace, &b.object, b.id)));
        match (query.sort, query.descending) {
            (Sort::Object, false) => {}
            (Sort::Object, true) => selected.reverse(),
            (sort, descending) => selected.sort_by(|a, b| {
                let (a, b) = (sort_key(sort, a), sort_key(sort, b));
                match (a, b, descending) {
                    (Some(a), Some(b), false) => a.total_cmp(&b),
                    (Some(a), Some(b), true) => b.total_cmp(&a),
                    // What has no value comes last.
                    (a, b, _) => a.is_none().cmp(&b.is_none()),
                }
            }),
        }
        let first = (query.page - 1).saturating_mul(query.per_page);
        let page = selected.iter().skip(first).take(query.per_page).copied();
        (selected.len(), page.collect())
    }

    /// Every connection.
    pub fn connections(&self) -> Connections {
        let mut triggers = HashMap::<u64, usize>::new();
        for found in &self.triggers {
            if let Some(id) = connection_id(found) {
                *triggers.entry(id).or_default() += 1;
            }
        }
        let count = |id| triggers.get(&id).copied().unwrap_or(0);
        let all = self.connections.iter();
        let all = all.map(|found| self.connection(found, count(found.id)));
        Connections {
            at: self.at(),
            connections: all.collect(),
        }
    }

    /// The connections of one id.
    pub fn connections_of(&self, id: u64) -> Option<Connections> {
        let mut found = self.connections();
        let id = id_text(id);
        found.connections.retain(|connection| connection.id == id);
        (!found.connections.is_empty()).then_some(found)
    }

    fn connection(&self, found: &InspectedConnection, triggers: usize) -> Connection {
        let (figures, clock) = (&found.figures, &self.clock);
        let (health, error) = match &figures.health {
            Health::Up => (ConnectionHealth::Up, None),
            Health::Unused => (ConnectionHealth::Unused, None),
            Health::Lost(error) => (ConnectionHealth::Lost, Some(error)),
        };
        let last_error = figures.last_error.as_ref();
        Connection {
            id: id_text(found.id),
            backend: found.backend,
            address: found.address.clone(),
            named: found.named.clone(),
            health,
            since: clock.text(figures.since),
            error: error.map(error_text),
            last_error: last_error.map(|(error, at)| PastError {
                at: clock.text(*at),
                error: error_text(error),
            }),
            triggers,
            shared_queries: found.shared_queries,
            batches: figures.batches,
            queries: figures.queries,
            last_batch: figures.last_batch,
            batch_seconds: figures.batch_time.map(|time| time.as_secs_f64()),
            look_ahead: figures.look_ahead,
            look_ahead_hits: figures.look_ahead_hits,
            reconnects: figures.reconnects,
            waiting: found.waiting,
            budget: figures.budget.map(|budget| Budget {
                requests_per_second: budget.allowed,
                waiting: budget.waiting,
                wait_seconds: budget.expected_wait.as_secs_f64(),
                sent: budget.sent,
                refused: budget.refused,
            }),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts {
            all: self.triggers.len(),
            ..Counts::default()
        };
        for found in &self.triggers {
            *match status_of(found) {
                TriggerStatus::Good => &mut counts.good,
                TriggerStatus::Stale => &mut counts.stale,
                TriggerStatus::Failing => &mut counts.failing,
                TriggerStatus::Refused => &mut counts.refused,
                TriggerStatus::Waiting => &mut counts.waiting,
            } += 1;
        }
        counts
    }

    fn connection_counts(&self) -> ConnectionCounts {
        let count = |wanted: fn(&Health) -> bool| {
            let all = self.connections.iter();
            all.filter(|found| wanted(&found.figures.health)).count()
        };
        ConnectionCounts {
            all: self.connections.len(),
            up: count(|health| *health == Health::Up),
            lost: count(|health| matches!(health, Health::Lost(_))),
            unused: count(|health| *health == Health::Unused),
        }
    }

    pub(super) fn at(&self) -> String {
        self.clock.text(self.clock.now)
    }
}

/// One trigger with its history.
pub fn trigger(engine: &Arc<Engine>, id: u64) -> Option<TriggerDetail> {
    let (found, shown) = engine.inspect_trigger(id)?;
    let clock = Clock::now();
    let bound = found.state.as_ref().ok();
    let past = bound.map_or_else(Past::default, |bound| bound.trigger.past(clock.now));
    let errors = bound.map(|bound| bound.trigger.errors());
    let errors = errors.into_iter().flatten();
    let last_error = bound.and_then(|bound| bound.status.last_error.as_ref());
    let trigger = trigger_of(&found, &clock);
    Some(TriggerDetail {
        at: clock.text(clock.now),
        commands: commands_for(&trigger),
        trigger,
        last_error: last_error.map(|last| PastError {
            at: clock.text(last.at),
            error: error_text(&last.error),
        }),
        errors: errors.map(|(kind, count)| (kind.label(), count)).collect(),
        hour: past.hour.iter().map(|at| point(at, &clock)).collect(),
        day: past.day.iter().map(|at| point(at, &clock)).collect(),
        replies: past
            .replies
            .iter()
            .map(|reply| replied(reply, &clock))
            .collect(),
        metadata: shown.into_iter().map(metadata_key).collect(),
    })
}

fn commands_for(trigger: &Trigger) -> Vec<Command> {
    commands(
        &trigger.namespace,
        &trigger.object,
        trigger.metric.as_deref(),
    )
}

pub(super) fn trigger_of(found: &Inspected, clock: &Clock) -> Trigger {
    let bound = found.state.as_ref().ok();
    let trigger = bound.map(|bound| &bound.trigger);
    let last = bound.and_then(|bound| bound.last.as_ref());
    let reading = trigger.and_then(|trigger| trigger.replacement());
    let reading = reading.or(last.map(|last| last.reading));
    let (since, error) = match &found.state {
        Ok(bound) => (bound.status.since, bound.status.status.error()),
        Err(refused) => (refused.since, Some(&refused.error)),
    };
    let measured = last.and_then(|last| match &last.shaped {
        Some(shaped) => shaped.raw_value,
        None => Some(last.reading.value),
    });
    Trigger {
        id: id_text(found.id),
        namespace: found.namespace.clone(),
        object: found.object.clone(),
        status: status_of(found),
        since: clock.text(since),
        requested: clock.text(found.requested),
        error: error.map(error_text),
        metric: trigger.map(|trigger| trigger.metric_name.clone()),
        backend: trigger.map(|trigger| trigger.trigger_type),
        connection: trigger.map(|trigger| {
            let name = trigger.connection();
            ConnectionRef {
                id: id_text(name.id()),
                address: name.address.to_owned(),
                named: name.named.map(str::to_owned),
            }
        }),
        measures: trigger.map(|trigger| trigger.measures()),
        signal: trigger.map(|trigger| trigger.signal.to_string()),
        value: reading.map(|reading| reading.value),
        measured,
        target: trigger.map(|trigger| trigger.target),
        replicas: replicas(found),
        active: reading.map(|reading| reading.active),
        age_seconds: last.map(|last| last.age.as_secs_f64()),
        shaping: trigger.map_or(Vec::new(), |trigger| trigger.shaping()),
    }
}

/// The replicas that the value leads to.
fn replicas(found: &Inspected) -> Option<f64> {
    let target = found.state.as_ref().ok()?.trigger.target;
    Some((value(found)? / target).ceil())
}

fn value(found: &Inspected) -> Option<f64> {
    let bound = found.state.as_ref().ok()?;
    let replacement = bound.trigger.replacement().map(|reading| reading.value);
    replacement.or_else(|| Some(bound.last.as_ref()?.reading.value))
}

pub(super) fn status_of(found: &Inspected) -> TriggerStatus {
    match &found.state {
        Err(_) => TriggerStatus::Refused,
        Ok(bound) => match bound.status.status {
            Status::Waiting => TriggerStatus::Waiting,
            Status::Good => TriggerStatus::Good,
            Status::Stale(_) => TriggerStatus::Stale,
            Status::Failing(_) => TriggerStatus::Failing,
        },
    }
}

pub(super) fn connection_id(found: &Inspected) -> Option<u64> {
    Some(found.state.as_ref().ok()?.trigger.connection().id())
}

fn selects(query: &ListQuery, found: &Inspected) -> bool {
    let trigger = || found.state.as_ref().ok().map(|bound| &bound.trigger);
    let is_status = |wanted| {
        let status = status_of(found);
        match wanted {
            StatusFilter::Good => status == TriggerStatus::Good,
            StatusFilter::Stale => status == TriggerStatus::Stale,
            StatusFilter::Failing => status == TriggerStatus::Failing,
            StatusFilter::Refused => status == TriggerStatus::Refused,
            StatusFilter::Waiting => status == TriggerStatus::Waiting,
            StatusFilter::Problem => status >= TriggerStatus::Stale,
        }
    };
    let is_backend = |wanted: &String| trigger().is_some_and(|found| found.trigger_type == wanted);
    query
        .namespace
        .as_ref()
        .is_none_or(|wanted| found.namespace == *wanted)
        && query.status.is_none_or(is_status)
        && query.backend.as_ref().is_none_or(is_backend)
        && query
            .connection
            .is_none_or(|wanted| connection_id(found) == Some(wanted))
        && (query.search.is_empty() || matches_search(&query.search, found))
}

/// Every word of a search is in something that a person knows of the trigger.
fn matches_search(search: &str, found: &Inspected) -> bool {
    let mut text = format!("{}/{}", found.namespace, found.object);
    match &found.state {
        Ok(bound) => {
            let (trigger, name) = (&bound.trigger, bound.trigger.connection());
            let named = name.named.unwrap_or_default();
            text += &format!(
                " {} {} {} {named} {}",
                trigger.metric_name,
                trigger.trigger_type,
                name.address,
                trigger.measures()
            );
        }
        Err(refused) => text += refused.error.what(),
    }
    let text = text.to_lowercase();
    let search = search.to_lowercase();
    search.split_whitespace().all(|word| text.contains(word))
}

fn sort_key(sort: Sort, found: &Inspected) -> Option<f64> {
    match sort {
        Sort::Object => None,
        Sort::Value => value(found),
        Sort::Replicas => replicas(found),
        Sort::Age => {
            let last = found.state.as_ref().ok()?.last.as_ref()?;
            Some(last.age.as_secs_f64())
        }
        Sort::Status => Some(f64::from(status_of(found) as u8)),
    }
}

/// An error in its parts.
pub(super) fn error_text(error: &Error) -> ErrorText {
    ErrorText {
        kind: error.kind().label(),
        what: error.what().to_owned(),
        next: error.next().to_owned(),
        help: help_path(error.kind()),
    }
}

pub(super) fn help_path(kind: Kind) -> String {
    format!("{}#{}", help::PATH, kind.label())
}

fn limit(usage: &Usage) -> Limit {
    Limit {
        setting: usage.setting,
        namespace: usage.namespace.clone(),
        used: usage.used,
        limit: usage.limit,
    }
}

fn point(at: &sampling::Point, clock: &Clock) -> Point {
    Point {
        seconds_ago: clock.ago(at.at).as_secs(),
        measured: at.measured.map(f64::from),
        value: at.reported.map(f64::from),
    }
}

fn replied(reply: &sampling::Replied, clock: &Clock) -> Reply {
    Reply {
        since: clock.text(reply.since),
        until: clock.text(reply.until),
        value: reply.value.map(f64::from),
        active: reply.active,
        error: reply.kind.map(Kind::label),
    }
}

fn metadata_key(shown: ShownKey) -> MetadataKey {
    let (value, hidden) = match shown.value {
        ShownValue::Text(text) => (Some(text), None),
        ShownValue::Hidden(reason) => (None, Some(reason)),
    };
    MetadataKey {
        name: shown.name,
        value,
        hidden,
    }
}
