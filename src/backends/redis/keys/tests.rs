//! Keys in; queries, rules and problems out.

use super::*;
use crate::sampling::tests::keys;

fn plan(trigger_type: &str, keys: &[(&str, &str)]) -> Result<Plan<Redis>, String> {
    keys::plan::<Redis>(trigger_type, keys).map_err(|problems| problems.to_string())
}

fn problems(trigger_type: &str, keys: &[(&str, &str)]) -> String {
    plan(trigger_type, keys).err().expect("the keys are wrong")
}

#[test]
fn lists_become_one_query_with_its_thresholds() {
    let keys = [
        ("lists", "jobs-{0..1}, mail:*"),
        ("processingLists", "taken"),
        ("listLength", "7"),
        ("activationListLength", "3"),
    ];
    let plan = plan("redis", &keys).unwrap();
    assert_eq!(
        plan.query.to_string(),
        "length of jobs-0, jobs-1, mail:* and in processing taken"
    );
    assert_eq!(
        (plan.target, plan.rule.activation),
        (Target(7), Activation(3))
    );
    assert_eq!(plan.readable_name, "redis-jobs-{0..1}-mail:*");
}

#[test]
fn every_problem_of_a_list_trigger_is_reported_at_once() {
    let keys = [
        ("listName", "jobs"),
        ("lists", "jobs-{2..1}"),
        ("processingLists", "taken-{a..b}"),
    ];
    assert_eq!(
        problems("redis", &keys),
        "lists: is mutually exclusive with `listName`; \
         lists: `jobs-{2..1}` has the range {2..1}, which is reversed; it must be {a..b} with \
         0 ≤ a ≤ b; \
         processingLists: `taken-{a..b}` has the range {a..b}, which is not numeric; it must \
         be {a..b} with 0 ≤ a ≤ b"
    );
    assert_eq!(
        problems("redis", &[]),
        "listName: is required, or `lists`, or `layout`"
    );
}

#[test]
fn the_group_and_then_lag_count_decide_what_of_a_stream_counts() {
    let measure = |keys: &[(&str, &str)]| {
        let stream = [("stream", "orders")];
        let plan = plan("redis-streams", &[&stream, keys].concat()).unwrap();
        (plan.query.to_string(), plan.target)
    };
    let group = ("consumerGroup", "billing");
    assert_eq!(
        measure(&[("streamLength", "9")]),
        ("length of stream orders".to_owned(), Target(9))
    );
    assert_eq!(
        measure(&[group, ("lagCount", "8"), ("pendingEntriesCount", "9")]),
        (
            "lag of group billing in stream orders".to_owned(),
            Target(8)
        )
    );
    let (query, target) = measure(&[group]);
    assert_eq!(query, "pending entries of group billing in stream orders");
    assert_eq!(target, Target(5));
    assert_eq!(
        problems("redis-streams", &[("stream", "orders"), ("lagCount", "1")]),
        "consumerGroup: is required with `lagCount`"
    );
}

#[test]
fn scores_may_be_times_in_a_unit_that_is_said() {
    let jobs = ("lists", "jobs, later:*");
    let time = ("scores", "time");
    for (keys, query) in [
        (
            vec![jobs, time],
            "length of jobs, later:*, due by scores in seconds",
        ),
        (
            vec![jobs, time, ("scoreUnit", "milliseconds")],
            "length of jobs, later:*, due by scores in milliseconds",
        ),
        (
            vec![jobs, time, ("signal", "age"), ("targetSeconds", "9")],
            "age of jobs, later:*, due by scores in seconds",
        ),
    ] {
        assert_eq!(plan("redis", &keys).unwrap().query.to_string(), query);
    }
    for (keys, problem) in [
        (
            vec![jobs, ("scoreUnit", "seconds")],
            "scoreUnit: needs `scores: time`",
        ),
        (
            vec![jobs, ("scores", "priority")],
            "scores: `priority` must be time",
        ),
        (
            vec![jobs, ("signal", "age"), ("targetSeconds", "9")],
            "signal: `age` is not known of a list, as its entries have no time in them; it is \
             known of sorted sets with `scores: time`, and of streams",
        ),
        (
            vec![jobs, ("signal", "drainTime"), ("targetSeconds", "9")],
            "signal: `drainTime` is not known of a list, set, sorted set or hash; supported \
             there: backlog",
        ),
        (
            vec![jobs, time, ("signal", "drainTime"), ("targetSeconds", "9")],
            "signal: `drainTime` is not known of a sorted set; supported there: backlog, age",
        ),
    ] {
        assert_eq!(problems("redis", &keys), problem);
    }
}

