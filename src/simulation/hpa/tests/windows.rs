//! Stabilization windows.

use super::*;

/// Recommendations, each with its age in seconds.
fn recommendations(all: &[(u32, u64)]) -> Vec<Recommendation> {
    let all = all.iter().map(|(replicas, age)| Recommendation {
        at: NOW.saturating_sub(seconds(*age)),
        replicas: *replicas,
    });
    all.collect()
}

/// `TestNormalizeDesiredReplicas` of horizontal_test.go.
#[test]
fn without_behavior_the_largest_recommendation_of_the_window_counts() {
    for (given, recent, wanted, then) in [
        ("empty log", &[][..], 5, 5),
        ("stabilize", &[(4, 120), (5, 60)], 3, 5),
        ("no stabilize", &[(1, 120), (2, 60)], 3, 3),
        ("old recommendations", &[(10, 600), (9, 540)], 3, 3),
        (
            "stabilize, old ones",
            &[(10, 600), (4, 60), (5, 120), (9, 540)],
            3,
            5,
        ),
    ] {
        let mut hpa = Hpa::new(1, 100, None, HpaController::default());
        hpa.recommendations = recommendations(recent);
        assert_eq!(hpa.stabilize_down(wanted, NOW), then, "{given}");
    }
}

/// `TestNormalizeDesiredReplicasWithBehavior` of horizontal_test.go.
#[test]
fn with_behavior_each_direction_has_a_window() {
    for (given, recent, current, wanted, (up, down), then) in [
        ("empty", &[][..], 100, 5, (0, 0), 5),
        (
            "down stabilization",
            &[(4, 120), (5, 60)],
            100,
            3,
            (0, 180),
            5,
        ),
        ("up stabilization", &[(4, 120), (5, 60)], 1, 7, (300, 0), 4),
        (
            "no down stabilization",
            &[(1, 120), (2, 60)],
            100,
            3,
            (300, 0),
            3,
        ),
        (
            "no up stabilization",
            &[(4, 120), (5, 60)],
            1,
            3,
            (0, 300),
            3,
        ),
        ("old ones, down", &[(10, 600), (9, 540)], 100, 3, (0, 0), 3),
        ("old ones, up", &[(10, 600), (9, 540)], 1, 100, (0, 0), 100),
        (
            "down, one of them old",
            &[(10, 600), (4, 60), (5, 120), (9, 540)],
            100,
            3,
            (0, 180),
            5,
        ),
        (
            "up, one of them old",
            &[(10, 6000), (6, 60), (5, 120), (9, 180)],
            1,
            100,
            (300, 0),
            5,
        ),
        (
            "not up when it goes down",
            &[(2, 6000), (3, 180)],
            2,
            1,
            (300, 300),
            2,
        ),
        (
            "not down when it goes up",
            &[(2, 6000), (1, 180)],
            2,
            3,
            (300, 300),
            2,
        ),
    ] {
        let mut hpa = Hpa::new(1, 100, None, HpaController::default());
        hpa.recommendations = recommendations(recent);
        let windows = (seconds(up), seconds(down));
        let found = hpa.stabilize(current, wanted, windows, NOW);
        assert_eq!(found, then, "{given}");
    }
}

/// `TestScaleDownStabilizeInitialSize` of horizontal_test.go.
#[test]
fn the_first_sync_keeps_the_size_that_it_found_for_the_window() {
    let mut hpa = Hpa::new(2, 6, None, HpaController::default());
    let down = || vec![metric(AverageValue(1.0), 3000)];
    assert_eq!(hpa.sync(scale(5), NOW, down).replicas, 5);
    assert_eq!(hpa.sync(scale(5), NOW + seconds(300), down).replicas, 5);
    assert_eq!(hpa.sync(scale(5), NOW + seconds(315), down).replicas, 3);
}
