//! What the HPA, and KEDA for ScaledJobs, make of values: pure arithmetic.
//!
//! Tolerance, stabilization windows, cooldown and scaling policies depend on what runs now and
//! on the past, so they are left out: this is where scaling ends up if the values stay.

use crate::manifests::{Bounds, Scaled};

/// A trigger whose share is `value / target`, as with `metricType: AverageValue`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    pub value: f64,
    pub target: f64,
    pub active: bool,
}

/// A number of replicas or jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overall {
    pub count: u32,
    /// A trigger that is not known here may want more.
    pub at_least: bool,
}

/// What each trigger wants, `None` where its share is not known; and the largest of them.
///
/// A trigger is seen as part of its object: one that is inactive itself still counts for the HPA
/// while another one holds the object active.
pub fn wanted(
    scaled: Scaled,
    bounds: Bounds,
    shares: &[Option<Share>],
) -> (Vec<Option<u32>>, Option<Overall>) {
    let known = || shares.iter().flatten();
    let object_active = known().any(|share| share.active);
    let of_one = |share: &Share| match scaled {
        Scaled::Object => of_object(bounds, *share, object_active),
        Scaled::Job => of_job(bounds, *share),
    };
    let each = shares
        .iter()
        .map(|share| share.as_ref().map(of_one))
        .collect::<Vec<_>>();
    let overall = each.iter().flatten().max().map(|count| Overall {
        count: *count,
        at_least: each.contains(&None),
    });
    (each, overall)
}

/// Inactive, KEDA goes to `idleReplicaCount`, or to 0 if that is the minimum; everything else is
/// the HPA's, whose own minimum is at least 1 (`pkg/scaling/executor/scale_scaledobjects.go`).
fn of_object(bounds: Bounds, share: Share, object_active: bool) -> u32 {
    match (object_active, bounds.idle, bounds.min) {
        (false, Some(idle), _) => idle,
        (false, None, 0) => 0,
        (_, _, min) => replicas(share).max(min.max(1)).min(bounds.max),
    }
}

/// KEDA's default strategy; a trigger that is not active counts for nothing.
fn of_job(bounds: Bounds, share: Share) -> u32 {
    let jobs = if share.active { replicas(share) } else { 0 };
    jobs.max(bounds.min).min(bounds.max)
}

