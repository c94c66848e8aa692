//! The queries of a batch, as a backend gets them.

use std::{
    fmt::{Debug, Display, Formatter},
    sync::Arc,
};

use tokio::time::Instant;

use crate::error::Result;

/// A sample with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured<S> {
    /// What was measured.
    pub sample: S,
    /// When its request was sent: the backend's state is at least this new.
    pub at: Instant,
}

/// One query of a batch. Give it its result with [`complete`](BatchQuery::complete); dropped
/// without one, it is handed back to the engine, which sends it again or fails it.
pub struct BatchQuery<Q, S>(Option<Arc<dyn Completion<Q, S>>>);

/// Where the result of a query goes.
pub(super) trait Completion<Q, S>: Send + Sync {
    fn query(&self) -> &Q;
    fn namespace(&self) -> &str;
    fn measured_at(&self) -> Option<Instant>;
    fn is_awaited(&self) -> bool;
    fn complete(&self, result: Result<Measured<S>>);
    /// The query was dropped without a result.
    fn abandon(self: Arc<Self>);
}

impl<Q, S> BatchQuery<Q, S> {
    pub(super) fn new(completion: Arc<dyn Completion<Q, S>>) -> Self {
        BatchQuery(Some(completion))
    }

    /// What to measure.
    pub fn query(&self) -> &Q {
        self.completion().query()
    }

    /// The Kubernetes namespace of the trigger that requested it first. For backends that cannot read
    /// everything at once, and give each namespace its share.
    pub fn namespace(&self) -> &str {
        self.completion().namespace()
    }

    /// When the last good sample was measured; `None` before the first. For backends that cannot
    /// read everything at once, and read the oldest first.
    pub fn measured_at(&self) -> Option<Instant> {
        self.completion().measured_at()
    }

    /// Whether a call waits for the result now. One that does not is read ahead of its calls, or
    /// while they use an older sample.
    pub fn is_awaited(&self) -> bool {
        self.completion().is_awaited()
    }

    /// Gives the result to every caller that waits for it.
    pub fn complete(mut self, result: Result<Measured<S>>) {
        if let Some(completion) = self.0.take() {
            completion.complete(result);
        }
    }

    fn completion(&self) -> &dyn Completion<Q, S> {
        let completion = self.0.as_deref();
        completion.expect("is taken only by what consumes the query")
    }
}

impl<Q, S> Drop for BatchQuery<Q, S> {
    fn drop(&mut self) {
        if let Some(completion) = self.0.take() {
            completion.abandon();
        }
    }
}

impl<Q: Display, S> Debug for BatchQuery<Q, S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "BatchQuery({})", self.query())
    }
}
