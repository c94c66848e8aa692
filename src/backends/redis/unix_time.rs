//! Times as Redis and its clients write them: in the ids of streams and in the scores of sorted sets.

use std::time::{Duration, SystemTime};

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

/// The start of 2009, the year of Redis' first release: an earlier time is a number that means
/// something else, such as a counter, a priority, or seconds where milliseconds are expected.
const EARLIEST: UnixTime = UnixTime(1_230_768_000_000);
/// A server whose clock was set back goes on from its last id, so that an id may be a little ahead
/// of the clock.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);
/// A score that is further ahead than this is no time in the expected unit: milliseconds taken as
/// seconds are in the year 50,000 and later.
const FAR_AHEAD: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl UnixTime {
    /// The time by our own clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixTime(since.unwrap_or_default().as_millis() as u64)
    }

    /// The time from which on nothing is a time.
    pub fn far_ahead(self) -> Self {
        self.plus(FAR_AHEAD)
    }

    /// How long ago `then` was at this time. `None`: that number is no time at all.
    pub fn since(self, then: UnixTime) -> Option<Duration> {
        let is_time = (EARLIEST..=self.plus(AHEAD)).contains(&then);
        is_time.then(|| Duration::from_millis(self.0.saturating_sub(then.0)))
    }

    fn plus(self, span: Duration) -> Self {
        UnixTime(self.0.saturating_add(span.as_millis() as u64))
    }
}

/// The id of a stream's entry: milliseconds, and a number within these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(pub u64, pub u64);

impl EntryId {
    pub fn parse(text: &str) -> Option<Self> {
        let (milliseconds, number) = text.split_once('-')?;
        Some(EntryId(milliseconds.parse().ok()?, number.parse().ok()?))
    }
}

/// What the scores of a sorted set say when they are times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScoreScale {
    /// Seconds since 1970, whole or with a fraction, as Sidekiq, RQ and Celery write them.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Milliseconds since 1970 times 4096, plus a counter below that, as BullMQ writes them
    /// (its `getDelayedScore.lua`).
    BullMq,
}

impl ScoreScale {
    /// The unit in words.
    pub fn unit(self) -> &'static str {
        match self {
            ScoreScale::Seconds => "seconds",
            ScoreScale::Milliseconds => "milliseconds",
            ScoreScale::BullMq => "BullMQ's unit",
        }
    }

    /// The largest score of a time, as an argument of Redis.
    pub fn largest(self, time: UnixTime) -> String {
        match self {
            ScoreScale::Seconds => (time.0 as f64 / 1000.0).to_string(),
            ScoreScale::Milliseconds => time.0.to_string(),
            // As BullMQ's `promoteDelayedJobs.lua` takes what is due.
            ScoreScale::BullMq => ((time.0 + 1) * 4096 - 1).to_string(),
        }
    }

    /// The time that a score says, rounded down to milliseconds.
    pub fn time(self, score: f64) -> UnixTime {
        let milliseconds = match self {
            // A product of floats may be just below the whole number that is meant.
            ScoreScale::Seconds => (score * 1000.0).round(),
            ScoreScale::Milliseconds => score,
            ScoreScale::BullMq => score / 4096.0,
        };
        // Saturates, so that what is negative or infinite is no time.
        UnixTime(milliseconds as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000_123);

    #[test]
    fn a_score_is_read_in_its_unit_and_due_up_to_now() {
        for (scale, largest, score) in [
            (ScoreScale::Seconds, "1800000000.123", 1_800_000_000.123),
            (
                ScoreScale::Milliseconds,
                "1800000000123",
                1_800_000_000_123.0,
            ),
            (
                ScoreScale::BullMq,
                "7372800000507903",
                1_800_000_000_123.0 * 4096.0 + 17.0,
            ),
        ] {
            assert_eq!(scale.largest(NOW), largest, "{scale:?}");
            assert_eq!(scale.time(score), NOW, "{scale:?}");
            let largest: f64 = largest.parse().unwrap();
            assert_eq!(scale.time(largest), NOW, "{scale:?}");
            assert!(scale.time(largest + 4096.0) > NOW, "{scale:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_time_is_none() {
        let hour = 60 * 60 * 1000;
        for (then, ago) in [
            (NOW.0 - 5_000, Some(5)),
            (NOW.0 + hour, Some(0)),
            (NOW.0 + 25 * hour, None),
            (1, None),
            (1_800_000_000, None),
            (NOW.0 * 1000, None),
            (u64::MAX, None),
        ] {
            let ago = ago.map(Duration::from_secs);
            assert_eq!(NOW.since(UnixTime(then)), ago, "{then}");
        }
        for score in [f64::NEG_INFINITY, f64::INFINITY, f64::NAN, -1.0, 0.0, 7.0] {
            for scale in [
                ScoreScale::Seconds,
                ScoreScale::Milliseconds,
                ScoreScale::BullMq,
            ] {
                assert_eq!(NOW.since(scale.time(score)), None, "{score} {scale:?}");
            }
        }
    }

    #[test]
    fn ids_are_ordered_by_their_two_numbers() {
        let id = |text| EntryId::parse(text).unwrap();
        assert!(id("9-5") < id("10-0") && id("10-0") < id("10-1"));
        for nonsense in ["", "5", "a-1", "1-", "-1"] {
            assert_eq!(EntryId::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn another_unit_is_far_ahead() {
        let far = NOW.far_ahead();
        assert!(ScoreScale::Seconds.time(NOW.0 as f64) > far);
        assert!(ScoreScale::Milliseconds.time(NOW.0 as f64 * 4096.0) > far);
        assert!(ScoreScale::Seconds.time(NOW.0 as f64 / 1000.0) < far);
    }
}
