//! When records were written. A group that stands still costs no request for its age.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use super::{protocol::BrokerError, query::Isolation};
use crate::backends::ttl_cache::TtlCache;

/// The record that is first in a partition from an offset on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    pub isolation: Isolation,
}

/// A record does not change, but a topic that is created again has others, a cleaned log has lost
/// some, and a right may be gone.
const TTL: Duration = Duration::from_secs(60);
/// How many records are cached.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).expect("is not zero");

/// Times of records, in ms since 1970.
pub struct RecordCache(TtlCache<Position, i64, BrokerError>);

impl Default for RecordCache {
    fn default() -> Self {
        RecordCache(TtlCache::new(TTL, CAPACITY))
    }
}

impl RecordCache {
    pub fn get(&self, position: &Position) -> Option<i64> {
        self.0.get(position)
    }

    pub fn insert(&self, position: &Position, written: i64) {
        self.0.insert(position, written);
    }
}
