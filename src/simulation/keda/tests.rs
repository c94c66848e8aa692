//! The names of tests of KEDA 2.21 are those of `pkg/scaling/executor/scale_scaledobjects_test.go`
//! and `pkg/fallback/fallback_test.go`.

use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn scaled_object(min: u32, idle: Option<u32>) -> ScaledObject {
    ScaledObject {
        min_replica_count: min,
        idle_replica_count: idle,
        ..ScaledObject::default()
    }
}

fn observed(active: bool, value: Option<i64>) -> Observed {
    Observed {
        metric: Metric {
            target: MetricTarget::AverageValue(1.0),
            value: value.map(Milli),
        },
        active,
    }
}

const ACTIVE: &[(bool, bool)] = &[(true, false)];
const INACTIVE: &[(bool, bool)] = &[(false, false)];
const ERROR: &[(bool, bool)] = &[(false, true)];
const ACTIVE_AND_ERROR: &[(bool, bool)] = &[(true, false), (false, true)];

/// Triggers, each with whether it is active, and whether it is an error.
fn all(triggers: &[(bool, bool)]) -> Vec<Observed> {
    let triggers = triggers.iter();
    let triggers = triggers.map(|(active, error)| observed(*active, (!error).then_some(1000)));
    triggers.collect()
}

/// `TestScaleToMinReplicasWhenNotActive`, `TestScaleToMinReplicasFromLowerInitialReplicaCount`,
/// `TestScaleFromMinReplicasWhenActive`, `TestScaleToIdleReplicasWhenNotActive`,
/// `TestScaleFromIdleToMinReplicasWhenActive`, and what `RequestScale` does with errors.
#[test]
fn one_poll() {
    let none = scaled_object(0, None);
    let fallback = |replicas| ScaledObject {
        fallback: Some(Fallback {
            failure_threshold: 3,
            replicas,
            behavior: FallbackBehavior::Static,
        }),
        ..scaled_object(0, None)
    };
    for (given, scaled_object, triggers, replicas, then) in [
        (
            "to min when not active",
            none.clone(),
            INACTIVE,
            10,
            Some(0),
        ),
        (
            "to min from fewer",
            scaled_object(5, None),
            INACTIVE,
            1,
            Some(5),
        ),
        ("from zero when active", none.clone(), ACTIVE, 0, Some(1)),
        (
            "from zero to the minimum",
            scaled_object(3, None),
            ACTIVE,
            0,
            Some(3),
        ),
        (
            "to idle when not active",
            scaled_object(5, Some(3)),
            INACTIVE,
            10,
            Some(3),
        ),
        ("at idle", scaled_object(5, Some(3)), INACTIVE, 3, None),
        (
            "from idle to min when active",
            scaled_object(5, Some(3)),
            ACTIVE,
            3,
            Some(5),
        ),
        ("active, the HPA's range", none.clone(), ACTIVE, 4, None),
        (
            "inactive above a minimum",
            scaled_object(2, None),
            INACTIVE,
            4,
            None,
        ),
        ("inactive at zero", none.clone(), INACTIVE, 0, None),
        ("an error, no fallback", none.clone(), ERROR, 4, None),
        ("an error, a fallback", fallback(2), ERROR, 4, None),
        (
            "an error, a fallback of zero",
            fallback(0),
            ERROR,
            4,
            Some(0),
        ),
        ("an error at zero", fallback(2), ERROR, 0, None),
        (
            "an error beside an active one",
            none,
            ACTIVE_AND_ERROR,
            0,
            Some(1),
        ),
    ] {
        let mut keda = Keda::new(scaled_object, triggers.len());
        let found = keda.request_scale(&all(triggers), replicas, seconds(600));
        assert_eq!(found, then, "{given}");
    }
}

#[test]
fn it_goes_to_zero_when_it_was_inactive_for_the_cooldown_period() {
    let mut keda = Keda::new(scaled_object(0, None), 1);
    assert_eq!(keda.request_scale(&all(ACTIVE), 0, seconds(30)), Some(1));
    assert_eq!(keda.request_scale(&all(ACTIVE), 1, seconds(60)), None);
    for now in (90..360).step_by(30) {
        let found = keda.request_scale(&all(INACTIVE), 1, seconds(now));
        assert_eq!(found, None, "{now} s");
    }
    let found = keda.request_scale(&all(INACTIVE), 1, seconds(360));
    assert_eq!(found, Some(0), "300 s after it was active");
}

