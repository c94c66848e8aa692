//! What a backend sees of the queries that streams wait for, so that it can report their changes.

use std::sync::Arc;

use super::{backend::Backend, connection_state::ConnectionState};

/// The pushed queries of one connection.
pub struct PushedQueries<'a, B: Backend>(&'a ConnectionState<B>);

impl<'a, B: Backend> PushedQueries<'a, B> {
    pub(super) fn new(state: &'a ConnectionState<B>) -> Self {
        PushedQueries(state)
    }

    /// The queries that streams subscribe to now.
    pub fn all(&self) -> Vec<Arc<B::Query>> {
        self.0.push_schedule().queries()
    }

    /// Waits until they have changed since the last time.
    pub async fn changed(&self) {
        self.0.push_schedule().queries_changed().await;
    }

    /// The server has reported a change: the query is read at once if a stream waits for work.
    pub fn notify(&self, query: &B::Query) {
        self.0.metrics().notifications.inc();
        self.0.push_schedule().notify(query);
    }
}
