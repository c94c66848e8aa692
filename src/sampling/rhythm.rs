//! When a query is likely to be requested next, from when it was.
//!
//! KEDA is periodic: its operator requests a trigger every `pollingInterval`, the HPA controller
//! every 15 s, each by its own clock. A request that comes as long after an earlier one as that
//! came after one before is taken for the same clock, and expected again. This is only a guess: a
//! wrong one costs a read, or saves none.

use std::time::Duration;

use tokio::time::Instant;

/// The clocks that request one query.
#[derive(Clone, Debug, Default)]
pub struct Rhythm {
    last: Option<Instant>,
    /// The latest requests that no clock explains.
    unexplained: [Option<Instant>; UNEXPLAINED],
    clocks: Vec<Clock>,
}

/// Requests at equal distances.
#[derive(Clone, Copy, Debug)]
struct Clock {
    period: Duration,
    last: Instant,
    /// It has explained a request: two distances were equal.
    confirmed: bool,
}

/// KEDA's two calls of one poll are one request.
const ONE_POLL: Duration = Duration::from_millis(400);
/// Faster requests find a fresh sample anyway.
const SHORTEST: Duration = Duration::from_secs(1);
/// KEDA's `pollingInterval` is rarely longer.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// A clock without a request for more than this many periods has stopped. One may be missing:
/// where calls go to two replicas in turn, each sees every other one.
const PERIODS: u32 = 2;
/// Two replicas of a scaler, each with the operator and the HPA, and one for guesses.
const CLOCKS: usize = 5;
const UNEXPLAINED: usize = 3;

impl Rhythm {
    /// Takes note of a request. `true` if it is a new one, rather than another call of the same poll.
    pub fn record(&mut self, now: Instant) -> bool {
        let same = |last: Instant| now.saturating_duration_since(last) < ONE_POLL;
        if self.last.is_some_and(same) {
            return false;
        }
        self.last = Some(now);
        self.clocks.retain(|clock| clock.runs(now));
        let explained = self.clocks.iter_mut().find(|clock| clock.explains(now));
        match explained {
            Some(clock) => clock.tick(now),
            None => self.guess(now),
        }
        true
    }

    /// The next request that is expected after `after`.
    pub fn next(&self, after: Instant) -> Option<Instant> {
        let clocks = self.clocks.iter().filter(|clock| clock.confirmed);
        clocks.filter_map(|clock| clock.next(after)).min()
    }

    /// The request may belong to a clock with any of the earlier ones.
    fn guess(&mut self, now: Instant) {
        for earlier in self.unexplained.into_iter().flatten() {
            let period = now.saturating_duration_since(earlier);
            if (SHORTEST..=LONGEST).contains(&period) {
                self.add(Clock {
                    period,
                    last: now,
                    confirmed: false,
                });
            }
        }
        self.unexplained.rotate_right(1);
        self.unexplained[0] = Some(now);
    }

    /// A guess takes the place of an older guess, and never that of a clock.
    fn add(&mut self, clock: Clock) {
        if self.clocks.len() < CLOCKS {
            self.clocks.push(clock);
        } else if let Some(at) = self.clocks.iter().position(|clock| !clock.confirmed) {
            self.clocks.remove(at);
            self.clocks.push(clock);
        }
    }
}

impl Clock {
    fn runs(&self, now: Instant) -> bool {
        now <= self.last + self.period * PERIODS + self.tolerance()
    }

    /// How far a request may be from when it is expected: KEDA adds what its own work takes.
    fn tolerance(&self) -> Duration {
        (self.period / 20).clamp(Duration::from_millis(100), Duration::from_secs(1))
    }

    fn explains(&self, now: Instant) -> bool {
        (1..=PERIODS).any(|periods| {
            let expected = self.last + self.period * periods;
            let early = expected.saturating_duration_since(now);
            let late = now.saturating_duration_since(expected);
            early.max(late) <= self.tolerance()
        })
    }

