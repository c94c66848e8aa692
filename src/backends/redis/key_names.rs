//! The keys of a query, once its globs are resolved, and what their lengths add up to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use super::{
    due_sets::without_time,
    lists::{Key, Length},
    query::{Count, Lists},
    unix_time::ScoreScale,
};
use crate::{error::Result, metadata::signal::Signal};

/// The keys that a query sums.
#[derive(Clone, Copy)]
pub struct KeyNames<'a> {
    waiting: &'a BTreeSet<String>,
    scores: Option<ScoreScale>,
    due: &'a BTreeMap<String, ScoreScale>,
    processing: &'a BTreeSet<String>,
    paused_by: &'a BTreeSet<String>,
    signal: Signal,
}

impl<'a> KeyNames<'a> {
    /// The keys of a query, with the names that its patterns stand for.
    pub fn new(
        lists: &'a Lists,
        waiting: &'a BTreeSet<String>,
        processing: &'a BTreeSet<String>,
    ) -> Self {
        KeyNames {
            waiting,
            scores: lists.scores,
            due: &lists.due,
            processing,
            paused_by: &lists.paused_by,
            signal: lists.signal,
        }
    }

    /// Every key, first those that wait.
    pub fn keys(self) -> impl Iterator<Item = Key<'a>> {
        self.waiting().chain(self.processing())
    }

    /// How many keys these are: those that wait, and the others.
    pub fn counts(self) -> (usize, usize) {
        let waiting = match self.due.is_empty() {
            true => self.waiting.len(),
            false => self.waiting().count(),
        };
        (waiting, self.processing().count())
    }

    /// The hashes that say whether a queue is paused.
    pub fn paused_by(self) -> impl Iterator<Item = &'a str> {
        self.paused_by.iter().map(String::as_str)
    }

    /// Whether the age of what waits is needed.
    pub fn needs_age(self) -> bool {
        self.signal == Signal::Age
    }

    /// The keys that wait.
    pub fn waiting(self) -> impl Iterator<Item = Key<'a>> {
        let names = self.waiting.iter();
        let names = names.filter(move |name| !self.due.contains_key(*name));
        let names = names.map(move |name| Key {
            name,
            scale: self.scores,
        });
        names.chain(self.due.iter().map(|(name, scale)| Key {
            name,
            scale: Some(*scale),
        }))
    }

    /// Those that are not among the others: a key that is named on both sides counts once.
    fn processing(self) -> impl Iterator<Item = Key<'a>> {
        let names = self.processing.difference(self.waiting);
        let names = names.filter(move |name| !self.due.contains_key(*name));
        names.map(|name| Key { name, scale: None })
    }

    /// The sum of these lengths, which are those of `keys()`, with the ages that are known by the
    /// index of the key.
    pub fn sum(
        self,
        lengths: &[Result<Length>],
        ages: &HashMap<usize, Result<Duration>>,
        first: usize,
    ) -> Result<Count> {
        let (waiting, _) = self.counts();
        let (of_waiting, of_processing) = lengths.split_at(waiting);
        Ok(Count {
            waiting: total(of_waiting)?,
            processing: total(of_processing)?,
            age: self.needs_age().then(|| self.age(of_waiting, ages, first)),
            ..Count::default()
        })
    }

    /// For how long the oldest has waited; zero, if nothing waits.
    fn age(
        self,
        lengths: &[Result<Length>],
        ages: &HashMap<usize, Result<Duration>>,
        first: usize,
    ) -> Result<Duration> {
        let mut oldest = Duration::ZERO;
        for (index, (key, length)) in self.waiting().zip(lengths).enumerate() {
            let length = length.clone()?;
            if length.entries > 0 && !length.due {
                return Err(without_time(key.name, length.entries));
            }
            if let Some(age) = ages.get(&(first + index)) {
                oldest = oldest.max(age.clone()?);
            }
        }
        Ok(oldest)
    }
}

fn total(lengths: &[Result<Length>]) -> Result<u64> {
    lengths.iter().try_fold(0, |sum: u64, length| {
        Ok(sum.saturating_add(length.clone()?.entries))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_key_that_is_named_more_than_once_counts_once() {
        let (waiting, processing) = (set(&["a", "b"]), set(&["b", "c", "d"]));
        let lists = Lists {
            due: [("a", ScoreScale::BullMq), ("d", ScoreScale::Seconds)]
                .map(|(key, scale)| (key.to_owned(), scale))
                .into(),
            scores: Some(ScoreScale::Milliseconds),
            ..Lists::default()
        };
        let names = KeyNames::new(&lists, &waiting, &processing);
        let keys: Vec<_> = names.keys().map(|key| (key.name, key.scale)).collect();
        assert_eq!(
            keys,
            [
                ("b", Some(ScoreScale::Milliseconds)),
                ("a", Some(ScoreScale::BullMq)),
                ("d", Some(ScoreScale::Seconds)),
                ("c", None),
            ]
        );
        assert_eq!(names.counts(), (3, 1));
    }

    #[test]
    fn the_age_is_the_largest_and_an_entry_without_a_time_leaves_it_unknown() {
        let (waiting, processing) = (set(&["a", "b"]), set(&["c"]));
        let lists = Lists {
            signal: Signal::Age,
            ..Lists::default()
        };
        let names = KeyNames::new(&lists, &waiting, &processing);
        let length = |entries, due| Ok(Length { entries, due });
        let seconds = |seconds| Ok(Duration::from_secs(seconds));
        // The keys of another query stand before these.
        let ages = HashMap::from([(0, seconds(99)), (7, seconds(4)), (8, seconds(5))]);
        let sum = |a, b| names.sum(&[a, b, length(9, false)], &ages, 7).unwrap();
        let both = sum(length(1, true), length(2, true));
        assert_eq!((both.waiting, both.processing), (3, 9));
        assert_eq!(both.age, Some(seconds(5)));
        let unknown = sum(length(1, true), length(2, false));
        assert_eq!(unknown.waiting, 3, "the backlog is known all the same");
        let error = unknown.age.unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Unreadable);
        assert!(
            error
                .to_string()
                .starts_with("b has 2 entries without a time")
        );
        let none = names.sum(
            &[length(0, true), length(0, false), length(9, false)],
            &HashMap::new(),
            7,
        );
        assert_eq!(none.unwrap().age, Some(Ok(Duration::ZERO)));
    }
}
