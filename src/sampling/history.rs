//! The values of one trigger over the last hour and day, in little memory: 10,000 triggers take less
//! than 8 MiB.
//!
//! Time is divided into cells of a minute for the last hour and of half an hour for the last day. Each
//! keeps the highest value; the older ones with the precision of a picture.

use std::time::Duration;

use tokio::time::Instant;

use super::evaluation::Evaluation;
use crate::error::{Error, Kind, Result};

const MINUTES: usize = 60;
const HALF_HOURS: usize = 48;
const MINUTE: Duration = Duration::from_secs(60);
const HALF_HOUR: Duration = Duration::from_secs(30 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// The last different replies.
const REPLIES: usize = 8;

/// What is remembered of one trigger. It ends with the trigger: when it is evicted, and at a restart.
pub(super) struct History {
    /// Cells are counted from here, the same for all triggers of a server.
    start: Instant,
    /// Counts of the newest cells, from the start.
    minute: u32,
    half_hour: u32,
    minutes: [Cell; MINUTES],
    /// `None`: an hour is enough.
    half_hours: Option<Box<[CoarseCell; HALF_HOURS]>>,
    replies: Replies,
}

/// The highest values of a minute; NaN: there was none.
#[derive(Clone, Copy)]
struct Cell {
    /// Of samples.
    measured: f32,
    /// Of replies to KEDA.
    reported: f32,
}

/// The same, with the upper half of the bits: three digits.
#[derive(Clone, Copy)]
struct CoarseCell {
    measured: Coarse,
    reported: Coarse,
}

#[derive(Clone, Copy)]
struct Coarse(u16);

struct Replies {
    /// The oldest first.
    last: [Reply; REPLIES],
    count: u8,
    /// Seconds from the start to the last call.
    until: u32,
}

/// A reply to KEDA, and equal ones after it.
#[derive(Clone, Copy)]
struct Reply {
    /// Seconds from the start.
    since: u32,
    /// NaN: an error.
    value: f32,
    active: bool,
    /// Why there is no value, or why it is an old one.
    kind: Option<Kind>,
}

/// A point of a trigger's past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The beginning of its minute or half hour.
    pub at: Instant,
    /// The highest value of a sample.
    pub measured: Option<f32>,
    /// The highest value that KEDA got.
    pub reported: Option<f32>,
}

/// What KEDA got from one time to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replied {
    pub since: Instant,
    pub until: Instant,
    /// `None`: an error.
    pub value: Option<f32>,
    pub active: bool,
    /// Why there is no value, or why it is an old one.
    pub kind: Option<Kind>,
}

/// The past of one trigger, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// By the minute, over the last hour.
    pub hour: Vec<Point>,
    /// By half hours, over the last day; empty if less is kept.
    pub day: Vec<Point>,
    /// The last different replies.
    pub replies: Vec<Replied>,
}

impl History {
    /// An empty history of this length; `None`: nothing is kept.
    pub fn new(length: Duration, start: Instant) -> Option<Box<Self>> {
        if length.is_zero() {
            return None;
        }
        Some(Box::new(History {
            start,
            minute: 0,
            half_hour: 0,
            minutes: [Cell::EMPTY; MINUTES],
            half_hours: (length > HOUR).then(|| Box::new([CoarseCell::EMPTY; HALF_HOURS])),
            replies: Replies {
                last: [Reply::NONE; REPLIES],
                count: 0,
                until: 0,
            },
        }))
    }

    /// A reply to KEDA. Called with times that do not decrease.
    pub fn record(&mut self, outcome: &Result<Evaluation>, now: Instant) {
        let elapsed = now.saturating_duration_since(self.start);
        self.replies
            .record(Reply::of(outcome, whole(elapsed, Duration::from_secs(1))));
        let Ok(evaluation) = outcome else {
            return;
        };
        let cell = Cell::of(evaluation);
        self.advance(elapsed);
        self.minutes[self.minute as usize % MINUTES].include(cell);
        if let Some(half_hours) = &mut self.half_hours {
            half_hours[self.half_hour as usize % HALF_HOURS].include(cell);
        }
    }

    /// Empties the cells between the newest and the present one.
    fn advance(&mut self, elapsed: Duration) {
        let minute = whole(elapsed, MINUTE);
        for at in passed(self.minute, minute, MINUTES) {
            self.minutes[at] = Cell::EMPTY;
        }
        self.minute = self.minute.max(minute);
        let half_hour = whole(elapsed, HALF_HOUR);
        if let Some(half_hours) = &mut self.half_hours {
            for at in passed(self.half_hour, half_hour, HALF_HOURS) {
                half_hours[at] = CoarseCell::EMPTY;
            }
        }
        self.half_hour = self.half_hour.max(half_hour);
    }

