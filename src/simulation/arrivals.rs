//! When the items of a load arrive.

use std::time::Duration;

use super::load::Load;

/// The times at which the items of a load arrive: evenly spread, with no chance in it.
pub(super) struct Arrivals {
    load: Load,
    until: Duration,
    /// The part of the next item that has arrived so far.
    part: f64,
}

/// The rate is taken as constant for so long: a tenth of the simulation's own resolution.
const SLICE: Duration = Duration::from_millis(100);

/// Ten additions of 0.1 are a little less than 1.
const ROUNDING: f64 = 1e-9;

impl Arrivals {
    pub fn new(load: Load) -> Self {
        Arrivals {
            load,
            until: Duration::ZERO,
            part: 0.0,
        }
    }

    /// The times of the items that arrive from the last call's `until` to this one's, in order.
    pub fn until(&mut self, until: Duration) -> Vec<Duration> {
        let mut times = Vec::new();
        while self.until < until {
            let length = SLICE.min(until - self.until);
            let items = self.load.rate(self.until + length / 2) * length.as_secs_f64();
            self.part += items;
            while self.part >= 1.0 - ROUNDING {
                self.part -= 1.0;
                // What is left arrived in the last part of the slice.
                let passed = ((items - self.part) / items).clamp(0.0, 1.0);
                times.push(self.until + length.mul_f64(passed));
            }
            self.until += length;
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn items_arrive_at_the_rate_and_in_order() {
        let mut arrivals = Arrivals::new(Load::Constant(2.0));
        let millis =
            |times: Vec<Duration>| -> Vec<u128> { times.iter().map(Duration::as_millis).collect() };
        assert_eq!(millis(arrivals.until(seconds(1))), [500, 1000]);
        assert_eq!(millis(arrivals.until(seconds(2))), [1500, 2000]);

        let sine = Load::Sine {
            mean: 50.0,
            amplitude: 50.0,
            period: seconds(60),
        };
        let mut arrivals = Arrivals::new(sine);
        let times: Vec<_> = (1..=600)
            .flat_map(|second| arrivals.until(seconds(second)))
            .collect();
        assert!(times.is_sorted());
        assert!((29_999..=30_000).contains(&times.len()), "{}", times.len());
    }
}
