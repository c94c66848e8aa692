//! Queues in; keys, names and problems out.

use std::collections::BTreeSet;

use super::*;

const LAYOUTS: [Layout; 4] = [Layout::BullMq, Layout::Celery, Layout::Sidekiq, Layout::Rq];

fn list(names: &[&str]) -> NameList {
    NameList(names.iter().map(|name| name.to_string()).collect())
}

/// The keys of a layout: those that wait, are due, are taken, and say that it is paused.
fn keys(layout: Layout, names: &[&str], prefix: Option<&str>, shared: bool) -> [String; 4] {
    let lists = Queues::new(layout, &list(names), prefix, shared)
        .unwrap()
        .lists();
    let join = |names: BTreeSet<String>| Vec::from_iter(names).join(" ");
    let due = lists.due.into_iter();
    let due: Vec<_> = due
        .map(|(key, scale)| format!("{key} in {}", scale.unit()))
        .collect();
    [
        join(lists.waiting.names),
        due.join(" "),
        join(lists.processing.names),
        join(lists.paused_by),
    ]
}

#[test]
fn a_layout_stands_for_the_keys_of_its_library() {
    for (layout, prefix, shared, expected) in [
        (
            Layout::BullMq,
            None,
            false,
            [
                "bull:mail:prioritized bull:mail:wait",
                "bull:mail:delayed in BullMQ's unit",
                "bull:mail:active",
                "bull:mail:meta",
            ],
        ),
        (
            Layout::BullMq,
            Some("{shop}"),
            false,
            [
                "{shop}:mail:prioritized {shop}:mail:wait",
                "{shop}:mail:delayed in BullMQ's unit",
                "{shop}:mail:active",
                "{shop}:mail:meta",
            ],
        ),
        (Layout::Sidekiq, None, false, ["queue:mail", "", "", ""]),
        (
            Layout::Sidekiq,
            Some("shop"),
            true,
            [
                "shop:queue:mail",
                "shop:retry in seconds shop:schedule in seconds",
                "",
                "",
            ],
        ),
        (
            Layout::Rq,
            None,
            false,
            [
                "rq:queue:mail",
                "rq:scheduled:mail in seconds",
                "rq:wip:mail",
                "",
            ],
        ),
    ] {
        assert_eq!(
            keys(layout, &["mail"], prefix, shared),
            expected,
            "{layout}"
        );
    }
    let priorities = |queue: &str| {
        let keys = (1..=9).map(|priority| format!(" {queue}\u{6}\u{16}{priority}"));
        format!("{queue}{}", keys.collect::<String>())
    };
    let [waiting, due, processing, _] = keys(Layout::Celery, &["mail"], None, false);
    assert_eq!((waiting, &*due, &*processing), (priorities("mail"), "", ""));
    let [waiting, _, processing, _] = keys(Layout::Celery, &["mail"], Some("a-"), true);
    assert_eq!((waiting, &*processing), (priorities("a-mail"), "a-unacked"));
}

#[test]
fn no_queue_has_more_keys_than_are_allowed_for() {
    for layout in LAYOUTS {
        let queues = Queues::new(layout, &list(&["a-{0..9}"]), None, false).unwrap();
        let lists = queues.lists();
        let keys = lists.waiting.names.len() + lists.due.len();
        let keys = keys + lists.processing.names.len() + lists.paused_by.len();
        assert_eq!(keys, 10 * keys_of_a_queue(layout), "{layout}");
    }
}

#[test]
fn queues_are_named_in_words() {
    for (names, prefix, text) in [
        (list(&["mail"]), Some("bull"), "bullmq queue mail"),
        (list(&["a-{0..1}"]), None, "bullmq queues a-0, a-1"),
        (
            list(&["mail"]),
            Some("x"),
            "bullmq queue mail with prefix x",
        ),
    ] {
        let queues = Queues::new(Layout::BullMq, &names, prefix, false).unwrap();
        assert_eq!(queues.to_string(), text);
    }
    let queues = Queues::new(Layout::Celery, &list(&["mail"]), None, true).unwrap();
    assert_eq!(queues.to_string(), "celery queue mail and its shared keys");
}

#[test]
fn what_is_no_name_of_a_queue_is_refused() {
    let problem = |layout, names: &[&str], shared| {
        let queues = Queues::new(layout, &list(names), None, shared);
        queues.unwrap_err().to_string()
    };
    for (layout, names, text) in [
        (
            Layout::Rq,
            &["mail", "jobs-*"],
            "queue: `mail,jobs-*` has `jobs-*`, which is a glob; name each queue, or write a \
             range such as jobs-{0..9}",
        ),
        (
            Layout::BullMq,
            &["mail", "bull:jobs"],
            "queue: `mail,bull:jobs` has `bull:jobs`, but no queue of BullMQ has a colon in \
             its name; write what is before the name as `prefix`",
        ),
        (
            Layout::Celery,
            &["a", "b-{1..1000}"],
            "queue: `a,b-{1..1000}` stands for 1001 queues of 10 keys; one trigger may sum \
             10000 keys",
        ),
    ] {
        assert_eq!(problem(layout, names, false), text);
    }
    for layout in [Layout::BullMq, Layout::Rq] {
        let text =
            format!("sharedKeys: is not for `layout: {layout}`, which keeps everything by queue");
        assert_eq!(problem(layout, &["mail"], true), text);
    }
    // Other libraries have such names.
    for layout in [Layout::Celery, Layout::Sidekiq, Layout::Rq] {
        assert!(Queues::new(layout, &list(&["shop:mail"]), None, false).is_ok());
    }
}
