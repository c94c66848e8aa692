//! One query of one connection: its last sample, and the callers that wait for the next.

use std::{pin::Pin, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};
use tracing::{info, warn};

use super::{backend::Backend, connection::Link};
use crate::error::{Error, Kind, Result};

/// How old an answer may be, and how long a caller waits for a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// A sample younger than this answers without I/O.
    pub fresh_for: Duration,
    /// After a failed read, a sample up to this age answers instead of the error. Zero: never.
    pub max_staleness: Duration,
    /// How long a call waits for a sample.
    pub call_timeout: Duration,
    /// The same for a query that has never been answered, so has nothing to fall back on.
    pub first_call_timeout: Duration,
}

/// A sample, and how it came to be the answer.
pub struct Answer<S> {
    /// What was measured.
    pub sample: S,
    /// When it was measured.
    pub at: Instant,
    /// Why nothing newer could be had, if the answer is stale.
    pub stale: Option<Error>,
}

/// What a call waits for that found no fresh sample.
pub struct Wait {
    /// The answers that there were: it waits for the one after them.
    before: u64,
    /// How long it waits, and until when.
    timeout: Duration,
    deadline: Instant,
    /// It has waited already.
    joined: bool,
}

/// One query of one connection. All triggers that ask it share it.
pub struct Slot<B: Backend> {
    query: Arc<B::Query>,
    link: Arc<Link<B>>,
    state: Mutex<State<B::Sample>>,
    answered: Notify,
}

struct State<S> {
    good: Option<(S, Instant)>,
    failed: Option<Error>,
    /// The log says that this query, on its own account, cannot be read.
    reported: bool,
    /// Queued for a batch, or in one.
    asked: bool,
    /// When the least patient of the waiting callers gives up.
    deadline: Option<Instant>,
    /// How many answers came so far: tells a waiting caller that its answer is in.
    answers: u64,
}

impl<B: Backend> Slot<B> {
    pub(super) fn new(query: Arc<B::Query>, link: Arc<Link<B>>) -> Self {
        Slot {
            query,
            link,
            state: Mutex::new(State {
                good: None,
                failed: None,
                reported: false,
                asked: false,
                deadline: None,
                answers: 0,
            }),
            answered: Notify::new(),
        }
    }

    /// What this slot measures.
    pub fn query(&self) -> &B::Query {
        &self.query
    }

    /// The last good sample and its time, whatever its age.
    pub fn last(&self) -> Option<(B::Sample, Instant)> {
        self.state.lock().good.clone()
    }

    /// The last sample, if it is fresh: the hot path, without I/O. Else what to wait for.
    pub fn look(&self, freshness: &Freshness, now: Instant) -> Result<Answer<B::Sample>, Wait> {
        let state = self.state.lock();
        let timeout = match &state.good {
            Some((sample, at)) if now.saturating_duration_since(*at) < freshness.fresh_for => {
                return Ok(Answer {
                    sample: sample.clone(),
                    at: *at,
                    stale: None,
                });
            }
            Some(_) => freshness.call_timeout,
            None => freshness.first_call_timeout,
        };
        Err(Wait {
            before: state.answers,
            timeout,
            deadline: now + timeout,
            joined: false,
        })
    }

    /// The answer that a call waits for, if it is in: a sample that was read for whatever the
    /// connection was asked by then; else, if that failed or took too long, the last good one up
    /// to `max_staleness`. If it is not in, joins the read that is under way or asks for one, and
    /// `answered` (of [`Slot::answered`]) ends when it is time to look again.
    pub fn join(
        self: &Arc<Self>,
        wait: &mut Wait,
        freshness: &Freshness,
        answered: Pin<&mut Notified<'_>>,
    ) -> Option<Result<Answer<B::Sample>>> {
        let mut state = self.state.lock();
        if state.answers > wait.before {
            let outcome = match (&state.failed, &state.good) {
                (None, Some((sample, at))) => Ok(Answer {
                    sample: sample.clone(),
                    at: *at,
                    stale: None,
                }),
                (Some(error), _) => Err(error.clone()),
                (None, None) => unreachable!("an answer is a sample or an error"),
            };
            drop(state);
            return Some(outcome.or_else(|error| self.fall_back(error, freshness)));
        }
        let failed = match state.asked {
            _ if wait.joined && Instant::now() >= wait.deadline => {
                Some(self.timed_out(wait.timeout))
            }
            true => None,
            false => self.link.enqueue(self.clone()).err(),
        };
        if let Some(error) = failed {
            drop(state);
            return Some(self.fall_back(error, freshness));
        }
        state.asked = true;
        let least = state
            .deadline
            .map_or(wait.deadline, |least| least.min(wait.deadline));
        state.deadline = Some(least);
        // An answer needs the lock first, so from here on none is missed.
        answered.enable();
        drop(state);
        wait.joined = true;
        self.link.patience().until(wait.deadline);
        None
    }

