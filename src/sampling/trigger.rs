//! A parsed trigger, bound to the slot that measures it.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{
    backend::{Backend, Reading, Rule},
    slot::{Answer, Freshness, Slot},
};
use crate::error::{Error, Result};

/// A trigger: what KEDA is told of its metric, and how to read it.
pub struct Trigger {
    /// The backend's name, for metrics.
    pub backend: &'static str,
    /// The metric's name, as KEDA learns it and asks for it.
    pub metric_name: String,
    /// The wanted backlog per replica.
    pub target: f64,
    /// How old an answer may be.
    pub freshness: Freshness,
    pub(super) reader: Box<dyn Read>,
}

/// What a trigger makes of a sample.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Value and activity.
    pub reading: Reading,
    /// How old the sample is.
    pub age: Duration,
    /// Why nothing newer could be had, if the sample is stale.
    pub stale: Option<Error>,
}

impl Trigger {
    /// The value now: from a fresh sample at once, else from a read shared with whoever else asks.
    pub async fn read(&self) -> Result<Judged> {
        let now = Instant::now();
        match self.reader.fresh(self.freshness.fresh_for, now) {
            Some(judged) => Ok(judged),
            None => self.reader.read(&self.freshness, now).await,
        }
    }

    /// What the last good sample says, whatever its age; `None` before the first.
    pub fn last(&self) -> Option<Judged> {
        self.reader.last()
    }
}

/// A slot and a rule with their types erased.
pub(super) trait Read: Send + Sync {
    fn fresh(&self, fresh_for: Duration, now: Instant) -> Option<Judged>;
    fn read<'a>(&'a self, freshness: &'a Freshness, now: Instant) -> BoxFuture<'a, Result<Judged>>;
    fn last(&self) -> Option<Judged>;
}

/// The one implementation of [`Read`].
pub(super) struct Bound<B: Backend> {
    pub slot: Arc<Slot<B>>,
    pub rule: B::Rule,
}

impl<B: Backend> Bound<B> {
    fn judge(&self, answer: Answer<B::Sample>, now: Instant) -> Judged {
        Judged {
            reading: self.rule.judge(&answer.sample, now),
            age: now.saturating_duration_since(answer.at),
            stale: answer.stale,
        }
    }
}

impl<B: Backend> Read for Bound<B> {
    fn fresh(&self, fresh_for: Duration, now: Instant) -> Option<Judged> {
        let answer = self.slot.fresh(fresh_for, now)?;
        Some(self.judge(answer, now))
    }

    fn read<'a>(&'a self, freshness: &'a Freshness, now: Instant) -> BoxFuture<'a, Result<Judged>> {
        Box::pin(async move {
            let answer = self.slot.read(freshness, now).await?;
            Ok(self.judge(answer, Instant::now()))
        })
    }

    fn last(&self) -> Option<Judged> {
        let (sample, at) = self.slot.last()?;
        let answer = Answer {
            sample,
            at,
            stale: None,
        };
        Some(self.judge(answer, Instant::now()))
    }
}
