//! Whether triggers are well, for whoever reports changes of that.

use crate::{error::Error, metadata::TriggerRef};

/// The state of a trigger, as one call showed it.
#[derive(Clone, Copy, Debug)]
pub enum TriggerState<'a> {
    /// It has a sample that is not stale.
    Well {
        /// Of the trigger.
        metric_name: &'a str,
    },
    /// No newer sample can be read, and the last good one is used.
    Stale(&'a Error),
    /// There is no value: what is to be measured cannot be read.
    Unread(&'a Error),
    /// Its metadata is wrong, or its authentication cannot be used.
    Refused(&'a Error),
}

/// Gets the states of triggers: each that is not well, and of those that are the first one. Calls wait
/// for it: it does no I/O.
pub trait StateObserver: Send + Sync + 'static {
    /// Whether a trigger that is well needs no further report.
    fn observe(&self, trigger: &TriggerRef, state: TriggerState<'_>) -> bool;
}
