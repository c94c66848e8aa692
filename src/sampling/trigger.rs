//! A parsed trigger, bound to the slot of its query.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{
    authentication::Authentication,
    backend::{Backend, Reading},
    batch::Completion,
    connection_name::ConnectionName,
    evaluation::Evaluation,
    history::Past,
    outcomes::{Outcomes, TriggerStatus},
    past_errors::PastError,
    query_slot::{Freshness, QuerySlot, SlotSample},
    replicas::TargetReplicas,
    shaper::{Purpose, Shaper},
    signal_rule::{Observation, SignalRule},
    state_observer::{StateObserver, TriggerState},
    subscription::Subscription,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::{TriggerRef, signal::Signal},
};

/// A trigger: its metric, and how to evaluate it.
pub struct Trigger {
    /// The trigger type: what the user wrote as `backend`.
    pub trigger_type: &'static str,
    /// The metric's name, as GetMetricSpec returns it and GetMetrics expects it.
    pub metric_name: String,
    /// The wanted backlog per replica.
    pub target: f64,
    /// What its value is.
    pub signal: Signal,
    /// How old a sample may be.
    pub freshness: Freshness,
    /// How often its query is read while a stream subscribes to it.
    pub push_interval: Duration,
    pub(super) query: Box<dyn Evaluate>,
    /// What its keys make of a reading; `None`: it is reported as it is.
    pub(super) shaper: Option<Arc<Shaper>>,
    /// How many bytes of memory its query takes.
    pub(super) bytes: usize,
    /// Distinguishes triggers of one ScaledObject that differ in thresholds alone.
    pub(super) fingerprint: u32,
    pub(super) outcomes: Outcomes,
    /// Where its credentials come from, if not from its metadata; held, so that it is kept up to date.
    pub(super) authentication: Option<Arc<dyn Authentication>>,
}

impl Trigger {
    /// Whether the last evaluation was on a sample that is not stale.
    pub(super) fn is_up(&self) -> bool {
        self.outcomes.up()
    }

    /// Evaluates the trigger: on a fresh sample at once, else after a read that is shared with all
    /// triggers of the same query.
    pub async fn evaluate(&self) -> Result<Evaluation> {
        if let Some(shaper) = &self.shaper {
            shaper.replicas_known().await;
        }
        let now = Instant::now();
        let outcome = match self.query.fresh(&self.freshness, now) {
            Some(outcome) => outcome,
            None => self.query.next(&self.freshness, now).await,
        };
        let outcome = self.shaped(outcome, Purpose::Call);
        self.outcomes.record_reply(&outcome);
        outcome
    }

    /// Reports the outcome of a call, unless the trigger was well before and is.
    pub(super) fn report(
        &self,
        observer: &dyn StateObserver,
        request: &TriggerRef,
        outcome: &Result<Evaluation>,
    ) {
        let known_well = &self.outcomes.known_well;
        let state = match outcome {
            Ok(Evaluation { stale: None, .. }) if known_well.load(Relaxed) => return,
            Ok(Evaluation { stale: None, .. }) => TriggerState::Well {
                metric_name: &self.metric_name,
            },
            Ok(Evaluation {
                stale: Some(error), ..
            }) => TriggerState::Stale(error),
            Err(error) => TriggerState::Unread(error),
        };
        let is_known = observer.observe(request, state);
        known_well.store(
            is_known && matches!(state, TriggerState::Well { .. }),
            Relaxed,
        );
    }

    /// Has the next outcome reported, whatever it is.
    pub(super) fn forget_state(&self) {
        self.outcomes.known_well.store(false, Relaxed);
    }

    /// Has `scaleDownBelow` hold the real replicas. `replicas` is called only for a trigger that has
    /// the key.
    pub(super) fn follow_replicas(&self, replicas: impl FnOnce() -> Arc<dyn TargetReplicas>) {
        if let Some(shaper) = &self.shaper {
            shaper.follow_replicas(replicas);
        }
    }

    /// Has the query read at `push_interval` while the subscription lives.
    pub fn subscribe(&self) -> Subscription {
        let shaper = self.shaper.clone();
        self.query
            .subscribe(&self.freshness, self.push_interval, shaper)
    }

    /// The evaluation of what is known without a read, for a stream: its activity counts, which may be
    /// known where the signal's value is not. `None` before the first result.
    pub fn current(&self) -> Option<Result<Evaluation>> {
        let outcome = self.query.current(&self.freshness, Instant::now())?;
        let outcome = self.shaped(outcome, Purpose::Stream);
        self.outcomes.record(&outcome);
        Some(outcome)
    }

    /// The evaluation of the last good sample, whatever its age; `None` before the first.
    pub fn last(&self) -> Option<Evaluation> {
        let last = self.query.last()?;
        Some(match &self.shaper {
            Some(shaper) => shaper.preview(last),
            None => last,
        })
    }

    /// What the last call got in place of a sample (`onOutage: value:N`).
    pub fn replacement(&self) -> Option<Reading> {
        self.shaper.as_ref()?.replacement()
    }

    /// How the last evaluation ended.
    pub fn status(&self) -> TriggerStatus {
        self.outcomes.status()
    }

