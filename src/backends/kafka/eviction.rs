//! When what no query reads any more is evicted.

use std::time::Duration;

use tokio::time::Instant;

/// What no query has read for this long is evicted; longer than the engine keeps triggers.
const EVICTED_AFTER: Duration = Duration::from_secs(15 * 60);

/// When it is time to look for what can be evicted.
#[derive(Default)]
pub struct Eviction(Option<Instant>);

impl Eviction {
    /// Whether it is time now; not again for a while then.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = |last: Instant| now.saturating_duration_since(last) > EVICTED_AFTER / 4;
        let is_due = self.0.is_none_or(due);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

/// Whether something that was updated then is kept.
pub fn is_kept(updated: Instant, now: Instant) -> bool {
    now.saturating_duration_since(updated) <= EVICTED_AFTER
}
