//! What KEDA gets of a reading, where its trigger has keys for it (`activityHold`,
//! `scaleDownBelow`, `minimumWhileInFlight`, `smoothing`): a pure function of the reading, of what
//! was before, and of the time.

use std::time::Duration;

use tokio::time::Instant;

use super::{backend::Reading, signal_rule::Observation, window::Window};
use crate::metadata::{
    CommonKeys,
    problem::Problem,
    shaping::{OnOutage, Smoothing},
    values::Target,
};

/// How a trigger shapes its readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shaping {
    /// The wanted backlog per replica.
    pub target: f64,
    /// How long the trigger stays active after the last sample that showed work.
    pub activity_hold: Option<Duration>,
    /// The backlog per replica below which held replicas are let go.
    pub scale_down_below: Option<f64>,
    /// How much unfinished work one replica has in flight.
    pub in_flight_per_replica: Option<f64>,
    /// What is made of the values of the last minutes.
    pub smoothing: Option<Smoothing>,
    /// What a call gets once no sample can be had.
    pub on_outage: OnOutage,
}

/// What shaping remembers of a trigger. It begins empty when the trigger is parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    /// When the newest sample that showed work was measured.
    pub last_work: Option<Instant>,
    /// The replicas of the scale target, where they are known; otherwise those that the last reported
    /// value leads to.
    pub replicas: f64,
    /// The values of the last minutes, where they are smoothed.
    pub values: Option<Window>,
}

/// A shaped reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shaped {
    pub reading: Reading,
    /// The replicas that its value leads to, for the next one's [`Memory`].
    pub replicas: f64,
    /// `smoothing` changes the value.
    pub smoothed: bool,
    /// `minimumWhileInFlight` raises the value, or keeps the trigger active.
    pub holds_in_flight: bool,
    /// `scaleDownBelow` holds replicas.
    pub holds_replicas: bool,
    /// `activityHold` holds the trigger active.
    pub holds_activity: bool,
}

/// The smallest value that keeps a replica. The HPA keeps one in any case while the trigger is
/// active; a ScaledJob and a formula of `scalingModifiers` go by the value alone.
const ONE_ENTRY: f64 = 1.0;

impl Shaping {
    /// What the keys of a trigger say. `None`: its readings are reported as they are.
    pub fn of(keys: &CommonKeys, target: Target) -> Result<Option<Self>, Problem> {
        let hold = keys.activity_hold.map(|span| span.0);
        let below = keys.scale_down_below.map(|below| below.check(target));
        let in_flight = keys.minimum_while_in_flight;
        let shaping = Shaping {
            target: target.0 as f64,
            activity_hold: hold.filter(|hold| !hold.is_zero()),
            scale_down_below: below.transpose()?,
            in_flight_per_replica: in_flight.map(|number| number.0 as f64),
            smoothing: keys.smoothing,
            on_outage: keys.on_outage,
        };
        let without = Shaping {
            target: shaping.target,
            ..Shaping::NONE
        };
        Ok((shaping != without).then_some(shaping))
    }

    /// No key for it is given.
    const NONE: Shaping = Shaping {
        target: 1.0,
        activity_hold: None,
        scale_down_below: None,
        in_flight_per_replica: None,
        smoothing: None,
        on_outage: OnOutage::Error,
    };

    /// What is remembered before the first sample.
    pub fn empty_memory(&self) -> Memory {
        Memory {
            values: self.smoothing.map(Window::new),
            ..Memory::default()
        }
    }

    /// Shapes what a sample says.
    pub fn shape(&self, raw: Observation, memory: &Memory, now: Instant) -> Shaped {
        let measured = raw.reading.value;
        let smooth = match &memory.values {
            Some(values) => values.value(measured, now),
            None => measured,
        };
        let at_least = self.in_flight_minimum(raw.in_flight);
        let wanted_value = smooth.max(at_least);
        let is_in_flight = at_least > 0.0;

        let wanted = (wanted_value / self.target).ceil();
        let held = memory.replicas;
        let holds_replicas = wanted < held
            && self
                .scale_down_below
                .is_some_and(|below| wanted_value / held >= below);
        let (value, replicas) = match holds_replicas {
            // By AverageValue the HPA divides it by the target again.
            true => (held * self.target, held),
            false => (wanted_value, wanted),
        };
        let active = raw.reading.active || is_in_flight;
        let holds_activity = !active && self.is_held_active(memory.last_work, now);
        Shaped {
            reading: Reading {
                value: match holds_activity {
                    true => value.max(ONE_ENTRY),
                    false => value,
                },
                active: active || holds_activity,
            },
            replicas,
            smoothed: smooth != measured,
            holds_in_flight: at_least > smooth || (is_in_flight && !raw.reading.active),
            holds_replicas,
            holds_activity,
        }
    }

