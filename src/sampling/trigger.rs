//! A parsed trigger, bound to the slot of its query.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{
    authentication::Authentication,
    backend::{Backend, Reading},
    evaluation::Evaluation,
    query_slot::{Freshness, QuerySlot, SlotSample},
    replicas::TargetReplicas,
    shaper::{Purpose, Shaper},
    signal_rule::{Observation, SignalRule},
    state_observer::{StateObserver, TriggerState},
    subscription::Subscription,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::TriggerRef,
};

/// A trigger: its metric, and how to evaluate it.
pub struct Trigger {
    /// The trigger type: what the user wrote as `backend`.
    pub trigger_type: &'static str,
    /// The metric's name, as GetMetricSpec returns it and GetMetrics expects it.
    pub metric_name: String,
    /// The wanted backlog per replica.
    pub target: f64,
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

/// How evaluations of a trigger ended.
#[derive(Default)]
pub(super) struct Outcomes {
    errors: [AtomicU64; Kind::ALL.len()],
    /// The last one was on a sample that is not stale.
    up: AtomicBool,
    /// The observer of states knows the trigger to be well.
    known_well: AtomicBool,
}

impl Outcomes {
    fn record(&self, outcome: &Result<Evaluation>) {
        let error = match outcome {
            Ok(evaluation) => evaluation.stale.as_ref(),
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            let at = Kind::ALL.iter().position(|kind| *kind == error.kind());
            self.errors[at.expect("is one of all")].fetch_add(1, Relaxed);
        }
        self.up.store(error.is_none(), Relaxed);
    }

    /// Whether the last evaluation was on a sample that is not stale.
    pub fn up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// How many evaluations met an error, by kind.
    pub fn errors(&self) -> impl Iterator<Item = (Kind, u64)> {
        let counts = self.errors.iter().map(|count| count.load(Relaxed));
        Kind::ALL.into_iter().zip(counts).filter(|(_, n)| *n > 0)
    }
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
        self.outcomes.record(&outcome);
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

    fn hold(&self, error: Error) -> Result<Evaluation> {
        let sample = self.slot.hold(error)?;
        self.evaluate(sample, Instant::now())
    }
}