    /// The past, as of now.
    pub fn past(&self, now: Instant) -> Past {
        let elapsed = now.saturating_duration_since(self.start);
        let hour = recent(self.minute, whole(elapsed, MINUTE), MINUTES);
        let hour = hour.map(|(count, at)| {
            let cell = at.map_or(Cell::EMPTY, |at| self.minutes[at]);
            cell.point(self.start + MINUTE * count)
        });
        let day = self.half_hours.iter().flat_map(|half_hours| {
            let day = recent(self.half_hour, whole(elapsed, HALF_HOUR), HALF_HOURS);
            day.map(|(count, at)| {
                let cell = at.map_or(CoarseCell::EMPTY, |at| half_hours[at]);
                cell.exact().point(self.start + HALF_HOUR * count)
            })
        });
        Past {
            hour: hour.collect(),
            day: day.collect(),
            replies: self.replies.all(self.start),
        }
    }
}

/// How often a unit fits into a time.
fn whole(time: Duration, unit: Duration) -> u32 {
    u32::try_from(time.as_secs() / unit.as_secs()).unwrap_or(u32::MAX)
}

/// The places of the cells after `last` up to `now`.
fn passed(last: u32, now: u32, cells: usize) -> impl Iterator<Item = usize> {
    let most = now.saturating_sub(last).min(cells as u32);
    (0..most).map(move |back| (now - back) as usize % cells)
}

/// The cells up to `now`, the oldest first: the count of each, and its place if it is not later than
/// the newest one with a value.
fn recent(newest: u32, now: u32, cells: usize) -> impl Iterator<Item = (u32, Option<usize>)> {
    let now = now.max(newest);
    let first = (now + 1).saturating_sub(cells as u32);
    (first..=now).map(move |count| (count, (count <= newest).then_some(count as usize % cells)))
}

impl Cell {
    const EMPTY: Cell = Cell {
        measured: f32::NAN,
        reported: f32::NAN,
    };

    /// What an evaluation says. The value of a stale sample was not measured now.
    fn of(evaluation: &Evaluation) -> Self {
        let value = evaluation.reading.value;
        let measured = match (&evaluation.stale, &evaluation.shaped) {
            (Some(_), _) => None,
            (None, Some(shaped)) => shaped.raw_value,
            (None, None) => Some(value),
        };
        Cell {
            measured: measured.map_or(f32::NAN, |value| value as f32),
            reported: value as f32,
        }
    }

    fn include(&mut self, other: Cell) {
        // Of a NaN and a number, the number.
        self.measured = self.measured.max(other.measured);
        self.reported = self.reported.max(other.reported);
    }

    fn point(self, at: Instant) -> Point {
        Point {
            at,
            measured: Some(self.measured).filter(|value| !value.is_nan()),
            reported: Some(self.reported).filter(|value| !value.is_nan()),
        }
    }
}

impl CoarseCell {
    const EMPTY: CoarseCell = CoarseCell {
        measured: Coarse::NAN,
        reported: Coarse::NAN,
    };

    fn include(&mut self, other: Cell) {
        self.measured.include(other.measured);
        self.reported.include(other.reported);
    }

    fn exact(self) -> Cell {
        Cell {
            measured: self.measured.exact(),
            reported: self.reported.exact(),
        }
    }
}

impl Coarse {
    const NAN: Coarse = Coarse((f32::NAN.to_bits() >> 16) as u16);

    /// The nearest one. What is not a number stays so.
    fn of(value: f32) -> Self {
        if value.is_nan() {
            return Coarse::NAN;
        }
        Coarse((value.to_bits().saturating_add(1 << 15) >> 16) as u16)
    }

    fn exact(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    fn include(&mut self, value: f32) {
        *self = Coarse::of(self.exact().max(value));
    }
}

impl Reply {
    const NONE: Reply = Reply {
        since: 0,
        value: f32::NAN,
        active: false,
        kind: None,
    };

    fn of(outcome: &Result<Evaluation>, since: u32) -> Self {
        match outcome {
            Ok(evaluation) => Reply {
                since,
                value: evaluation.reading.value as f32,
                active: evaluation.reading.active,
                kind: evaluation.stale.as_ref().map(Error::kind),
            },
            Err(error) => Reply {
                since,
                kind: Some(error.kind()),
                ..Reply::NONE
            },
        }
    }

    fn same(&self, other: &Reply) -> bool {
        let bits = |reply: &Reply| (reply.value.to_bits(), reply.active, reply.kind);
        bits(self) == bits(other)
    }
}

impl Replies {
    fn record(&mut self, reply: Reply) {
        self.until = reply.since;
        let count = usize::from(self.count);
        if count > 0 && self.last[count - 1].same(&reply) {
            return;
        }
        if count == REPLIES {
            self.last.rotate_left(1);
            self.last[REPLIES - 1] = reply;
        } else {
            self.last[count] = reply;
            self.count += 1;
        }
    }

    fn all(&self, start: Instant) -> Vec<Replied> {
        let replies = &self.last[..usize::from(self.count)];
        let at = |seconds: u32| start + Duration::from_secs(seconds.into());
        let ends = replies.iter().skip(1).map(|next| next.since);
        let ends = ends.chain([self.until]);
        let replied = replies.iter().zip(ends).map(|(reply, until)| Replied {
            since: at(reply.since),
            until: at(until),
            value: Some(reply.value).filter(|value| !value.is_nan()),
            active: reply.active,
            kind: reply.kind,
        });
        replied.collect()
    }
}

#[cfg(test)]
mod tests;