    /// The value that leads to enough replicas for the unfinished work.
    fn in_flight_minimum(&self, in_flight: u64) -> f64 {
        let Some(per_replica) = self.in_flight_per_replica else {
            return 0.0;
        };
        (in_flight as f64 / per_replica).ceil() * self.target
    }

    fn is_held_active(&self, last_work: Option<Instant>, now: Instant) -> bool {
        let (Some(hold), Some(last_work)) = (self.activity_hold, last_work) else {
            return false;
        };
        now.saturating_duration_since(last_work) < hold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::values::TextValue;

    const NONE: Shaping = Shaping {
        target: 50.0,
        ..Shaping::NONE
    };

    fn reading(value: f64) -> Reading {
        let active = value > 0.0;
        Reading { value, active }
    }

    /// Without work in flight.
    fn idle(reading: Reading) -> Observation {
        Observation {
            reading,
            in_flight: 0,
        }
    }

    /// The value for each backlog in turn, with its replicas.
    fn values<const N: usize>(shaping: Shaping, backlogs: [f64; N]) -> [(f64, f64); N] {
        let mut memory = Memory::default();
        backlogs.map(|backlog| {
            let shaped = shaping.shape(idle(reading(backlog)), &memory, Instant::now());
            memory.replicas = shaped.replicas;
            (shaped.reading.value, shaped.replicas)
        })
    }

    #[test]
    fn replicas_are_held_between_the_two_thresholds() {
        let shaping = Shaping {
            scale_down_below: Some(10.0),
            ..NONE
        };
        for (given, backlogs, then) in [
            (
                "one worker, up at 51",
                [50.0, 51.0, 0.0],
                [(50.0, 1.0), (51.0, 2.0), (0.0, 0.0)],
            ),
            (
                "held at 49 and 11 a worker",
                [500.0, 490.0, 110.0],
                [(500.0, 10.0), (490.0, 10.0), (500.0, 10.0)],
            ),
            (
                "held at 10, down below",
                [500.0, 100.0, 99.0],
                [(500.0, 10.0), (500.0, 10.0), (99.0, 2.0)],
            ),
            (
                "down once, then held at what is left",
                [500.0, 99.0, 30.0],
                [(500.0, 10.0), (99.0, 2.0), (100.0, 2.0)],
            ),
            (
                "up at once, from a held value as well",
                [200.0, 60.0, 201.0],
                [(200.0, 4.0), (200.0, 4.0), (201.0, 5.0)],
            ),
            (
                "nothing is 0, and the beginning of something new",
                [500.0, 0.0, 60.0],
                [(500.0, 10.0), (0.0, 0.0), (60.0, 2.0)],
            ),
        ] {
            assert_eq!(values(shaping, backlogs), then, "{given}");
        }
    }

    #[test]
    fn a_trigger_without_the_key_reports_the_backlog() {
        let backlogs = [500.0, 110.0, 7.0, 0.0];
        assert_eq!(values(NONE, backlogs).map(|(value, _)| value), backlogs);
    }

    #[test]
    fn the_same_sample_twice_changes_nothing() {
        let shaping = Shaping {
            scale_down_below: Some(10.0),
            ..NONE
        };
        let all = values(shaping, [500.0, 500.0, 99.0, 99.0, 30.0, 30.0]);
        for pair in all.chunks(2) {
            assert_eq!(pair[0], pair[1]);
        }
    }

    #[test]
    fn activity_is_held_for_its_time_after_the_last_work() {
        let hold = Some(Duration::from_secs(60));
        let now = Instant::now() + Duration::from_secs(3600);
        let below = |value| Reading {
            value,
            active: false,
        };
        let none = below(0.0);
        for (given, hold, raw, work_ago, then) in [
            ("nothing ever", hold, none, None, none),
            ("work just now", hold, none, Some(0), reading(1.0)),
            ("work 59 s ago", hold, none, Some(59), reading(1.0)),
            ("work 60 s ago", hold, none, Some(60), none),
            ("without the key", None, none, Some(1), none),
            (
                "some work, below the activation threshold",
                hold,
                below(15.0),
                Some(5),
                reading(15.0),
            ),
            ("work now", hold, reading(7.0), Some(0), reading(7.0)),
        ] {
            let shaping = Shaping {
                activity_hold: hold,
                ..NONE
            };
            let memory = Memory {
                last_work: work_ago.map(|seconds| now - Duration::from_secs(seconds)),
                ..Memory::default()
            };
            let shaped = shaping.shape(idle(raw), &memory, now);
            assert_eq!(shaped.reading, then, "{given}");
            assert_eq!(shaped.holds_activity, then.active && !raw.active, "{given}");
        }
    }

    #[test]
    fn unfinished_work_keeps_the_replicas_that_it_needs() {
        let shaping = Shaping {
            in_flight_per_replica: Some(4.0),
            ..NONE
        };
        for (given, backlog, in_flight, then, holds) in [
            ("nothing waits or runs", 0.0, 0, reading(0.0), false),
            ("one item runs", 0.0, 1, reading(50.0), true),
            ("four to a replica", 0.0, 8, reading(100.0), true),
            ("and one more", 0.0, 9, reading(150.0), true),
            ("the backlog needs more", 500.0, 9, reading(500.0), false),
            ("the backlog needs less", 20.0, 9, reading(150.0), true),
        ] {
            let raw = Observation {
                reading: reading(backlog),
                in_flight,
            };
            let shaped = shaping.shape(raw, &Memory::default(), Instant::now());
            assert_eq!(shaped.reading, then, "{given}");
            assert_eq!(shaped.holds_in_flight, holds, "{given}");
        }
    }

    #[test]
    fn unfinished_work_below_the_activation_threshold_keeps_the_trigger_active() {
        let shaping = Shaping {
            in_flight_per_replica: Some(1.0),
            ..NONE
        };
        let raw = Observation {
            reading: Reading {
                value: 200.0,
                active: false,
            },
            in_flight: 2,
        };
        let shaped = shaping.shape(raw, &Memory::default(), Instant::now());
        assert_eq!(shaped.reading, reading(200.0));
        assert!(shaped.holds_in_flight);
    }

    #[test]
    fn a_smoothed_value_is_the_one_that_replicas_follow() {
        let smoothing = Smoothing::parse("max:60s").unwrap();
        let shaping = Shaping {
            smoothing: Some(smoothing),
            ..NONE
        };
        let (mut memory, start) = (shaping.empty_memory(), Instant::now());
        for (second, backlog, then) in [(0, 500.0, 500.0), (30, 10.0, 500.0), (70, 10.0, 10.0)] {
            let now = start + Duration::from_secs(second);
            memory.values.as_mut().unwrap().add(backlog, now);
            let shaped = shaping.shape(idle(reading(backlog)), &memory, now);
            assert_eq!(shaped.reading.value, then, "at {second} s");
            assert_eq!(shaped.smoothed, then != backlog, "at {second} s");
            assert_eq!(shaped.replicas, (then / 50.0).ceil());
        }
    }

    #[test]
    fn a_held_activity_holds_no_replicas() {
        let shaping = Shaping {
            activity_hold: Some(Duration::from_secs(60)),
            scale_down_below: Some(10.0),
            ..NONE
        };
        let now = Instant::now();
        let memory = Memory {
            last_work: Some(now),
            replicas: 10.0,
            values: None,
        };
        let shaped = shaping.shape(idle(reading(0.0)), &memory, now);
        assert_eq!((shaped.reading, shaped.replicas), (reading(1.0), 0.0));
        assert!(!shaped.holds_replicas);
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Over any backlog: never fewer replicas than without shaping, and never held below the
        /// lower threshold.
        #[test]
        fn held_replicas_are_between_the_thresholds(
            target in 2..1_000_u64,
            part in 0.001..0.999_f64,
            backlogs in prop::collection::vec(0..100_000_u64, 1..50),
        ) {
            let (target, below) = (target as f64, target as f64 * part);
            let shaping = Shaping {
                target,
                scale_down_below: Some(below),
                ..Shaping::NONE
            };
            let mut memory = Memory::default();
            for backlog in backlogs {
                let (value, active) = (backlog as f64, backlog > 0);
                let raw = Observation { reading: Reading { value, active }, in_flight: 0 };
                let shaped = shaping.shape(raw, &memory, Instant::now());
                let wanted = (value / target).ceil();
                prop_assert!(shaped.replicas >= wanted);
                prop_assert_eq!((shaped.reading.value / target).ceil(), shaped.replicas);
                if shaped.replicas > wanted {
                    prop_assert!(value / shaped.replicas >= below);
                    prop_assert_eq!(shaped.replicas, memory.replicas);
                }
                memory.replicas = shaped.replicas;
            }
        }
    }
}
