//! What is known of the past of groups and partitions. Kept over reconnects, so that a lost
//! connection does not make stuck lag look new, or an age unknown.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    end_tracker::EndTracker, progress_tracker::ProgressTracker, stall_tracker::StallTracker,
};

/// What no query has read for this long is evicted; longer than the engine keeps triggers.
pub const EVICTED_AFTER: Duration = Duration::from_secs(15 * 60);

/// The histories of every connection.
#[derive(Default)]
pub struct Histories(Mutex<HashMap<String, Arc<History>>>);

impl Histories {
    /// The history of a cluster, by the name of its connection: where a group is does not depend on
    /// who reads it.
    pub fn of(&self, connection: &str) -> Arc<History> {
        let mut all = self.0.lock();
        all.retain(|_, history| Arc::strong_count(history) > 1 || !history.is_idle());
        all.entry(connection.to_owned()).or_default().clone()
    }
}

/// The history of one cluster.
#[derive(Default)]
pub struct History {
    /// Since when groups have been where they are.
    pub stalls: StallTracker,
    /// When partitions ended where.
    pub ends: EndTracker,
    /// How much groups commit.
    pub progress: ProgressTracker,
}

impl History {
    fn is_idle(&self) -> bool {
        self.stalls.is_idle() && self.ends.is_idle() && self.progress.is_idle()
    }
}

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