#[test]
fn a_stream_has_the_signals_that_its_measure_knows() {
    let stream = ("stream", "orders");
    let group = ("consumerGroup", "billing");
    let lag = ("lagCount", "1");
    let age = [("signal", "age"), ("targetSeconds", "9")];
    let drain = [("signal", "drainTime"), ("targetSeconds", "9")];
    for (keys, query) in [
        (vec![age[0], age[1]], "age of the length of stream orders"),
        (
            vec![group, age[0], age[1]],
            "age of the pending entries of group billing in stream orders",
        ),
        (
            vec![group, lag, age[0], age[1]],
            "age of the lag of group billing in stream orders",
        ),
        (
            vec![group, lag, drain[0], drain[1]],
            "drainTime of the lag of group billing in stream orders",
        ),
        (
            vec![group, lag, ("minimumWhileInFlight", "2")],
            "lag of group billing in stream orders",
        ),
    ] {
        let plan = plan("redis-streams", &[vec![stream], keys].concat());
        assert_eq!(plan.unwrap().query.to_string(), query);
    }
    let needs_lag = "signal: `drainTime` is not known of a stream without `lagCount`; supported \
                     there: backlog, age";
    for (keys, problem) in [
        (vec![drain[0], drain[1]], needs_lag),
        (vec![group, drain[0], drain[1]], needs_lag),
        (
            vec![
                group,
                ("includePending", "true"),
                ("minimumWhileInFlight", "2"),
            ],
            "minimumWhileInFlight: needs `lagCount`; includePending: needs `lagCount`",
        ),
    ] {
        let keys = [vec![stream], keys].concat();
        assert_eq!(problems("redis-streams", &keys), problem);
    }
}

#[test]
fn pending_entries_are_added_on_request() {
    let keys = [
        ("stream", "orders"),
        ("consumerGroup", "billing"),
        ("lagCount", "1"),
    ];
    for (include, adds) in [(None, false), (Some("false"), false), (Some("true"), true)] {
        let include = include.map(|value| ("includePending", value));
        let keys: Vec<_> = keys.into_iter().chain(include).collect();
        let plan = plan("redis-streams", &keys).unwrap();
        assert_eq!(plan.rule.adds_processing, adds, "{include:?}");
    }
}

#[test]
fn a_layout_becomes_a_query_of_its_keys() {
    let keys = [
        ("layout", "bullmq"),
        ("queue", "mail, jobs-{0..1}"),
        ("listLength", "7"),
        ("minimumWhileInFlight", "2"),
    ];
    let plan = plan("redis", &keys).unwrap();
    assert_eq!(plan.query.to_string(), "bullmq queues jobs-0, jobs-1, mail");
    assert_eq!(plan.query.names().len(), 15, "all keys are checked");
    assert_eq!(plan.readable_name, "redis-bullmq-mail-jobs-{0..1}");
    assert!(plan.rule.adds_processing);
    assert_eq!(plan.target, Target(7));
}

#[test]
fn a_layout_excludes_the_keys_of_lists_and_what_it_does_not_know() {
    for (keys, text) in [
        (
            &[("layout", "resque"), ("queue", "mail")] as &[_],
            "layout: `resque` must be bullmq, celery, sidekiq or rq",
        ),
        (&[("layout", "rq")], "queue: is required with `layout`"),
        (
            &[("queue", "mail"), ("listName", "jobs"), ("prefix", "x")],
            "queue: needs `layout`; prefix: needs `layout`",
        ),
        (
            &[("listName", "jobs"), ("sharedKeys", "true")],
            "sharedKeys: needs `layout`",
        ),
        (
            &[
                ("layout", "rq"),
                ("queue", "mail"),
                ("lists", "a"),
                ("processingLists", "b"),
                ("scores", "time"),
            ],
            "lists: is mutually exclusive with `layout`; \
             processingLists: is mutually exclusive with `layout`; \
             scores: is mutually exclusive with `layout`",
        ),
        (
            &[
                ("layout", "bullmq"),
                ("queue", "mail"),
                ("signal", "age"),
                ("targetSeconds", "30"),
            ],
            "signal: `age` is not known of a queue of BullMQ, as its lists have no times; \
             supported there: backlog",
        ),
        (
            &[
                ("layout", "sidekiq"),
                ("queue", "mail"),
                ("minimumWhileInFlight", "1"),
            ],
            "minimumWhileInFlight: is not known with `layout: sidekiq`: Sidekiq keeps what is \
             taken by process, not by queue",
        ),
        (
            &[
                ("layout", "celery"),
                ("queue", "mail"),
                ("minimumWhileInFlight", "1"),
            ],
            "minimumWhileInFlight: needs `sharedKeys: true` with `layout: celery`: Celery keeps \
             what is taken by database, not by queue",
        ),
    ] {
        assert_eq!(problems("redis", keys), text);
    }
    for trigger_type in ["redis-cluster", "redis-sentinel"] {
        let text = problems(trigger_type, &[("layout", "rq")]);
        assert!(text.contains("queue: is required"), "{text}");
    }
}
