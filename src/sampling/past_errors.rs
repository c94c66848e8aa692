//! The last different errors of a trigger, for people.
//!
//! The newest one is that of the present state, and always kept. Those before it share a room that all
//! triggers of a server have, so that an outage of thousands does not take memory for each.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::time::Instant;

use crate::error::Error;

/// Different errors that are kept of one trigger.
const ERRORS: usize = 4;
/// What errors before the newest may take, of all triggers together: with the values of 10,000 triggers
/// it is still less than 8 MiB.
const ROOM: usize = 256 * 1024;

/// The bytes that are left for errors before the newest.
pub(super) struct ErrorRoom(AtomicUsize);

/// An error that calls of a trigger met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastError {
    pub error: Error,
    /// When a call met it first and last.
    pub first: Instant,
    pub last: Instant,
    pub calls: u64,
}

/// What is kept of one trigger.
pub(super) struct PastErrors {
    newest: PastError,
    /// The newest first.
    older: Vec<PastError>,
    room: Arc<ErrorRoom>,
}

impl ErrorRoom {
    /// The room of a server that keeps a history, or none.
    pub fn new(has_history: bool) -> Arc<Self> {
        let bytes = if has_history { ROOM } else { 0 };
        Arc::new(ErrorRoom(AtomicUsize::new(bytes)))
    }

    /// Takes so many bytes, if they are left.
    fn take(&self, bytes: usize) -> bool {
        let taken = self
            .0
            .try_update(Relaxed, Relaxed, |left| left.checked_sub(bytes));
        taken.is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Relaxed);
    }
}

impl PastErrors {
    /// With the first error of a trigger.
    pub fn new(error: Error, now: Instant, room: Arc<ErrorRoom>) -> Self {
        PastErrors {
            newest: PastError {
                error,
                first: now,
                last: now,
                calls: 1,
            },
            older: Vec::new(),
            room,
        }
    }

    /// A call met an error. Called with times that do not decrease.
    pub fn record(&mut self, error: Error, now: Instant) {
        if self.newest.error == error {
            self.newest.last = now;
            self.newest.calls += 1;
            return;
        }
        let known = self.older.iter().position(|past| past.error == error);
        let known = known.map(|at| self.remove(at));
        let newest = PastError {
            error,
            first: known.as_ref().map_or(now, |known| known.first),
            last: now,
            calls: known.map_or(0, |known| known.calls) + 1,
        };
        let before = std::mem::replace(&mut self.newest, newest);
        self.keep(before);
    }

    /// All of them, the newest first.
    pub fn all(&self) -> Vec<PastError> {
        let all = [&self.newest].into_iter().chain(&self.older);
        all.cloned().collect()
    }

    /// Keeps an error that is no longer the newest, if there is room for it.
    fn keep(&mut self, mut past: PastError) {
        // The library's error behind it may be of any size.
        past.error = past.error.without_source();
        let bytes = past.bytes();
        while self.older.len() + 1 >= ERRORS {
            self.remove(self.older.len() - 1);
        }
        while !self.room.take(bytes) {
            match self.older.len().checked_sub(1) {
                Some(oldest) => self.remove(oldest),
                None => return,
            };
        }
        self.older.reserve_exact(1);
        self.older.insert(0, past);
    }

    fn remove(&mut self, at: usize) -> PastError {
        let removed = self.older.remove(at);
        self.older.shrink_to_fit();
        self.room.give_back(removed.bytes());
        removed
    }
}

impl Drop for PastErrors {
    fn drop(&mut self) {
        let bytes = self.older.iter().map(PastError::bytes).sum();
        self.room.give_back(bytes);
    }
}

impl PastError {
    /// The memory that it takes.
    fn bytes(&self) -> usize {
        size_of::<PastError>() + self.error.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{error::Kind, sampling::history::History};

    fn error(text: &str) -> Error {
        let next = "Check that the server runs, and address and tls.";
        Error::new(
            Kind::Unreachable,
            format!("redis 10.0.0.1:6379/0: {text}"),
            next,
        )
    }

    fn with_errors(room: &Arc<ErrorRoom>, texts: &[&str], start: Instant) -> PastErrors {
        let mut errors = PastErrors::new(error(texts[0]), start, room.clone());
        for (second, text) in (1..).zip(&texts[1..]) {
            errors.record(error(text), start + Duration::from_secs(second));
        }
        errors
    }

    /// What is kept, the newest first: text, first and last second, calls.
    fn kept(errors: &PastErrors, start: Instant) -> Vec<(String, u64, u64, u64)> {
        let all = errors.all().into_iter().map(|past| {
            let text = past.error.what().rsplit(' ').next().unwrap_or_default();
            let second = |at: Instant| (at - start).as_secs();
            (
                text.to_owned(),
                second(past.first),
                second(past.last),
                past.calls,
            )
        });
        all.collect()
    }

    fn shown(text: &str, first: u64, last: u64, calls: u64) -> (String, u64, u64, u64) {
        (text.to_owned(), first, last, calls)
    }

    #[test]
    fn equal_errors_are_one_with_its_first_and_last_time() {
        let (room, start) = (ErrorRoom::new(true), Instant::now());
        let errors = with_errors(&room, &["a", "a", "b", "b", "a", "c"], start);
        let then = [
            shown("c", 5, 5, 1),
            shown("a", 0, 4, 3),
            shown("b", 2, 3, 2),
        ];
        assert_eq!(kept(&errors, start), then);
    }

    #[test]
    fn the_oldest_of_five_is_forgotten_and_leaves_its_room() {
        let (room, start) = (ErrorRoom::new(true), Instant::now());
        let errors = with_errors(&room, &["a", "b", "c", "d", "e"], start);
        let texts: Vec<_> = kept(&errors, start)
            .into_iter()
            .map(|(text, ..)| text)
            .collect();
        assert_eq!(texts, ["e", "d", "c", "b"]);
        assert!(room.0.load(Relaxed) < ROOM);
        drop(errors);
        assert_eq!(room.0.load(Relaxed), ROOM);
    }

    #[test]
    fn without_a_history_the_newest_alone_is_kept() {
        let (room, start) = (ErrorRoom::new(false), Instant::now());
        let errors = with_errors(&room, &["a", "b", "b"], start);
        assert_eq!(kept(&errors, start), [shown("b", 1, 2, 2)]);
    }

    #[test]
    fn values_and_older_errors_of_ten_thousand_triggers_take_less_than_eight_mebibytes() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let (room, start) = (ErrorRoom::new(true), Instant::now());
        let (mut values, mut errors) = (Vec::with_capacity(10_000), Vec::with_capacity(10_000));
        let of_values = allocation_counter::measure(|| {
            values.extend((0..10_000).filter_map(|_| History::new(DAY, start)));
        });
        // The newest error of each is that of its present state.
        let texts: [String; 6] = std::array::from_fn(|n| format!("{n}").repeat(100));
        let newest = |n: usize| PastErrors::new(error(&texts[n % 6]), start, room.clone());
        let of_newest = allocation_counter::measure(|| errors.extend((0..10_000).map(newest)));
        let of_all = allocation_counter::measure(|| {
            for (n, errors) in errors.iter_mut().enumerate() {
                (1..6).for_each(|more| errors.record(error(&texts[(n + more) % 6]), start));
            }
        });
        assert!(of_newest.bytes_current > 0 && of_all.bytes_current > 0);
        let bytes = of_values.bytes_current + of_all.bytes_current;
        assert!(bytes <= 8 << 20, "{bytes} bytes");
        // The first have all four, until there is no room.
        assert_eq!((errors[0].all().len(), errors[9_999].all().len()), (4, 1));
    }
}