/// `ceil(value / target)` in thousandths, in which KEDA hands both to the HPA: so 1.1 / 0.1 is 11
/// and not 12. A remote scaler's nonsense (a target of 0, NaN) wants as much as there is.
fn replicas(share: Share) -> u32 {
    // The casts truncate as KEDA's do, and saturate.
    let milli = |number: f64| (number * 1000.0) as u64;
    match milli(share.target) {
        0 => u32::MAX,
        target => u32::try_from(milli(share.value).div_ceil(target)).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO_TO_TEN: Bounds = bounds(0, 10, None);

    const fn bounds(min: u32, max: u32, idle: Option<u32>) -> Bounds {
        Bounds { min, max, idle }
    }

    fn share(value: f64, target: f64, active: bool) -> Option<Share> {
        Some(Share {
            value,
            target,
            active,
        })
    }

    #[test]
    fn one_trigger_of_a_scaled_object() {
        for (given, bounds, value, target, active, then) in [
            ("a part of a replica is one", ZERO_TO_TEN, 1.0, 5.0, true, 1),
            ("a full replica is one", ZERO_TO_TEN, 5.0, 5.0, true, 1),
            ("one more is two", ZERO_TO_TEN, 6.0, 5.0, true, 2),
            ("the maximum caps", ZERO_TO_TEN, 1e6, 5.0, true, 10),
            ("a huge value caps", ZERO_TO_TEN, f64::MAX, 5.0, true, 10),
            ("the minimum lifts", bounds(3, 10, None), 1.0, 5.0, true, 3),
            ("nothing waits", ZERO_TO_TEN, 0.0, 5.0, false, 0),
            (
                "below activation, to zero",
                ZERO_TO_TEN,
                50.0,
                5.0,
                false,
                0,
            ),
            (
                "below activation, the HPA scales above its minimum",
                bounds(1, 20, None),
                50.0,
                5.0,
                false,
                10,
            ),
            (
                "below activation, to idle",
                bounds(2, 20, Some(0)),
                50.0,
                5.0,
                false,
                0,
            ),
            (
                "idle is for inactive objects",
                bounds(2, 20, Some(0)),
                1.0,
                5.0,
                true,
                2,
            ),
            (
                "active with nothing waiting",
                ZERO_TO_TEN,
                0.0,
                5.0,
                true,
                1,
            ),
            (
                "no rounding error",
                bounds(0, 100, None),
                1.1,
                0.1,
                true,
                11,
            ),
            ("a maximum of zero", bounds(0, 0, None), 5.0, 5.0, true, 0),
            ("a target of zero", ZERO_TO_TEN, 5.0, 0.0, true, 10),
            (
                "a value that is not a number",
                ZERO_TO_TEN,
                f64::NAN,
                5.0,
                true,
                1,
            ),
        ] {
            let (each, overall) = wanted(Scaled::Object, bounds, &[share(value, target, active)]);
            assert_eq!(each, [Some(then)], "{given}");
            let overall = overall.expect("is known");
            assert_eq!((overall.count, overall.at_least), (then, false), "{given}");
        }
    }

    #[test]
    fn one_trigger_of_a_scaled_job() {
        for (given, bounds, value, target, active, then) in [
            ("a job for each target", ZERO_TO_TEN, 6.0, 5.0, true, 2),
            ("the maximum caps", ZERO_TO_TEN, 500.0, 5.0, true, 10),
            (
                "the minimum is always there",
                bounds(2, 10, None),
                0.0,
                5.0,
                false,
                2,
            ),
            (
                "inactive counts for nothing",
                bounds(1, 10, None),
                50.0,
                5.0,
                false,
                1,
            ),
        ] {
            let (each, _) = wanted(Scaled::Job, bounds, &[share(value, target, active)]);
            assert_eq!(each, [Some(then)], "{given}");
        }
    }

    #[test]
    fn several_triggers() {
        let busy = share(12.0, 5.0, true);
        let idle = share(50.0, 5.0, false);
        for (given, scaled, shares, each, overall) in [
            (
                "the largest wins",
                Scaled::Object,
                vec![busy, share(1.0, 1.0, true)],
                vec![Some(3), Some(1)],
                Some((3, false)),
            ),
            (
                "an inactive one counts while another is active",
                Scaled::Object,
                vec![busy, idle],
                vec![Some(3), Some(10)],
                Some((10, false)),
            ),
            (
                "for a job it does not",
                Scaled::Job,
                vec![busy, idle],
                vec![Some(3), Some(0)],
                Some((3, false)),
            ),
            (
                "none is active",
                Scaled::Object,
                vec![idle, idle],
                vec![Some(0), Some(0)],
                Some((0, false)),
            ),
            (
                "one is not known",
                Scaled::Object,
                vec![busy, None],
                vec![Some(3), None],
                Some((3, true)),
            ),
            (
                "none is known",
                Scaled::Object,
                vec![None, None],
                vec![None, None],
                None,
            ),
        ] {
            let found = wanted(scaled, ZERO_TO_TEN, &shares);
            let found_overall = found.1.map(|overall| (overall.count, overall.at_least));
            assert_eq!((found.0, found_overall), (each, overall), "{given}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    /// Values and targets as scalers report them, and what a remote one may make up.
    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            1 => Just(0.0),
            4 => (0..200_000_u32).prop_map(f64::from),
            2 => (0..200_000_u32).prop_map(|milli| f64::from(milli) / 1000.0),
            1 => any::<f64>(),
            1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE]),
        ]
    }

    fn share() -> impl Strategy<Value = Share> {
        (number(), number(), any::<bool>()).prop_map(|(value, target, active)| Share {
            value,
            target,
            active,
        })
    }

    /// Bounds that KEDA accepts.
    fn bounds() -> impl Strategy<Value = Bounds> {
        let min = prop_oneof![Just(0), 0..30_u32];
        (min, 0..200_u32, option::of(0..30_u32)).prop_map(|(min, more, idle)| Bounds {
            min,
            max: min + more,
            idle: idle.filter(|idle| *idle < min),
        })
    }

    proptest! {
        #[test]
        fn replicas_are_within_their_bounds_whatever_a_scaler_reports(
            scaled in prop::sample::select(vec![Scaled::Object, Scaled::Job]),
            bounds in bounds(),
            shares in vec(option::of(share()), 0..5),
        ) {
            let active = shares.iter().flatten().any(|share| share.active);
            let (each, overall) = wanted(scaled, bounds, &shares);
            prop_assert_eq!(each.len(), shares.len());
            for (count, share) in each.iter().zip(&shares) {
                prop_assert_eq!(count.is_some(), share.is_some());
                let lowest = match scaled {
                    Scaled::Object if !active => bounds.idle.unwrap_or(bounds.min),
                    Scaled::Object => bounds.min.max(1).min(bounds.max),
                    Scaled::Job => bounds.min,
                };
                if let Some(count) = count {
                    prop_assert!((lowest..=bounds.max).contains(count), "{count} in {bounds:?}");
                }
            }
            let largest = each.iter().flatten().max();
            prop_assert_eq!(overall.map(|overall| overall.count), largest.copied());
            if let Some(overall) = overall {
                prop_assert_eq!(overall.at_least, each.contains(&None));
            }
        }

        /// In thousandths, as KEDA hands both to the HPA, the quotient is exact.
        #[test]
        fn an_active_trigger_wants_its_value_by_its_target_rounded_up(
            value in prop_oneof![1 => 0..3_u32, 8 => 0..5_000_000_u32],
            target in 1..100_000_u32,
            max in 1..2000_u32,
        ) {
            let bounds = Bounds { min: 0, max, idle: None };
            // An eighth of a thousandth keeps the division that makes a double from falling below.
            let double = |milli: u32| (f64::from(milli) + 0.125) / 1000.0;
            let share = Share { value: double(value), target: double(target), active: true };
            let mut jobs = 0;
            while u64::from(jobs) * u64::from(target) < u64::from(value) && jobs < max {
                jobs += 1;
            }
            prop_assert_eq!(wanted(Scaled::Job, bounds, &[Some(share)]).0, [Some(jobs)]);
            let replicas = jobs.max(1);
            prop_assert_eq!(wanted(Scaled::Object, bounds, &[Some(share)]).0, [Some(replicas)]);
        }
    }
}
