//! What the signals cost a server, and the rights that they need.

use std::collections::BTreeSet;

use backlog_scaler::keda::proto::ScaledObjectRef;
use futures_util::future::join_all;
use tonic::Code;

use super::{age, fresh, in_milliseconds};
use crate::redis::{list, needs_redis, stream};
use testkit::{
    redis::{Redis, Sentinel},
    scaler::{Scaler, trigger, with},
};

const LAG: [(&str, &str); 2] = [("consumerGroup", "g"), ("lagCount", "4")];

/// A server with a list, a sorted set and a stream with a group, all with work.
async fn fill(redis: &Redis) {
    redis.rpush("jobs", 2).await;
    let score = (in_milliseconds(-60_000) / 1000).to_string();
    redis.command(&["ZADD", "later", &score, "job"]).await;
    let id = format!("{}-0", in_milliseconds(-60_000));
    redis.command(&["XADD", "s", &id, "k", "v"]).await;
    redis.command(&["XGROUP", "CREATE", "s", "g", "0"]).await;
}

/// The commands that the server ran meanwhile, but for those of these tests.
async fn commands(
    redis: &Redis,
    scaler: &Scaler,
    triggers: &[ScaledObjectRef],
) -> BTreeSet<String> {
    // The connection, and the types of the keys.
    for trigger in triggers {
        scaler.evaluate(trigger).await.unwrap();
    }
    redis.command(&["CONFIG", "RESETSTAT"]).await;
    for trigger in triggers {
        scaler.evaluate(trigger).await.unwrap();
    }
    let stats = redis.command(&["INFO", "commandstats"]).await;
    let stats: String = ::redis::from_redis_value(stats).unwrap();
    let names = stats.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        Some(name.to_owned())
    });
    let of_tests = ["config|resetstat", "auth", "info", "hello"];
    names
        .filter(|name| !of_tests.contains(&name.as_str()))
        .collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn only_the_triggers_that_need_more_cost_more() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    fill(&redis).await;
    let (jobs, later) = (list(&redis, "jobs"), list(&redis, "later"));
    let lag = stream(&redis, "s", LAG);
    let (length, pending) = (
        stream(&redis, "s", []),
        stream(&redis, "s", [("consumerGroup", "g")]),
    );
    let due = with(later.clone(), "scores", "time");
    let drain = fresh(
        lag.clone(),
        [("signal", "drainTime"), ("targetSeconds", "9")],
    );
    let backlog: Vec<_> = [jobs, later, lag.clone(), length.clone(), pending.clone()]
        .into_iter()
        .map(|trigger| fresh(trigger, []))
        .collect();
    for (triggers, then) in [
        (
            backlog,
            set(["llen", "zcard", "xinfo|groups", "xlen", "xpending"]),
        ),
        (vec![fresh(due.clone(), [])], set(["zcount"])),
        (vec![age(due)], set(["zcount", "zrange"])),
        (
            vec![age(lag)],
            set(["time", "xinfo|groups", "xlen", "xrange"]),
        ),
        (vec![age(length)], set(["time", "xlen", "xrange"])),
        (vec![age(pending)], set(["xpending"])),
    ] {
        assert_eq!(commands(&redis, &scaler, &triggers).await, then);
    }
    // A drain time costs what the lag does.
    redis.command(&["XTRIM", "s", "MAXLEN", "0"]).await;
    let found = commands(&redis, &scaler, &[drain]).await;
    assert_eq!(found, set(["xinfo|groups", "xlen"]));
}

#[tokio::test]
async fn the_ages_of_many_large_entries_fit_the_limit_of_a_connection() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    // 300 entries and members of 64 KiB are some 20 MiB.
    let fill = "for i = 1, 150 do \
                local text = string.rep('x', 65536) \
                redis.call('XADD', 's-' .. i, '*', 'k', text) \
                redis.call('ZADD', 'z-' .. i, ARGV[1], text) end";
    let score = (in_milliseconds(-60_000) / 1000).to_string();
    redis.command(&["EVAL", fill, "0", &score]).await;
    let sets = trigger([
        ("backend", "redis"),
        ("address", &redis.address()),
        ("lists", "z-{1..150}"),
        ("scores", "time"),
    ]);
    let streams = (1..=150).map(|i| age(stream(&redis, &format!("s-{i}"), [])));
    let all: Vec<_> = streams.chain([age(sets)]).collect();
    let found = join_all(all.iter().map(|trigger| scaler.evaluate(trigger))).await;
    for found in &found {
        assert!(found.as_ref().is_ok_and(|found| found.active), "{found:?}");
    }
    assert!(found[150].as_ref().unwrap().value >= 60.0);
}

#[tokio::test]
async fn a_missing_right_is_named_and_the_documented_ones_are_enough() {
    needs_redis!();
    let base = "~* +llen +xlen +xpending +xinfo +xrange +type +ping";
    let redis = Redis::builder()
        .acl_user("scaler", "pw", &format!("{base} +zcount +zrange +time"))
        .acl_user("less", "pw", base)
        .start()
        .await;
    let scaler = Scaler::start().await;
    fill(&redis).await;
    let as_user = |trigger, user| with(with(trigger, "username", user), "password", "pw");
    let due = with(list(&redis, "later"), "scores", "time");
    for (trigger, right) in [
        (fresh(due.clone(), []), "zcount"),
        (age(due), "zcount"),
        (age(stream(&redis, "s", LAG)), "time"),
        (age(stream(&redis, "s", [])), "time"),
    ] {
        let allowed = scaler.evaluate(&as_user(trigger.clone(), "scaler")).await;
        assert!(allowed.is_ok_and(|found| found.value > 0.0), "{right}");
        let error = scaler.evaluate(&as_user(trigger, "less")).await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        let message = error.message();
        assert!(message.contains(&format!("'{right}'")), "{message}");
    }
}

#[tokio::test]
async fn the_master_of_sentinels_has_the_signals() {
    needs_redis!();
    let (sentinel, scaler) = (Sentinel::start().await, Scaler::start().await);
    fill(sentinel.master().await).await;
    let common = |backend: &str| {
        trigger([
            ("backend", backend),
            ("addresses", &sentinel.addresses().join(",")),
            ("sentinelMaster", Sentinel::MASTER_NAME),
        ])
    };
    let due = with(common("redis-sentinel"), "listName", "later");
    let stream = with(common("redis-sentinel-streams"), "stream", "s");
    for trigger in [age(with(due, "scores", "time")), age(fresh(stream, LAG))] {
        let found = scaler.evaluate(&trigger).await.unwrap();
        assert!((60.0..120.0).contains(&found.value), "{found:?}");
    }
}
