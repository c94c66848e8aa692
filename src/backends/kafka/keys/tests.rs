use super::*;
use crate::backends::kafka::testing::{plan, plan_error};

fn with<'a>(keys: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("consumerGroup", "g")];
    all.extend(keys);
    all
}

#[test]
fn a_plan_has_kedas_defaults() {
    let plan = plan("kafka", &with(&[("topic", "orders")]));
    assert_eq!(plan.query.to_string(), "lag of group g in orders");
    assert_eq!(plan.readable_name, "kafka-orders");
    assert_eq!(plan.target, Target(10));
    let expected = LagRule {
        threshold: Target(10),
        activation: Activation(0),
        reset: OffsetReset::Latest,
        zero_without_commit: false,
        allow_idle_consumers: false,
        limit_to_partitions_with_lag: false,
        ensure_even_distribution: false,
        tolerance: 0,
        exclude_persistent_after: None,
    };
    assert_eq!(plan.rule, expected);
}

#[test]
fn every_key_has_its_effect() {
    let plan = plan(
        "kafka",
        &with(&[
            ("topics", "orders, audit-{0..1}, ^shop-.*, orders"),
            ("partitionLimitation", "1,2,5-8"),
            ("lagThreshold", "7"),
            ("activationLagThreshold", "3"),
            ("offsetResetPolicy", "earliest"),
            ("scaleToZeroOnInvalidOffset", "true"),
            ("limitToPartitionsWithLag", "true"),
            ("excludePersistentLag", "true"),
            ("persistentLagAfter", "90s"),
            ("isolationLevel", "read_uncommitted"),
            ("lagTolerance", "1"),
            ("version", "2.5.0"),
            ("fullMetadata", "false"),
        ]),
    );
    assert_eq!(
        plan.query.to_string(),
        "lag of group g in audit-0, audit-1, orders and 1 more, partitions 1-2,5-8, read_uncommitted"
    );
    assert_eq!(plan.rule.tolerance, 1);
    assert!(plan.rule.zero_without_commit && plan.rule.limit_to_partitions_with_lag);
    assert_eq!(plan.rule.reset, OffsetReset::Earliest);
    assert_eq!(
        plan.rule.exclude_persistent_after,
        Some(Duration::from_secs(90))
    );
    let default = with(&[("topic", "t"), ("excludePersistentLag", "true")]);
    let rule = crate::backends::kafka::testing::plan("kafka", &default).rule;
    assert_eq!(rule.exclude_persistent_after, Some(Duration::from_secs(30)));
}

#[test]
fn no_topic_means_those_of_the_group() {
    let plan = plan("kafka", &with(&[("partitionLimitation", "1")]));
    assert_eq!(plan.query.topics, TopicSelection::OfGroup);
    assert!(plan.query.partitions.is_empty(), "is ignored, as in KEDA");
    assert_eq!(plan.readable_name, "kafka-g-topics");
}

#[test]
fn apache_kafka_has_a_list_under_topic() {
    let list = plan("apache-kafka", &with(&[("topic", "a, b")]));
    assert_eq!(list.query, plan("kafka", &with(&[("topics", "a,b")])).query);
    let error = plan_error("kafka", &with(&[("topic", "a,b")]));
    assert_eq!(
        error,
        "topic: `a,b` names several topics; write them under `topics`"
    );
}