    /// Ends with the next answer, and when a call has waited long enough.
    pub fn answered(&self) -> &Notify {
        &self.answered
    }

    /// Wakes the callers if one of them has waited long enough: it gives up, the others wait on.
    /// Returns when this is to be done next.
    pub(super) fn wake_impatient(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        let deadline = state.deadline?;
        if deadline > now {
            return Some(deadline);
        }
        state.deadline = None;
        drop(state);
        self.answered.notify_waiters();
        None
    }

    fn timed_out(&self, timeout: Duration) -> Error {
        Error::new(
            Kind::TimedOut,
            format!(
                "{}: no answer for {} within {timeout:?}",
                self.link, self.query
            ),
            "The backend is slow or has more to read than it answers in that time; \
             callTimeout and firstCallTimeout set how long a call waits.",
        )
    }

    fn fall_back(&self, error: Error, freshness: &Freshness) -> Result<Answer<B::Sample>> {
        let Some((sample, at)) = self.last() else {
            return Err(error);
        };
        let age = at.elapsed();
        if age > freshness.max_staleness || freshness.max_staleness.is_zero() {
            let age = Duration::from_secs(age.as_secs());
            return Err(error.and(format_args!("the last good sample is {age:?} old")));
        }
        self.link.metrics().stale_answers.inc();
        Ok(Answer {
            sample,
            at,
            stale: Some(error),
        })
    }

    /// The backend's answer to this very query; a change between good and bad is logged once.
    pub(super) fn answer_query(&self, answer: Result<B::Sample>) {
        let answer =
            answer.map_err(|error| error.at(format_args!("{}, {}", self.link, self.query)));
        let mut state = self.state.lock();
        let reported = std::mem::replace(&mut state.reported, answer.is_err());
        match &answer {
            Err(error) => {
                self.link.metrics().count_error(error.kind());
                if !reported {
                    warn!(kind = error.kind().label(), "cannot read: {error}");
                }
            }
            Ok(_) if reported => {
                info!(connection = %self.link, query = %self.query, "can be read again");
            }
            Ok(_) => {}
        }
        self.settle(state, answer);
    }

    /// Fails the read if it is still waiting for an answer.
    pub(super) fn fail_if_unanswered(&self, error: &Error) {
        if self.is_asked() {
            self.settle(self.state.lock(), Err(error.clone()));
        }
    }

    /// How many answers came so far.
    pub(super) fn answers(&self) -> u64 {
        self.state.lock().answers
    }

    /// Whether the read that was asked after so many answers is still waiting for its own.
    pub(super) fn awaits(&self, before: u64) -> bool {
        let state = self.state.lock();
        state.asked && state.answers == before
    }

    /// Whether a read is queued or under way.
    fn is_asked(&self) -> bool {
        self.state.lock().asked
    }

    fn settle(&self, mut state: MutexGuard<'_, State<B::Sample>>, answer: Result<B::Sample>) {
        state.asked = false;
        state.deadline = None;
        state.answers += 1;
        match answer {
            Ok(sample) => {
                state.good = Some((sample, Instant::now()));
                state.failed = None;
            }
            Err(error) => state.failed = Some(error),
        }
        drop(state);
        self.answered.notify_waiters();
    }
}

impl<B: Backend> Drop for Slot<B> {
    fn drop(&mut self) {
        self.link.forget(&self.query);
    }
}