    /// Follows a clock that drifts.
    fn tick(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.last);
        let periods = (passed.as_secs_f64() / self.period.as_secs_f64()).round();
        let observed = passed.div_f64(periods.max(1.0));
        self.period = (self.period * 3 + observed) / 4;
        self.last = now;
        self.confirmed = true;
    }

    fn next(&self, after: Instant) -> Option<Instant> {
        let expected = (1..=PERIODS).map(|periods| self.last + self.period * periods);
        expected.into_iter().find(|expected| *expected > after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// How many of these requests, after the first `learning` seconds, were expected within 0.2 s.
    fn expected_share(requests: &[f64], learning: f64) -> f64 {
        let (start, mut rhythm) = (start(), Rhythm::default());
        let (mut expected, mut all) = (0, 0);
        for at in requests {
            let now = start + seconds(*at);
            if *at >= learning {
                let next = rhythm.next(now - seconds(0.2));
                expected += usize::from(next.is_some_and(|next| next < now + seconds(0.2)));
                all += 1;
            }
            rhythm.record(now);
        }
        expected as f64 / all as f64
    }

    fn merged(mut requests: Vec<f64>) -> Vec<f64> {
        requests.sort_by(f64::total_cmp);
        requests
    }

    #[test]
    fn kedas_two_clocks_are_told_apart() {
        let hpa = (0..100).map(|i| 3.0 + 15.0 * f64::from(i));
        let operator = (0..50).map(|i| 11.0 + 30.0 * f64::from(i));
        let requests = merged(hpa.chain(operator).collect());
        assert_eq!(expected_share(&requests, 90.0), 1.0);
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        // What KEDA's own work takes adds up.
        let operator = (0..50).map(|i| 30.05 * f64::from(i));
        let hpa = (0..100).map(|i| 4.0 + 15.0 * f64::from(i) + 0.03 * f64::from(i % 3));
        let requests = merged(hpa.chain(operator).collect());
        assert!(expected_share(&requests, 90.0) > 0.95);
    }

    #[test]
    fn every_other_request_may_go_to_another_replica() {
        let requests: Vec<f64> = (0..60).map(|i| 15.0 * 2.0 * f64::from(i)).collect();
        assert_eq!(expected_share(&requests, 90.0), 1.0);
        // By chance rather than in turn: those after one or two periods are expected.
        let requests: Vec<f64> = (0..200)
            .filter(|i| i % 3 != 1)
            .map(|i| 15.0 * f64::from(i))
            .collect();
        assert!(expected_share(&requests, 200.0) > 0.95);
    }

    #[test]
    fn a_single_request_and_irregular_ones_are_not_expected_again() {
        let (start, mut rhythm) = (start(), Rhythm::default());
        rhythm.record(start);
        assert_eq!(rhythm.next(start), None);
        for at in [3.0, 10.0, 11.7, 40.0, 88.0] {
            rhythm.record(start + seconds(at));
            assert_eq!(rhythm.next(start + seconds(at)), None, "after {at}");
        }
    }

    #[test]
    fn a_clock_that_stops_is_expected_twice_and_no_more() {
        let (start, mut rhythm) = (start(), Rhythm::default());
        for at in [0.0, 30.0, 60.0] {
            rhythm.record(start + seconds(at));
        }
        let next = |at: f64| rhythm.next(start + seconds(at));
        assert_eq!(next(61.0), Some(start + seconds(90.0)));
        assert_eq!(next(91.0), Some(start + seconds(120.0)));
        assert_eq!(next(121.0), None);
    }

    #[test]
    fn the_calls_of_one_poll_are_one_request() {
        let (start, mut rhythm) = (start(), Rhythm::default());
        assert!(rhythm.record(start));
        assert!(!rhythm.record(start + seconds(0.01)));
        assert!(rhythm.record(start + seconds(15.0)));
    }

    #[test]
    fn its_size_is_bounded() {
        let (start, mut rhythm) = (start(), Rhythm::default());
        for i in 0..10_000_u32 {
            rhythm.record(start + seconds(f64::from(i * i % 977) + f64::from(i) * 3.1));
            assert!(rhythm.clocks.len() <= CLOCKS);
        }
    }
}
