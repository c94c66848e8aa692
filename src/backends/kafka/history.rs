//! What is known of the past of groups and partitions. Kept over reconnects, so that a lost
//! connection does not make stuck lag look new, or an age unknown.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    end_tracker::EndTracker, progress_tracker::ProgressTracker, stall_tracker::StallTracker,
};

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