#[test]
fn bad_input_is_answered_with_what_is_wrong() {
    let cases: [(&[(&str, &str)], &str); 22] = [
        (
            &[("partitionLimitation", "3-1")],
            "has the range 3-1, which is reversed",
        ),
        (
            &[("partitionLimitation", "a")],
            "has `a`, which is not a partition",
        ),
        (
            &[("partitionLimitation", "1-2-3")],
            "has `1-2-3`, which is not a partition",
        ),
        (
            &[("partitionLimitation", "99999999")],
            "the largest can be 999999",
        ),
        (
            &[("partitionLimitation", "0-99999")],
            "stands for 100000 partitions",
        ),
        (
            &[("lagThreshold", "0")],
            "lagThreshold: `0` must be a whole number from 1",
        ),
        (
            &[("activationLagThreshold", "-1")],
            "must be a whole number from 0",
        ),
        (
            &[("offsetResetPolicy", "none")],
            "`none` must be latest or earliest",
        ),
        (
            &[("isolationLevel", "x")],
            "must be read_committed or read_uncommitted",
        ),
        (
            &[
                ("topic", "t"),
                ("allowIdleConsumers", "true"),
                ("limitToPartitionsWithLag", "true"),
            ],
            "limitToPartitionsWithLag: cannot be combined with `allowIdleConsumers`",
        ),
        (
            &[
                ("topic", "t"),
                ("ensureEvenDistributionOfPartitions", "true"),
                ("limitToPartitionsWithLag", "true"),
            ],
            "ensureEvenDistributionOfPartitions: cannot be combined with `limitToPartitionsWithLag`",
        ),
        (
            &[("limitToPartitionsWithLag", "true")],
            "limitToPartitionsWithLag: needs `topic` or `topics`",
        ),
        (
            &[("ensureEvenDistributionOfPartitions", "true")],
            "ensureEvenDistributionOfPartitions: needs `topic` or `topics`",
        ),
        (
            &[("fullMetadata", "false")],
            "fullMetadata: false: needs `topic` or `topics`",
        ),
        (
            &[("topic", "a"), ("topics", "b")],
            "topics: is mutually exclusive with `topic`",
        ),
        (
            &[("topics", "^orders-(")],
            "topics: `^orders-(` is not a regex: unclosed group",
        ),
        (&[("topics", "^(a{1000}){1000}")], "is not a regex"),
        (&[("topics", "a{5..1}")], "reversed"),
        (&[("topic", "^orders")], "is not a topic's name"),
        (&[("topic", "orders/new")], "is not a topic's name"),
        (
            &[("topic", "t"), ("persistentLagAfter", "5s")],
            "needs `excludePersistentLag: true`",
        ),
        (
            &[
                ("topic", "t"),
                ("excludePersistentLag", "true"),
                ("persistentLagAfter", "0"),
            ],
            "must be longer",
        ),
    ];
    for (keys, expected) in cases {
        let error = plan_error("kafka", &with(keys));
        assert!(error.contains(expected), "{keys:?}: {error}");
    }
}

#[test]
fn an_empty_group_is_an_error() {
    assert_eq!(plan_error("kafka", &[]), "consumerGroup: is required");
    assert_eq!(
        plan_error("kafka", &[("consumerGroup", "")]),
        "consumerGroup: is required"
    );
    assert_eq!(
        plan_error("kafka", &[("consumerGroup", "  ")]),
        "consumerGroup: is required"
    );
}

#[test]
fn a_signal_is_part_of_the_query_where_it_needs_more_than_the_lag() {
    let reach = |tolerance, from_start| {
        Measure::RecordAge(RecordReach {
            tolerance,
            from_start,
        })
    };
    let age = ("signal", "age");
    let record = ("ageFrom", "record");
    let zero = ("scaleToZeroOnInvalidOffset", "true");
    let earliest = ("offsetResetPolicy", "earliest");
    for (keys, measure, text) in [
        (&[][..], Measure::Lag, "lag of group g"),
        (
            &[("signal", "drainTime")],
            Measure::Progress,
            "lag of group g, with its progress",
        ),
        (&[age], Measure::ObservedAge, "lag of group g, with its age"),
        (
            &[age, ("ageFrom", "observed")],
            Measure::ObservedAge,
            "lag of group g, with its age",
        ),
        (
            &[age, record],
            reach(0, false),
            "lag of group g, with the age of records",
        ),
        (
            &[age, record, earliest, ("lagTolerance", "1")],
            reach(1, true),
            "lag of group g, with the age of records",
        ),
        (
            &[age, record, earliest, zero],
            reach(0, false),
            "lag of group g, with the age of records",
        ),
    ] {
        let plan = plan("kafka", &with(keys));
        assert_eq!(plan.query.measure, measure, "{keys:?}");
        assert_eq!(plan.query.to_string(), text);
    }
}

#[test]
fn signals_that_do_not_go_together_are_errors() {
    for (keys, reason) in [
        (&[("ageFrom", "record")][..], "ageFrom: needs `signal: age`"),
        (
            &[("signal", "drainTime"), ("ageFrom", "observed")],
            "ageFrom: needs `signal: age`",
        ),
        (
            &[("signal", "age"), ("ageFrom", "clock")],
            "ageFrom: `clock` must be observed or record",
        ),
        (
            &[("minimumWhileInFlight", "3")],
            "minimumWhileInFlight: is not known of a consumer group",
        ),
    ] {
        let error = plan_error("kafka", &with(keys));
        assert!(error.contains(reason), "{error}");
    }
}
