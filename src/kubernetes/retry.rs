//! When a failed watch is started again, and the numbers of changes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

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

/// Gives each change of an object a number that no other has.
#[derive(Default)]
pub struct Revisions(AtomicU64);

impl Revisions {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
