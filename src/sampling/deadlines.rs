//! When calls have waited long enough: one timer for all calls of a link, because a timer for each
//! is a seventh of what a read costs.

use std::{
    future::pending,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{backend::Backend, connection::Link};

/// The earliest time at which a waiting call may run out of patience.
#[derive(Default)]
pub(super) struct Patience {
    next: Mutex<Option<Instant>>,
    earlier: Notify,
}

impl Patience {
    /// A call waits until then. Its slot must know of it already.
    pub fn until(&self, deadline: Instant) {
        let mut next = self.next.lock();
        if next.is_none_or(|next| deadline < next) {
            *next = Some(deadline);
            drop(next);
            self.earlier.notify_one();
        }
    }

    /// Waits for each deadline and has the link's slots wake whom it concerns.
    pub async fn watch<B: Backend>(self: Arc<Self>, link: Weak<Link<B>>) {
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
            // Forgotten first: who comes while the slots are looked at sets it anew.
            *self.next.lock() = None;
            let Some(link) = link.upgrade() else {
                return;
            };
            let now = Instant::now();
            let slots = link.slots();
            let deadlines = slots.iter().filter_map(|slot| slot.wake_impatient(now));
            if let Some(deadline) = deadlines.min() {
                self.until(deadline);
            }
        }
    }
}
