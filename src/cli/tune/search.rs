//! A search for the best of many combinations of values, by numbers alone.
//!
//! If there are no more combinations than simulations, all of them are tried. Otherwise points that
//! are spread evenly over all of them come first; from the best of these, one value at a time and then
//! two are changed, by steps that become smaller. There is no chance in it. It is a search: that
//! nothing better exists is not proven.

use std::{cmp::Ordering, collections::BTreeMap};

use crate::error::Result;

/// For each axis, which of its values.
pub type Point = Vec<usize>;

/// How good a point is: the smallest is best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// By how much it is over the objectives; 0: it meets them.
    pub excess: f64,
    /// What is to be small.
    pub value: f64,
    /// How many values it changes.
    pub changed: usize,
}

impl Score {
    pub fn compare(&self, other: &Score) -> Ordering {
        let by_excess = self.excess.total_cmp(&other.excess);
        let by_value = || self.value.total_cmp(&other.value);
        let by_changed = || self.changed.cmp(&other.changed);
        by_excess.then_with(by_value).then_with(by_changed)
    }

    fn is_better_than(&self, other: &Score) -> bool {
        self.compare(other) == Ordering::Less
    }
}

/// Evaluates points, each once; `None`: it is refused, as its values do not go together.
pub trait Evaluate {
    fn evaluate(&mut self, points: &[Point]) -> Result<Vec<Option<Score>>>;
}

/// What is searched.
pub struct Space<'a> {
    /// How many values each axis has.
    pub sizes: &'a [usize],
    pub present: &'a [usize],
    /// How many points are evaluated at most.
    pub budget: usize,
}

/// What was found.
pub struct Found {
    pub best: Point,
    /// No combination was left out.
    pub is_complete: bool,
}

/// The part of the budget that is spread over the whole space.
const SPREAD: f64 = 0.4;
/// From so many of the best points the search goes on.
const STARTS: usize = 3;
/// A change that improves the result by less than this part is left out.
const WORTH: f64 = 0.02;
/// Refused points cost no simulation, but time: so many of each budget are tried at most.
const REFUSED: usize = 20;
/// The bases of the sequence that spreads points: one for each axis.
const PRIMES: [usize; 16] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53];
/// No space has more axes.
pub const MOST_AXES: usize = PRIMES.len();

/// Searches. An error is that of an evaluation.
pub fn search(space: &Space<'_>, evaluate: &mut impl Evaluate) -> Result<Found> {
    let mut search = Search {
        space,
        evaluate,
        known: BTreeMap::new(),
        left: space.budget,
        left_to_try: space.budget.saturating_mul(REFUSED),
    };
    search.evaluate(vec![space.present.to_vec()])?;
    let combinations = combinations(space.sizes);
    let is_complete = combinations <= space.budget as u128;
    match is_complete {
        true => search.evaluate(all(space.sizes))?,
        false => search.spread_and_descend()?,
    }
    let best = search.best(1).pop().unwrap_or(space.present.to_vec());
    let best = search.with_fewer_changes(best)?;
    Ok(Found { best, is_complete })
}

/// How many combinations there are.
pub fn combinations(sizes: &[usize]) -> u128 {
    let sizes = sizes.iter().map(|size| *size as u128);
    sizes.fold(1, u128::saturating_mul)
}

struct Search<'a, E> {
    space: &'a Space<'a>,
    evaluate: &'a mut E,
    known: BTreeMap<Point, Option<Score>>,
    /// Evaluations.
    left: usize,
    /// Evaluations, refused ones included.
    left_to_try: usize,
}

