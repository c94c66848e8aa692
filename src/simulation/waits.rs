//! How long items waited, for percentiles.

use std::time::Duration;

/// The waits of all items that workers took, in milliseconds. One that is interrupted and taken
/// again counts again.
#[derive(Default)]
pub(super) struct Waits(Vec<u32>);

/// How long items waited for a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitPercentiles {
    /// Half of the items waited at most this long.
    pub p50: Duration,
    /// 95 of 100 items.
    pub p95: Duration,
    /// 99 of 100 items.
    pub p99: Duration,
}

impl Waits {
    pub fn add(&mut self, wait: Duration) {
        let milliseconds = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        self.0.push(milliseconds);
    }

    /// Those of the items that were taken, and of those that wait still.
    pub fn percentiles(mut self, waiting: impl Iterator<Item = Duration>) -> WaitPercentiles {
        waiting.for_each(|wait| self.add(wait));
        WaitPercentiles {
            p50: self.percentile(50),
            p95: self.percentile(95),
            p99: self.percentile(99),
        }
    }

    /// The smallest wait that so many of 100 do not exceed.
    fn percentile(&mut self, percent: usize) -> Duration {
        let waits = &mut self.0;
        let Some(at) = (waits.len() * percent).div_ceil(100).checked_sub(1) else {
            return Duration::ZERO;
        };
        let (_, wait, _) = waits.select_nth_unstable(at);
        Duration::from_millis((*wait).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_waits_that_so_many_do_not_exceed() {
        let seconds = |seconds: [u64; 3]| {
            let [p50, p95, p99] = seconds.map(Duration::from_secs);
            WaitPercentiles { p50, p95, p99 }
        };
        for (taken, waiting, then) in [
            (0..0, 0..0, [0, 0, 0]),
            (7..8, 0..0, [7, 7, 7]),
            (1..101, 0..0, [50, 95, 99]),
            (1..51, 51..101, [50, 95, 99]),
            (1..3, 0..0, [1, 2, 2]),
        ] {
            let mut waits = Waits::default();
            taken
                .rev()
                .for_each(|wait| waits.add(Duration::from_secs(wait)));
            let found = waits.percentiles(waiting.map(Duration::from_secs));
            assert_eq!(found, seconds(then));
        }
    }
}
