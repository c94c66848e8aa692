//! The timeouts of waiting calls: one timer for all calls of a connection, because a timer for each
//! call is a seventh of what a read costs.

use std::{
    future::pending,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{backend::Backend, connection::SharedConnection};

/// The earliest deadline of the calls that wait.
#[derive(Default)]
pub(super) struct Deadlines {
    next: Mutex<Option<Instant>>,
    earlier: Notify,
}

impl Deadlines {
    /// Adds the deadline of a call. Its slot must have it already.
    pub fn add(&self, deadline: Instant) {
        let mut next = self.next.lock();
        if next.is_none_or(|next| deadline < next) {
            *next = Some(deadline);
            drop(next);
            self.earlier.notify_one();
        }
    }

    /// Waits for each deadline, and wakes the calls that have reached theirs.
    pub async fn watch<B: Backend>(self: Arc<Self>, connection: Weak<SharedConnection<B>>) {
        loop {
            let next = *self.next.lock();
            tokio::select! {
                () = async {
                    match next {
                        Some(next) => sleep_until(next).await,
                        None => pending().await,
                    }
                } => {}
                () = self.earlier.notified() => continue,
            }
            // Cleared first, so that deadlines added during the scan survive.
            *self.next.lock() = None;
            let Some(connection) = connection.upgrade() else {
                return;
            };
            let now = Instant::now();
            let slots = connection.slots();
            let deadlines = slots.iter().filter_map(|slot| slot.wake_expired(now));
            if let Some(deadline) = deadlines.min() {
                self.add(deadline);
            }
        }
    }
}
