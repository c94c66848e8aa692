//! Log lines of queries that cannot be read, and of those that can be read again.
//!
//! One broker that is gone fails the queries of a thousand groups: the first of them says why, and
//! the others are a number.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{runtime::Handle, time::sleep};
use tracing::{info, warn};

use crate::error::{Error, Kind};

/// Lines of one cause are collected for this long after the first.
const COLLECTED_FOR: Duration = Duration::from_secs(10);

/// The log of one connection's queries.
pub(super) struct ReadLog {
    connection: String,
    /// How many lines were left out, by cause. `None`: a recovery.
    open: Arc<Mutex<HashMap<Option<Kind>, u64>>>,
}

impl ReadLog {
    pub fn new(connection: String) -> Self {
        ReadLog {
            connection,
            open: Arc::default(),
        }
    }

    /// A query cannot be read, and could be before.
    pub fn failed(&self, error: &Error) {
        if self.is_first(Some(error.kind())) {
            warn!(kind = error.kind().label(), "cannot read: {error}");
        }
    }

    /// A query can be read again.
    pub fn recovered(&self, query: &dyn std::fmt::Display) {
        if self.is_first(None) {
            info!(connection = self.connection, %query, "can be read again");
        }
    }

    /// Whether this is the first line of its cause for a while. If not, it is counted.
    fn is_first(&self, cause: Option<Kind>) -> bool {
        let mut open = self.open.lock();
        if let Some(left_out) = open.get_mut(&cause) {
            *left_out += 1;
            return false;
        }
        // Without a runtime, at the end of the program, nobody would write the summary.
        if let Ok(runtime) = Handle::try_current() {
            open.insert(cause, 0);
            runtime.spawn(summarise(self.connection.clone(), self.open.clone(), cause));
        }
        true
    }
}

async fn summarise(
    connection: String,
    open: Arc<Mutex<HashMap<Option<Kind>, u64>>>,
    cause: Option<Kind>,
) {
    sleep(COLLECTED_FOR).await;
    let left_out = open.lock().remove(&cause).unwrap_or_default();
    match (left_out, cause) {
        (0, _) => {}
        (queries, Some(kind)) => warn!(
            connection,
            kind = kind.label(),
            queries,
            "cannot read {queries} more queries of this connection, for reasons of the same kind; \
             backlog_scaler_trigger_up shows which"
        ),
        (queries, None) => info!(
            connection,
            queries, "{queries} more queries of this connection can be read again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_failures_of_one_cause_are_one_line_and_a_number() {
        let log = ReadLog::new("kafka a:9092".to_owned());
        let firsts = |cause| (0..1000).filter(|_| log.is_first(cause)).count();
        assert_eq!(firsts(Some(Kind::TimedOut)), 1);
        assert_eq!(firsts(Some(Kind::NotFound)), 1);
        assert_eq!(firsts(None), 1);
        assert_eq!(log.open.lock()[&Some(Kind::TimedOut)], 999);
        sleep(COLLECTED_FOR * 2).await;
        assert!(log.open.lock().is_empty(), "reported and forgotten");
        assert_eq!(firsts(Some(Kind::TimedOut)), 1);
    }
}
