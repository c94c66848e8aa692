//! How the evaluations of a trigger ended: counts for metrics, the present state and the past for
//! people.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    evaluation::Evaluation,
    history::{History, Past},
    past_errors::{ErrorRoom, PastError, PastErrors},
};
use crate::error::{Error, Kind, Result};

/// How evaluations of a trigger ended.
pub(super) struct Outcomes {
    errors: [AtomicU64; Kind::ALL.len()],
    /// The last one was on a sample that is not stale.
    up: AtomicBool,
    /// The observer of states knows the trigger to be well.
    pub known_well: AtomicBool,
    recorded: Mutex<Recorded>,
}

struct Recorded {
    status: Status,
    /// Since when the status has been of this kind.
    since: Instant,
    /// `None`: there was none.
    errors: Option<Box<PastErrors>>,
    error_room: Arc<ErrorRoom>,
    history: Option<Box<History>>,
}

/// How the last evaluation of a trigger ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// There was none yet.
    Waiting,
    /// On a sample.
    Good,
    /// On an old sample, because of this error.
    Stale(Error),
    /// With this error.
    Failing(Error),
}

/// The present state of a trigger.
#[derive(Clone, Debug)]
pub struct TriggerStatus {
    pub status: Status,
    pub since: Instant,
}

impl Outcomes {
    /// Without a result yet. Values are kept for the length of `history`; their cells are counted from
    /// `start`, and older errors take of the room that all triggers share.
    pub fn new(history: Duration, start: Instant, error_room: Arc<ErrorRoom>) -> Self {
        Outcomes {
            errors: Default::default(),
            up: AtomicBool::default(),
            known_well: AtomicBool::default(),
            recorded: Mutex::new(Recorded {
                status: Status::Waiting,
                since: Instant::now(),
                errors: None,
                error_room,
                history: History::new(history, start),
            }),
        }
    }

    /// The reply to a call of KEDA.
    pub fn record_reply(&self, outcome: &Result<Evaluation>) {
        self.record(outcome);
        let now = Instant::now();
        let mut recorded = self.recorded.lock();
        recorded.set(Status::of(outcome), now);
        if let Some(history) = &mut recorded.history {
            history.record(outcome, now);
        }
    }

    /// The result for a stream. Its value may not be that of the signal, so it is not kept.
    pub fn record(&self, outcome: &Result<Evaluation>) {
        let error = match outcome {
            Ok(evaluation) => evaluation.stale.as_ref(),
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            let at = Kind::ALL.iter().position(|kind| *kind == error.kind());
            self.errors[at.expect("is one of all")].fetch_add(1, Relaxed);
        }
        self.up.store(error.is_none(), Relaxed);
    }

    /// Whether the last evaluation was on a sample that is not stale.
    pub fn up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// How many evaluations met an error, by kind.
    pub fn errors(&self) -> impl Iterator<Item = (Kind, u64)> {
        let counts = self.errors.iter().map(|count| count.load(Relaxed));
        Kind::ALL.into_iter().zip(counts).filter(|(_, n)| *n > 0)
    }

    /// The present state.
    pub fn status(&self) -> TriggerStatus {
        let recorded = self.recorded.lock();
        TriggerStatus {
            status: recorded.status.clone(),
            since: recorded.since,
        }
    }

    /// The last different errors, the newest first, also after it has recovered.
    pub fn past_errors(&self) -> Vec<PastError> {
        let recorded = self.recorded.lock();
        let errors = recorded.errors.as_ref().map(|errors| errors.all());
        errors.unwrap_or_default()
    }

    /// The values of the past; empty if they are not kept.
    pub fn past(&self, now: Instant) -> Past {
        let recorded = self.recorded.lock();
        let past = recorded.history.as_ref().map(|history| history.past(now));
        past.unwrap_or_default()
    }
}

impl Recorded {
    fn set(&mut self, status: Status, now: Instant) {
        if !self.status.is_like(&status) {
            self.since = now;
        }
        if let Some(error) = status.error() {
            let error = error.clone();
            match &mut self.errors {
                Some(errors) => errors.record(error, now),
                None => {
                    let errors = PastErrors::new(error, now, self.error_room.clone());
                    self.errors = Some(Box::new(errors));
                }
            }
        }
        self.status = status;
    }
}

impl Status {
    fn of(outcome: &Result<Evaluation>) -> Self {
        match outcome {
            Ok(evaluation) => match &evaluation.stale {
                Some(error) => Status::Stale(error.clone()),
                None => Status::Good,
            },
            Err(error) => Status::Failing(error.clone()),
        }
    }

    /// The error behind it.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Status::Waiting | Status::Good => None,
            Status::Stale(error) | Status::Failing(error) => Some(error),
        }
    }

    fn is_like(&self, other: &Status) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.error().map(Error::kind) == other.error().map(Error::kind)
    }
}