impl<E: Evaluate> Search<'_, E> {
    /// Evaluates those that are not known, as far as the budget goes.
    fn evaluate(&mut self, mut points: Vec<Point>) -> Result<()> {
        points.retain(|point| !self.known.contains_key(point));
        points.sort();
        points.dedup();
        // What is refused leaves room for others.
        let mut points = points.into_iter().peekable();
        while self.left > 0 && self.left_to_try > 0 && points.peek().is_some() {
            let batch: Vec<Point> = points.by_ref().take(self.left).collect();
            let scores = self.evaluate.evaluate(&batch)?;
            self.left_to_try = self.left_to_try.saturating_sub(batch.len());
            for (point, score) in batch.into_iter().zip(scores) {
                self.left -= usize::from(score.is_some()).min(self.left);
                self.known.insert(point, score);
            }
        }
        Ok(())
    }

    fn score(&self, point: &[usize]) -> Option<Score> {
        self.known.get(point).copied().flatten()
    }

    /// The best that are known, the best one first.
    fn best(&self, count: usize) -> Vec<Point> {
        let known = self.known.iter();
        let mut scored: Vec<(&Point, Score)> = known
            .filter_map(|(point, score)| Some((point, (*score)?)))
            .collect();
        scored.sort_by(|(_, a), (_, b)| a.compare(b));
        let best = scored.into_iter().take(count);
        best.map(|(point, _)| point.clone()).collect()
    }

    fn spread_and_descend(&mut self) -> Result<()> {
        let count = (self.space.budget as f64 * SPREAD) as usize;
        self.evaluate(spread(self.space.sizes, count))?;
        // For fewer changes at the end, one for each axis.
        let reserve = self.space.sizes.len().min(self.left / 2);
        self.left -= reserve;
        let starts = self.best(STARTS);
        for (number, start) in starts.iter().enumerate() {
            // Half for the best, half of the rest for the next.
            let is_last = number + 1 == starts.len();
            let share = if is_last { self.left } else { self.left / 2 };
            self.descend(start.clone(), share)?;
        }
        self.left += reserve;
        Ok(())
    }

    /// Goes from a point to better ones beside it, with so many evaluations.
    fn descend(&mut self, start: Point, share: usize) -> Result<()> {
        let until = self.left.saturating_sub(share);
        let mut at = start;
        let mut step: Vec<usize> = self.space.sizes.iter().map(|size| size / 4).collect();
        while self.left > until && self.left_to_try > 0 {
            let is_last = step.iter().all(|step| *step <= 1);
            let mut next = self.try_all(&at, neighbours(&at, &step, self.space.sizes))?;
            if next.is_none() && is_last {
                next = self.try_all(&at, pairs(&at, self.space.sizes))?;
            }
            match next {
                Some(better) => at = better,
                None if is_last => break,
                None => step.iter_mut().for_each(|step| *step /= 2),
            }
        }
        Ok(())
    }

    /// The best of some points, if it is better than this one.
    fn try_all(&mut self, at: &Point, points: Vec<Point>) -> Result<Option<Point>> {
        self.evaluate(points.clone())?;
        let mut best = (self.score(at), None);
        for point in points {
            let score = self.score(&point);
            let is_better = match (score, best.0) {
                (Some(score), Some(known)) => score.is_better_than(&known),
                (score, None) => score.is_some(),
                (None, _) => false,
            };
            if is_better {
                best = (score, Some(point));
            }
        }
        Ok(best.1)
    }

    /// The same result, or nearly, with more values as they are at present: what does not help stays.
    fn with_fewer_changes(&mut self, mut best: Point) -> Result<Point> {
        let Some(score) = self.score(&best).filter(|score| score.excess == 0.0) else {
            return Ok(best);
        };
        let enough = score.value + score.value.abs() * WORTH;
        for axis in (0..best.len()).rev() {
            if best[axis] == self.space.present[axis] {
                continue;
            }
            let mut simpler = best.clone();
            simpler[axis] = self.space.present[axis];
            self.evaluate(vec![simpler.clone()])?;
            let found = self.score(&simpler);
            if found.is_some_and(|found| found.excess == 0.0 && found.value <= enough) {
                best = simpler;
            }
        }
        Ok(best)
    }
}

/// All points.
fn all(sizes: &[usize]) -> Vec<Point> {
    let mut points = vec![Point::new()];
    for size in sizes {
        let longer = points.iter().flat_map(|point| {
            (0..*size).map(move |value| {
                let mut longer = point.clone();
                longer.push(value);
                longer
            })
        });
        points = longer.collect();
    }
    points
}

/// Points that are spread evenly: the Halton sequence, whose axes count in different bases.
fn spread(sizes: &[usize], count: usize) -> Vec<Point> {
    let point = |number: usize| -> Point {
        let axes = sizes.iter().zip(PRIMES);
        axes.map(|(size, base)| {
            let part = radical_inverse(number, base);
            ((part * *size as f64) as usize).min(size.saturating_sub(1))
        })
        .collect()
    };
    (1..=count).map(point).collect()
}

/// The digits of a number behind the point, the last one first: a part from 0 to 1.
fn radical_inverse(mut number: usize, base: usize) -> f64 {
    let (mut part, mut digit) = (0.0, 1.0 / base as f64);
    while number > 0 {
        part += (number % base) as f64 * digit;
        number /= base;
        digit /= base as f64;
    }
    part
}

/// One value more or less on one axis.
fn neighbours(at: &Point, step: &[usize], sizes: &[usize]) -> Vec<Point> {
    let axes = 0..sizes.len();
    let moved = axes.flat_map(|axis| {
        let step = step[axis].max(1);
        let down = at[axis].saturating_sub(step);
        let up = (at[axis] + step).min(sizes[axis].saturating_sub(1));
        [down, up].map(|value| with(at, &[(axis, value)]))
    });
    moved.filter(|point| point != at).collect()
}

/// One value more or less on each of two axes.
fn pairs(at: &Point, sizes: &[usize]) -> Vec<Point> {
    let mut points = Vec::new();
    let near = |axis: usize| {
        let down = at[axis].checked_sub(1);
        let up = Some(at[axis] + 1).filter(|value| *value < sizes[axis]);
        [down, up].into_iter().flatten()
    };
    for first in 0..sizes.len() {
        for second in first + 1..sizes.len() {
            for a in near(first) {
                points.extend(near(second).map(|b| with(at, &[(first, a), (second, b)])));
            }
        }
    }
    points
}

fn with(at: &Point, values: &[(usize, usize)]) -> Point {
    let mut point = at.clone();
    for (axis, value) in values {
        point[*axis] = *value;
    }
    point
}

#[cfg(test)]
mod tests;
