//! When a failed watch is started again, and the numbers of changes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::watch;

/// A failed request is repeated after this at first.
const FIRST: Duration = Duration::from_millis(500);
/// And at the latest after this, so that an API server that is back is noticed.
const LONGEST: Duration = Duration::from_secs(30);

/// The times between attempts: doubled each time, with jitter, without an end.
pub struct Backoff(ExponentialBackoff);

impl Backoff {
    pub fn new() -> Self {
        let times = ExponentialBuilder::new()
            .with_min_delay(FIRST)
            .with_max_delay(LONGEST)
            .with_jitter()
            .without_max_times();
        Backoff(times.build())
    }

    /// Waits for the next attempt.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.0.next().unwrap_or(LONGEST)).await;
    }
}

/// Gives each change of an object a number that no other has, and reports changes of all of them.
#[derive(Default)]
pub struct Revisions {
    last: AtomicU64,
    changes: watch::Sender<()>,
}

impl Revisions {
    pub fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed)
    }

    /// What has changed is kept now.
    pub fn announce(&self) {
        self.changes.send_replace(());
    }

    /// Reports each change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}
