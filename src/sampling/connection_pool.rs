//! The links of one backend: equal connections share one.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use super::{backend::Backend, connection::Link, query_slot::Slot};
use crate::telemetry::Telemetry;

/// Every live connection of one backend.
pub struct Pool<B: Backend> {
    backend: Arc<B>,
    call_timeout: Duration,
    telemetry: Telemetry,
    links: Arc<Links<B>>,
}

/// The map of links, shared with them so that one that goes can take its leave.
pub struct Links<B: Backend>(Mutex<HashMap<B::Connection, Weak<Link<B>>>>);

impl<B: Backend> Pool<B> {
    /// A pool without connections.
    pub fn new(backend: B, call_timeout: Duration, telemetry: Telemetry) -> Self {
        Pool {
            backend: Arc::new(backend),
            call_timeout,
            telemetry,
            links: Arc::new(Links(Mutex::default())),
        }
    }

    /// The slot in which this query of this connection is measured. Opens nothing yet.
    ///
    /// What is held is kept: the link lives as long as one of its slots.
    pub fn slot(&self, connection: &B::Connection, query: &B::Query) -> Arc<Slot<B>> {
        self.link(connection).slot(query)
    }

    fn link(&self, connection: &B::Connection) -> Arc<Link<B>> {
        let mut links = self.links.0.lock();
        if let Some(link) = links.get(connection).and_then(Weak::upgrade) {
            return link;
        }
        let link = Link::open(
            self.backend.clone(),
            connection.clone(),
            self.call_timeout,
            self.telemetry.connection(&connection.to_string()),
            Arc::downgrade(&self.links),
        );
        links.insert(connection.clone(), Arc::downgrade(&link));
        link
    }

    /// How many connections are held.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.links.0.lock().len()
    }

    /// The backend's own pace, for defaults.
    pub fn pace(&self) -> super::backend::Pace {
        self.backend.pace(self.call_timeout)
    }
}

impl<B: Backend> Links<B> {
    /// Called by a link that is being dropped.
    pub(super) fn forget(&self, connection: &B::Connection) {
        let mut links = self.0.lock();
        // A new link may have taken the place of the one that is going.
        if links
            .get(connection)
            .is_some_and(|link| link.strong_count() == 0)
        {
            links.remove(connection);
        }
    }
}
