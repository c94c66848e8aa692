//! Policies for fewer replicas.

use super::{
    policies::{limited, rules},
    *,
};

/// `TestScalingWithRules` of horizontal_test.go: scaling down.
#[test]
fn policies_limit_scaling_down() {
    let down = ScalingRules::scale_down;
    let many = (1, 1000);
    let (none, three, four): (&[u32], _, _) = (&[], &[1, 5, 9][..], &[8, 12, 9, 11][..]);
    for (given, rules, bounds, changes, from_to, then) in [
        ("minReplicas", down(), (2, 8), (none, none), (3, 1), 2),
        ("to zero", down(), (0, 10), (none, none), (1, 0), 0),
        (
            "the limit above minReplicas",
            rules((20, 60), (0, 0)),
            (3, 2000),
            (none, none),
            (1000, 3),
            980,
        ),
        (
            "pods above percent",
            rules((20, 60), (1, 60)),
            many,
            (none, none),
            (100, 2),
            80,
        ),
        (
            "more pods than percent",
            rules((2, 60), (1, 60)),
            many,
            (none, none),
            (100, 2),
            98,
        ),
        (
            "large pods",
            rules((100, 60), (0, 0)),
            many,
            (none, none),
            (10, 0),
            1,
        ),
        (
            "large percent",
            rules((0, 0), (100, 60)),
            (5, 1000),
            (none, none),
            (10, 2),
            5,
        ),
        (
            "pods",
            rules((5, 60), (0, 0)),
            many,
            (none, none),
            (10, 2),
            5,
        ),
        (
            "percent",
            rules((0, 0), (50, 60)),
            many,
            (none, none),
            (10, 5),
            5,
        ),
        ("default, events", down(), many, (none, three), (10, 5), 5),
        (
            "large pods, events",
            rules((115, 120), (0, 0)),
            many,
            (none, three),
            (100, 0),
            1,
        ),
        (
            "huge pods, events",
            rules((130, 120), (0, 0)),
            (5, 1000),
            (none, three),
            (100, 0),
            5,
        ),
        (
            "large percent, events",
            rules((0, 0), (100, 120)),
            (5, 1000),
            (none, three),
            (100, 2),
            5,
        ),
        (
            "pods, events",
            rules((5, 120), (0, 0)),
            many,
            (none, three),
            (100, 2),
            100,
        ),
        (
            "percent, events",
            rules((0, 0), (50, 120)),
            many,
            (none, &[2, 4, 6]),
            (100, 0),
            56,
        ),
        (
            "percent, up and down",
            rules((0, 0), (50, 180)),
            many,
            (&[2], &[4]),
            (10, 1),
            6,
        ),
        (
            "more than allowed before",
            rules((0, 0), (10, 120)),
            many,
            (none, &[10, 10, 10]),
            (100, 0),
            100,
        ),
        (
            "below zero",
            rules((0, 0), (1000, 120)),
            many,
            (none, &[10, 10, 10]),
            (10, 5),
            5,
        ),
        (
            "outdated, one policy",
            rules((1000, 60), (0, 0)),
            many,
            (none, four),
            (100, 5),
            5,
        ),
        (
            "not outdated",
            rules((1000, 120), (100, 60)),
            many,
            (none, four),
            (100, 5),
            5,
        ),
        (
            "outdated for one",
            rules((1000, 30), (100, 60)),
            many,
            (none, four),
            (100, 5),
            5,
        ),
    ] {
        assert_eq!(limited(rules, bounds, changes, from_to), then, "{given}");
    }
}