    /// The values of the past, as far as they are kept.
    pub fn past(&self, now: Instant) -> Past {
        self.outcomes.past(now)
    }

    /// The last different errors, the newest first, also after it has recovered.
    pub fn past_errors(&self) -> Vec<PastError> {
        self.outcomes.past_errors()
    }

    /// How many evaluations met an error, by kind.
    pub fn errors(&self) -> impl Iterator<Item = (Kind, u64)> {
        self.outcomes.errors()
    }

    /// The keys that may change its value.
    pub fn shaping(&self) -> Vec<&'static str> {
        self.shaper
            .as_ref()
            .map_or(Vec::new(), |shaper| shaper.keys())
    }

    /// Its connection, as in errors and metrics.
    pub fn connection(&self) -> ConnectionName<'_> {
        self.query.connection()
    }

    /// What it measures there.
    pub fn measures(&self) -> String {
        self.query.measures()
    }

    fn shaped(&self, outcome: Result<Evaluation>, purpose: Purpose) -> Result<Evaluation> {
        let Some(shaper) = &self.shaper else {
            return outcome;
        };
        match outcome {
            Ok(raw) => Ok(shaper.shape(raw, purpose)),
            Err(error) => {
                let (hold, last) = (|error| self.query.hold(error), || self.query.last());
                shaper.on_outage(error, purpose, hold, last)
            }
        }
    }
}

/// A query slot and a rule with the backend's types erased. See [`QuerySlot`] for the methods.
pub(super) trait Evaluate: Send + Sync {
    fn fresh(&self, freshness: &Freshness, now: Instant) -> Option<Result<Evaluation>>;
    fn next<'a>(
        &'a self,
        freshness: &'a Freshness,
        now: Instant,
    ) -> BoxFuture<'a, Result<Evaluation>>;
    fn current(&self, freshness: &Freshness, now: Instant) -> Option<Result<Evaluation>>;
    fn subscribe(
        &self,
        freshness: &Freshness,
        interval: Duration,
        shaper: Option<Arc<Shaper>>,
    ) -> Subscription;
    fn last(&self) -> Option<Evaluation>;
    fn connection(&self) -> ConnectionName<'_>;
    fn measures(&self) -> String;
    fn hold(&self, error: Error) -> Result<Evaluation>;
}

/// The one implementation of [`Evaluate`].
pub(super) struct BoundQuery<B: Backend> {
    pub slot: Arc<QuerySlot<B>>,
    pub rule: Arc<SignalRule<B::Rule>>,
}

impl<B: Backend> BoundQuery<B> {
    fn evaluate(&self, sample: SlotSample<B::Sample>, now: Instant) -> Result<Evaluation> {
        let measured = &sample.measured;
        let observation = self.rule.judge(&measured.sample, measured.at, now);
        self.evaluation(observation, sample, now)
    }

    fn evaluation(
        &self,
        observation: Result<Observation>,
        SlotSample { measured, stale }: SlotSample<B::Sample>,
        now: Instant,
    ) -> Result<Evaluation> {
        let Observation { reading, in_flight } =
            observation.map_err(|error| self.slot.located(error))?;
        Ok(Evaluation {
            reading,
            in_flight,
            most_consumers: self.rule.most_consumers(&measured.sample),
            arrivals: self.rule.arrivals(&measured.sample),
            shaped: None,
            age: now.saturating_duration_since(measured.at),
            stale,
        })
    }
}

impl<B: Backend> Evaluate for BoundQuery<B> {
    fn fresh(&self, freshness: &Freshness, now: Instant) -> Option<Result<Evaluation>> {
        let sample = self.slot.fresh(freshness, now)?;
        Some(self.evaluate(sample, now))
    }

    fn next<'a>(
        &'a self,
        freshness: &'a Freshness,
        now: Instant,
    ) -> BoxFuture<'a, Result<Evaluation>> {
        Box::pin(async move {
            let sample = self.slot.next(freshness, now).await?;
            self.evaluate(sample, Instant::now())
        })
    }

    fn current(&self, freshness: &Freshness, now: Instant) -> Option<Result<Evaluation>> {
        let sample = self.slot.current(freshness, now)?;
        Some(sample.and_then(|sample| {
            let measured = &sample.measured;
            let activity = self.rule.activity(&measured.sample, measured.at, now);
            self.evaluation(activity, sample, now)
        }))
    }

    fn subscribe(
        &self,
        freshness: &Freshness,
        interval: Duration,
        shaper: Option<Arc<Shaper>>,
    ) -> Subscription {
        let rule = self.rule.clone();
        Subscription::new(&self.slot, rule, shaper, interval, freshness.fresh_for)
    }

    fn last(&self) -> Option<Evaluation> {
        let measured = self.slot.last()?;
        let sample = SlotSample {
            measured,
            stale: None,
        };
        self.evaluate(sample, Instant::now()).ok()
    }

    fn connection(&self) -> ConnectionName<'_> {
        self.slot.connection().full_name()
    }

    fn measures(&self) -> String {
        self.slot.query().to_string()
    }

    fn hold(&self, error: Error) -> Result<Evaluation> {
        let sample = self.slot.hold(error)?;
        self.evaluate(sample, Instant::now())
    }
}
