//! A parsed trigger, bound to the slot that measures it.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use super::{
    backend::{Backend, Reading, Rule},
    query_slot::{Answer, Freshness, Slot, Wait},
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
        let (reader, freshness) = (&self.reader, &self.freshness);
        let mut wait = match reader.look(freshness, Instant::now()) {
            Ok(judged) => return Ok(judged),
            Err(wait) => wait,
        };
        loop {
            let answered = reader.answered().notified();
            tokio::pin!(answered);
            if let Some(outcome) = reader.join(&mut wait, freshness, answered.as_mut()) {
                return outcome;
            }
            answered.await;
        }
    }

    /// What the last good sample says, whatever its age; `None` before the first.
    pub fn last(&self) -> Option<Judged> {
        self.reader.last()
    }
}

/// A slot and a rule with their types erased: see [`Slot`] for what each does.
pub(super) trait Read: Send + Sync {
    fn look(&self, freshness: &Freshness, now: Instant) -> Result<Judged, Wait>;
    fn join(
        &self,
        wait: &mut Wait,
        freshness: &Freshness,
        answered: Pin<&mut Notified<'_>>,
    ) -> Option<Result<Judged>>;
    fn answered(&self) -> &Notify;
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
    fn look(&self, freshness: &Freshness, now: Instant) -> Result<Judged, Wait> {
        let answer = self.slot.look(freshness, now)?;
        Ok(self.judge(answer, now))
    }

    fn join(
        &self,
        wait: &mut Wait,
        freshness: &Freshness,
        answered: Pin<&mut Notified<'_>>,
    ) -> Option<Result<Judged>> {
        let answer = self.slot.join(wait, freshness, answered)?;
        Some(answer.map(|answer| self.judge(answer, Instant::now())))
    }

    fn answered(&self) -> &Notify {
        self.slot.answered()
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
