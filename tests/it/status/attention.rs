//! What needs a person: in which order, how much of it, and what is one thing.

use std::time::Duration;

use serde_json::Value;
use testkit::{
    process,
    redis::{self, Redis},
    require,
    scaler::{self, Scaler, with},
};
use tokio::time::{Instant, sleep};

use super::{json, on_list, with_a_slip};
use crate::{program::HANGS, temporal::needs_temporal};

/// The entries of the overview.
async fn attention(scaler: &Scaler) -> Vec<Value> {
    let overview = json(scaler, "/api/v1/overview").await;
    overview["attention"].as_array().unwrap().clone()
}

fn about(entries: &[Value]) -> Vec<&str> {
    let all = entries.iter();
    all.map(|entry| entry["about"].as_str().unwrap()).collect()
}

/// The triggers that an entry names, with what they measure.
fn affected(entry: &Value) -> Vec<String> {
    let all = entry["affected"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
    let all = all.map(|trigger| {
        let [namespace, object, measures] =
            ["namespace", "object", "measures"].map(|key| text(&trigger[key]));
        format!("{namespace}/{object} {measures}")
    });
    all.collect()
}

/// How many triggers the list of an entry has.
async fn listed(scaler: &Scaler, entry: &Value) -> Value {
    let query = entry["query"].as_str().unwrap();
    let list = json(scaler, &format!("/api/v1/triggers?{query}")).await;
    list["selected"].clone()
}

#[tokio::test]
async fn what_needs_a_person_comes_with_its_reason() {
    let scaler = Scaler::start().await;
    let dead = format!("127.0.0.1:{}", process::free_port());
    for n in 0..30 {
        let work = on_list(
            "mail",
            &format!("sender-{n:02}"),
            &dead,
            &format!("mails-{n}"),
        );
        scaler.evaluate(&work).await.unwrap_err();
    }
    let slip = with_a_slip("shop", "typo", &dead);
    scaler.evaluate(&slip).await.unwrap_err();

    let overview = json(&scaler, "/api/v1/overview").await;
    let attention = overview["attention"].as_array().unwrap();
    // Thirty triggers of one dead server are one thing to look at, and the first one.
    assert_eq!(about(attention), ["connection", "refused"], "{overview:#}");
    let [lost, refused] = [&attention[0], &attention[1]];
    assert_eq!(refused["name"], "shop/typo");
    let what = refused["error"]["what"].as_str().unwrap();
    assert!(what.contains("did you mean `listLength`?"), "{what}");
    let next = refused["error"]["next"].as_str().unwrap();
    assert!(next.contains("`backlog-scaler keys redis`"), "{next}");
    assert_eq!(
        (&lost["triggers"], &lost["error"]["kind"]),
        (&30.into(), &"unreachable".into())
    );
    let first = [0, 1, 2].map(|n| format!("mail/sender-{n:02} length of mails-{n}"));
    assert_eq!(affected(lost), first);
    assert_eq!(lost["error"]["help"], "/help#unreachable");
    assert!(scaler.page("/help").await.1.contains("id=\"unreachable\""));
    assert_eq!(overview["triggers"]["failing"], 30);

    let id = lost["id"].as_str().unwrap();
    let of_connection = json(&scaler, &format!("/api/v1/triggers?connection={id}")).await;
    assert_eq!(of_connection["selected"], 30);
    assert_eq!(listed(&scaler, lost).await, 30);
}

#[tokio::test]
async fn a_limit_that_is_nearly_reached_is_shown_before_it_is() {
    let scaler = Scaler::with("engine: {triggers: 10, triggersPerNamespace: 5}").await;
    let mut client = scaler.client().await;
    for n in 0..5 {
        let work = on_list("shop", &format!("worker-{n}"), "127.0.0.1:1", "jobs");
        client.get_metric_spec(work).await.unwrap();
    }
    let attention = attention(&scaler).await;
    assert_eq!(about(&attention), ["limit"], "{attention:#?}");
    let what = attention[0]["error"]["what"].as_str().unwrap();
    assert!(what.contains("namespace shop uses 5 of 5"), "{what}");
}

#[tokio::test]
async fn a_kind_has_five_entries_and_one_mistake_in_a_namespace_is_one() {
    let scaler = Scaler::start().await;
    for n in 0..7 {
        let slip = with_a_slip(&format!("team-{n}"), "worker", "127.0.0.1:1");
        scaler.evaluate(&slip).await.unwrap_err();
    }
    for object in ["c", "b", "a", "d"] {
        let slip = with_a_slip("shop", object, "127.0.0.1:1");
        scaler.evaluate(&slip).await.unwrap_err();
    }
    let overview = json(&scaler, "/api/v1/overview").await;
    let attention = overview["attention"].as_array().unwrap();
    let names = |entries: &[Value]| -> Vec<String> {
        let names = entries.iter().map(|entry| entry["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    };
    // The newest first; the four of `shop` are one, whose first by name it is called.
    let then = [
        "shop/a",
        "team-6/worker",
        "team-5/worker",
        "team-4/worker",
        "team-3/worker",
    ];
    assert_eq!(names(attention), then);
    let more = &overview["moreAttention"];
    assert_eq!(
        *more,
        serde_json::json!([{"about": "refused", "entries": 3}])
    );
    let shop = &attention[0];
    assert_eq!(shop["triggers"], 4);
    assert_eq!(
        affected(shop),
        ["shop/a nothing", "shop/b nothing", "shop/c nothing"]
    );
    assert_eq!(listed(&scaler, shop).await, 4);

    // KEDA calls again and again: nothing moves.
    for n in [3, 0, 6] {
        let slip = with_a_slip(&format!("team-{n}"), "worker", "127.0.0.1:1");
        scaler.evaluate(&slip).await.unwrap_err();
        assert_eq!(names(&self::attention(&scaler).await), then);
    }
    let page = scaler.page("/").await.1;
    assert!(
        page.contains("<a href=\"/?status=refused\">3 more</a>"),
        "{page}"
    );
    assert!(
        page.contains("4 triggers of this namespace with this error"),
        "{page}"
    );
}

#[tokio::test]
async fn a_dead_server_is_one_entry_whatever_the_login() {
    let scaler = Scaler::start().await;
    let dead = format!("127.0.0.1:{}", process::free_port());
    for (object, user, password) in [
        ("a", None, "one"),
        ("b", None, "one"),
        ("c", None, "two"),
        ("d", Some("worker"), "three"),
    ] {
        let work = with(on_list("shop", object, &dead, object), "password", password);
        let work = user
            .into_iter()
            .fold(work, |work, user| with(work, "username", user));
        scaler.evaluate(&work).await.unwrap_err();
    }
    let lost = attention(&scaler).await;
    assert_eq!(about(&lost), ["connection"], "{lost:#?}");
    assert_eq!(
        (&lost[0]["connections"], &lost[0]["triggers"]),
        (&3.into(), &4.into()),
        "{lost:#?}"
    );
    assert_eq!(listed(&scaler, &lost[0]).await, 4);
    let page = scaler.page("/").await.1;
    assert!(page.contains("3 connections to this server"), "{page}");
    // Each connection has its own triggers.
    let all = json(&scaler, "/api/v1/connections").await;
    let all = all["connections"].as_array().unwrap().iter();
    let mut triggers: Vec<_> = all
        .map(|found| found["triggers"].as_u64().unwrap())
        .collect();
    triggers.sort_unstable();
    assert_eq!(triggers, [1, 1, 2]);
}

#[tokio::test]
async fn a_wrong_password_affects_no_trigger_with_the_right_one() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let redis = Redis::builder().password("right").start().await;
    let scaler = Scaler::start().await;
    for (object, password) in [("a", "right"), ("b", "right"), ("c", "wrong")] {
        let work = on_list("shop", object, &redis.address(), object);
        let outcome = scaler.evaluate(&with(work, "password", password)).await;
        assert_eq!(outcome.is_ok(), password == "right", "{outcome:?}");
    }
    let lost = attention(&scaler).await;
    assert_eq!(about(&lost), ["connection"], "{lost:#?}");
    assert_eq!(lost[0]["error"]["kind"], "unauthorized");
    assert_eq!(affected(&lost[0]), ["shop/c length of c"]);
    assert_eq!(listed(&scaler, &lost[0]).await, 1);
}

#[tokio::test]
async fn old_samples_are_an_entry() {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 7).await;
    redis.rpush("mails", 2).await;
    let held = |object: &str| {
        let work = on_list("shop", object, &redis.address(), object);
        with(work, "maxStaleness", "1m")
    };
    let (jobs, mails) = (held("jobs"), held("mails"));
    for work in [&jobs, &mails] {
        assert_eq!(scaler.evaluate(work).await.unwrap().stale, None);
    }
    // One queue cannot be read, on a connection that is up.
    redis.command(&["SET", "mails", "no list"]).await;
    let stale = scaler.evaluate(&mails).await.unwrap();
    assert_eq!(
        (stale.value, stale.stale.as_deref()),
        (2.0, Some("unreadable"))
    );
    let entries = attention(&scaler).await;
    assert_eq!(about(&entries), ["stale"], "{entries:#?}");
    assert_eq!(entries[0]["name"], "shop/mails");
    assert_eq!(entries[0]["error"]["kind"], "unreadable");
    assert!(scaler.page("/").await.1.contains("old samples"));

    // Nothing can be read: the reason is the connection, with both triggers on it.
    redis.kill();
    for work in [&jobs, &mails] {
        let stale = scaler.evaluate(work).await.unwrap();
        assert_eq!(stale.stale.as_deref(), Some("unreachable"));
    }
    let overview = json(&scaler, "/api/v1/overview").await;
    assert_eq!(overview["triggers"]["stale"], 2);
    let entries = overview["attention"].as_array().unwrap();
    assert_eq!(about(entries), ["connection"], "{entries:#?}");
    let both = ["shop/jobs length of jobs", "shop/mails length of mails"];
    assert_eq!(affected(&entries[0]), both);
}

#[tokio::test]
async fn a_budget_that_makes_calls_wait_is_an_entry() {
    needs_temporal!();
    let (temporal, scaler) = (crate::temporal::shared().await, Scaler::start().await);
    let mut running = Vec::new();
    for n in 0..20 {
        let mut work = scaler::trigger([
            ("backend", "temporal"),
            ("endpoint", &temporal.address()),
            ("taskQueue", &format!("slow-{n}")),
            ("requestsPerSecond", "1"),
        ]);
        work.name = format!("worker-{n:02}");
        let mut client = scaler.client().await;
        running.push(tokio::spawn(async move {
            // Some are too late, which is what the entry is for.
            let _ = scaler::evaluate(&mut client, &work).await;
        }));
    }
    let started = Instant::now();
    let entry = loop {
        let entries = attention(&scaler).await;
        match entries.into_iter().find(|entry| entry["about"] == "budget") {
            Some(entry) => break entry,
            None => assert!(started.elapsed() < HANGS, "there is no entry"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    let what = entry["error"]["what"].as_str().unwrap();
    assert!(what.contains("requests wait for their turn"), "{what}");
    assert_eq!(entry["triggers"], 20);
    let id = entry["id"].as_str().unwrap();
    let found = json(&scaler, &format!("/api/v1/connections/{id}")).await;
    let budget = &found["connections"][0]["budget"];
    assert!(budget["waiting"].as_u64().unwrap() > 0, "{found:#}");
    assert!(budget["waitSeconds"].as_f64().unwrap() > 0.5, "{found:#}");
    running.iter().for_each(|call| call.abort());
}
