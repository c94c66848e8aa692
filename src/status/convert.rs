//! What the engine knows, as JSON has it.

use std::sync::Arc;

use super::{
    clock::Clock,
    commands::commands,
    help, id_text,
    model::{
        Arrivals, Budget, Command, Connection, ConnectionHealth, ConnectionRef, ErrorText, Limit,
        MetError, MetadataKey, PastError, Point, Reply, Trigger, TriggerDetail, TriggerStatus,
    },
};
use crate::{
    error::{Error, Kind},
    sampling::{
        self, Engine, Health, Inspected, InspectedConnection, Past, Refused, ShownKey, ShownValue,
        Status, Usage,
    },
};

/// One trigger with its history.
pub fn detail(engine: &Arc<Engine>, id: u64) -> Option<TriggerDetail> {
    let (found, shown) = engine.inspect_trigger(id)?;
    let clock = Clock::now();
    let bound = found.state.as_ref().ok();
    let past = bound.map_or_else(Past::default, |bound| bound.trigger.past(clock.now));
    let errors = bound.map(|bound| bound.trigger.errors());
    let errors = errors.into_iter().flatten();
    let last_errors = bound.map(|bound| bound.trigger.past_errors());
    let last_errors = last_errors.unwrap_or_default();
    let trigger = trigger_of(&found, &clock);
    Some(TriggerDetail {
        at: clock.text(clock.now),
        commands: commands_for(&trigger),
        trigger,
        last_error: last_errors.first().map(|last| PastError {
            at: clock.text(last.last),
            error: error_text(&last.error),
        }),
        last_errors: last_errors
            .iter()
            .map(|met| met_error(met, &clock))
            .collect(),
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

pub fn trigger_of(found: &Inspected, clock: &Clock) -> Trigger {
    let bound = found.state.as_ref().ok();
    let trigger = bound.map(|bound| &bound.trigger);
    let last = bound.and_then(|bound| bound.last.as_ref());
    let reading = trigger.and_then(|trigger| trigger.replacement());
    let reading = reading.or(last.map(|last| last.reading));
    let (since, error) = match &found.state {
        Ok(bound) => (
            bound.status.since,
            bound.status.status.error().map(error_text),
        ),
        Err(refused) => (refused.since, Some(refusal_text(refused))),
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
        error,
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
        measured_at: last.map(|last| clock.text_before(last.age)),
        arrivals: last.and_then(|last| last.arrivals).map(arrivals),
        shaping: trigger.map_or(Vec::new(), |trigger| trigger.shaping()),
    }
}

fn arrivals(found: sampling::Arrivals) -> Arrivals {
    match found {
        sampling::Arrivals::Total { items, parts } => Arrivals {
            total: Some(items),
            parts: Some(parts),
            per_second: None,
        },
        sampling::Arrivals::PerSecond(rate) => Arrivals {
            per_second: Some(rate),
            ..Arrivals::default()
        },
    }
}

/// The replicas that the value leads to.
pub fn replicas(found: &Inspected) -> Option<f64> {
    let target = found.state.as_ref().ok()?.trigger.target;
    Some((value(found)? / target).ceil())
}

pub fn value(found: &Inspected) -> Option<f64> {
    let bound = found.state.as_ref().ok()?;
    let replacement = bound.trigger.replacement().map(|reading| reading.value);
    replacement.or_else(|| Some(bound.last.as_ref()?.reading.value))
}

pub fn status_of(found: &Inspected) -> TriggerStatus {
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

/// Which connection a trigger uses, among those of this process.
pub fn instance(found: &Inspected) -> Option<usize> {
    Some(found.state.as_ref().ok()?.trigger.connection().instance)
}

pub fn connection_id(found: &Inspected) -> Option<u64> {
    Some(found.state.as_ref().ok()?.trigger.connection().id())
}

/// An error in its parts.
pub fn error_text(error: &Error) -> ErrorText {
    ErrorText {
        kind: error.kind().label(),
        what: error.what().to_owned(),
        next: error.next().to_owned(),
        help: help_path(error.kind()),
    }
}

/// The error of a refused trigger. What is wrong with its keys says what is allowed, and this where.
pub fn refusal_text(refused: &Refused) -> ErrorText {
    let mut text = error_text(&refused.error);
    if refused.error.kind() == Kind::Invalid && text.next.is_empty() {
        let keys = match refused.trigger_type {
            Some(name) => format!("`backlog-scaler keys {name}`"),
            None => "`backlog-scaler keys`".to_owned(),
        };
        text.next = format!("Correct it in the ScaledObject or ScaledJob; {keys} lists the keys.");
    }
    text
}

fn met_error(met: &sampling::PastError, clock: &Clock) -> MetError {
    MetError {
        first: clock.text(met.first),
        last: clock.text(met.last),
        calls: met.calls,
        error: error_text(&met.error),
    }
}

pub fn help_path(kind: Kind) -> String {
    format!("{}#{}", help::PATH, kind.label())
}

pub fn limit(usage: &Usage) -> Limit {
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

/// A connection that this many triggers use.
pub fn connection(found: &InspectedConnection, triggers: usize, clock: &Clock) -> Connection {
    let figures = &found.figures;
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