#[test]
fn one_that_was_never_active_has_its_own_cooldown_period() {
    let mut keda = Keda::new(
        ScaledObject {
            initial_cooldown_period: seconds(120),
            ..scaled_object(0, None)
        },
        1,
    );
    assert_eq!(keda.request_scale(&all(INACTIVE), 2, seconds(90)), None);
    assert_eq!(keda.request_scale(&all(INACTIVE), 2, seconds(120)), Some(0));
}

#[test]
fn while_another_trigger_fails_the_cooldown_period_runs_on() {
    let mut keda = Keda::new(scaled_object(0, None), 2);
    keda.request_scale(&all(ACTIVE), 1, seconds(0));
    keda.request_scale(&all(ACTIVE_AND_ERROR), 1, seconds(270));
    let found = keda.request_scale(&all(INACTIVE), 1, seconds(300));
    assert_eq!(found, Some(0));
}

fn failed() -> Result<Reading> {
    Err(Error::new(Kind::Unreachable, "no response", ""))
}

fn scale(replicas: u32, ready_pods: u32) -> Scale {
    Scale {
        replicas,
        ready_pods,
    }
}

/// "should return a normalised metric when number of failures are beyond threshold" and those of the
/// behaviors.
#[test]
fn after_enough_failures_the_fallback_is_the_value() {
    use FallbackBehavior::*;
    use MetricTarget::{AverageValue, Value};
    for (given, behavior, target, scale, then) in [
        (
            "static",
            Static,
            AverageValue(10.0),
            scale(15, 15),
            Some(100_000),
        ),
        (
            "the current ones",
            CurrentReplicas,
            AverageValue(10.0),
            scale(6, 6),
            Some(60_000),
        ),
        (
            "if higher, lower",
            CurrentReplicasIfHigher,
            AverageValue(10.0),
            scale(4, 4),
            Some(100_000),
        ),
        (
            "if higher, higher",
            CurrentReplicasIfHigher,
            AverageValue(10.0),
            scale(14, 4),
            Some(140_000),
        ),
        (
            "if lower, lower",
            CurrentReplicasIfLower,
            AverageValue(10.0),
            scale(4, 4),
            Some(40_000),
        ),
        (
            "if lower, higher",
            CurrentReplicasIfLower,
            AverageValue(10.0),
            scale(14, 4),
            Some(100_000),
        ),
        (
            "for Value, a part of it",
            Static,
            Value(30.0),
            scale(4, 4),
            Some(75_000),
        ),
        (
            "for Value, none ready",
            Static,
            Value(30.0),
            scale(4, 0),
            None,
        ),
    ] {
        let fallback = Some(Fallback {
            failure_threshold: 3,
            replicas: 10,
            behavior,
        });
        let mut keda = Keda::new(
            ScaledObject {
                fallback,
                ..ScaledObject::default()
            },
            1,
        );
        for failures in 1..=3 {
            let observed = keda.observe(0, target, &failed(), scale);
            assert_eq!(observed.metric.value, None, "{given}: {failures} failures");
        }
        let observed = keda.observe(0, target, &failed(), scale);
        assert_eq!(observed.metric.value, then.map(Milli), "{given}");
        assert_eq!(observed.active, then.is_some(), "{given}");

        let reading = Reading {
            value: 7.0,
            active: false,
        };
        let observed = keda.observe(0, target, &Ok(reading), scale);
        assert_eq!(observed.metric.value, Some(Milli(7000)), "{given}");
        let observed = keda.observe(0, target, &failed(), scale);
        assert_eq!(observed.metric.value, None, "{given}: counts from 0 again");
    }
}

#[test]
fn bounds_are_checked_as_by_keda() {
    for (min, max, idle, then) in [
        (0, 100, None, None),
        (5, 5, Some(0), None),
        (
            6,
            5,
            None,
            Some(
                "minReplicaCount 6 is above maxReplicaCount 5. The minimum of the HPA is at least 1.",
            ),
        ),
        (
            2,
            5,
            Some(2),
            Some("idleReplicaCount 2 is not below minReplicaCount 2. KEDA supports 0 alone."),
        ),
    ] {
        let scaled_object = ScaledObject {
            max_replica_count: max,
            ..scaled_object(min, idle)
        };
        let error = scaled_object.check().err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), then);
    }
}
