//! The values of the last minutes, for `smoothing`: bounded, however many samples there are.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::metadata::shaping::{Smoothing, Statistic};

/// Values that are nearer to each other than this part of the window share a place.
const PARTS: u32 = 60;

/// The values of a time, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    smoothing: Smoothing,
    parts: VecDeque<Part>,
}

/// The values of one part of the window.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    since: Instant,
    until: Instant,
    max: f64,
    sum: f64,
    count: f64,
}

impl Window {
    /// The memory of a full one.
    pub const BYTES: usize = (PARTS as usize + 1).next_power_of_two() * size_of::<Part>();

    pub fn new(smoothing: Smoothing) -> Self {
        Window {
            smoothing,
            parts: VecDeque::new(),
        }
    }

    /// Adds a value. One that is older than the newest is of a batch that was slow, and left out.
    pub fn add(&mut self, value: f64, at: Instant) {
        let width = self.smoothing.window / PARTS;
        match self.parts.back_mut() {
            Some(newest) if at <= newest.until => {}
            Some(newest) if at.duration_since(newest.since) < width => {
                newest.until = at;
                newest.max = newest.max.max(value);
                newest.sum += value;
                newest.count += 1.0;
            }
            _ => self.parts.push_back(Part {
                since: at,
                until: at,
                max: value,
                sum: value,
                count: 1.0,
            }),
        }
        while let Some(oldest) = self.parts.front()
            && at.duration_since(oldest.until) > self.smoothing.window
        {
            self.parts.pop_front();
        }
    }

    /// The statistic of the values up to now; `newest`, if there is none.
    pub fn value(&self, newest: f64, now: Instant) -> f64 {
        let window = self.smoothing.window;
        let is_within = |part: &&Part| now.saturating_duration_since(part.until) <= window;
        let parts = self.parts.iter().filter(is_within);
        let means = parts.clone().map(|part| part.sum / part.count);
        match self.smoothing.statistic {
            Statistic::Max => parts.map(|part| part.max).fold(newest, f64::max),
            Statistic::Average => {
                let (sum, count) = means.fold((0.0, 0.0), |(sum, n), mean| (sum + mean, n + 1.0));
                if count > 0.0 { sum / count } else { newest }
            }
            Statistic::P90 => {
                let mut means: Vec<f64> = means.collect();
                means.sort_by(f64::total_cmp);
                // The nearest rank: the smallest value that nine of ten are not above.
                let rank = (means.len() * 9).div_ceil(10);
                means.get(rank.wrapping_sub(1)).copied().unwrap_or(newest)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window(statistic: Statistic, values: &[(u64, f64)], now: u64) -> f64 {
        let smoothing = Smoothing {
            statistic,
            window: Duration::from_secs(60),
        };
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut window = Window::new(smoothing);
        for (second, value) in values {
            window.add(*value, at(*second));
        }
        assert!(window.parts.len() <= PARTS as usize + 1);
        window.value(0.5, at(now))
    }

    #[test]
    fn the_statistic_is_of_the_values_within_the_window() {
        let values = [(0, 100.0), (10, 20.0), (20, 40.0), (30, 0.0)];
        for (statistic, now, then) in [
            (Statistic::Max, 30, 100.0),
            (Statistic::Max, 60, 100.0),
            (Statistic::Max, 61, 40.0),
            (Statistic::Average, 30, 40.0),
            (Statistic::Average, 61, 20.0),
            (Statistic::P90, 30, 100.0),
            (Statistic::P90, 61, 40.0),
            // Nothing was measured for a minute: the value at hand.
            (Statistic::Max, 200, 0.5),
            (Statistic::Average, 200, 0.5),
            (Statistic::P90, 200, 0.5),
        ] {
            let value = window(statistic, &values, now);
            assert_eq!(value, then, "{statistic:?} at {now} s");
        }
    }

    #[test]
    fn nine_of_ten_values_are_not_above_the_percentile() {
        let values: Vec<(u64, f64)> = (1..=20).map(|i| (i, i as f64)).collect();
        assert_eq!(window(Statistic::P90, &values, 20), 18.0);
    }

    #[test]
    fn many_samples_take_bounded_memory_and_count_alike() {
        let values: Vec<(u64, f64)> = (0..10_000).map(|i| (i, (i % 2) as f64)).collect();
        assert_eq!(window(Statistic::Max, &values, 9_999), 1.0);
        let average = window(Statistic::Average, &values, 9_999);
        assert!((0.45..0.55).contains(&average), "{average}");
    }

    #[test]
    fn a_sample_that_comes_late_is_left_out() {
        let value = window(Statistic::Max, &[(10, 1.0), (5, 9.0)], 10);
        assert_eq!(value, 1.0);
    }
}
