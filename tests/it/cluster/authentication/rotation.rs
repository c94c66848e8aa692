//! Credentials that change while fifty callers evaluate the triggers that use them: no call fails.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::FromRedisValue;
use serde_json::{Value, json};
use testkit::{
    kafka::{self, PASSWORD},
    process,
    redis::Redis,
    require,
    temporal::{self, Temporal, Tokens},
};
use tokio::time::sleep;

use super::{
    authentication,
    load::{CALLERS, Load},
    needs_cluster, scaled_object,
    scaling::{apply_in, settings, until_served},
    secret, secret_key, sent, trigger,
};
use crate::cluster::{SOON, control_plane::ControlPlane, objects::Namespace, program::Program};

type Keys = Vec<(String, String)>;

/// Calls of each caller in each phase.
const CALLS: usize = 20;

/// Several triggers of one object, which refer to one authentication.
async fn triggers(
    cluster: &Arc<ControlPlane>,
    program: &Program,
    namespace: &str,
    all: &[Keys],
) -> Load {
    let reference = json!({"name": "login"});
    let triggers = all.iter().map(|keys| {
        let keys: Vec<_> = keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        trigger(&keys, Some(reference.clone()))
    });
    apply_in(cluster, namespace, scaled_object(triggers.collect()));
    for trigger in all {
        until_served(&program.address(), namespace, trigger).await;
    }
    Load::start(&program.address(), namespace, all).await
}

fn keys(backend: &str, more: &[(&str, &str)]) -> Keys {
    let always = [("backend", backend), ("scalerAddress", "127.0.0.1:1")];
    let all: BTreeMap<_, _> = sent(&[&always, more].concat());
    all.into_iter().collect()
}

fn references(parameters: &[&str]) -> Value {
    let entries = parameters
        .iter()
        .map(|parameter| secret_key(parameter, "login", parameter));
    json!({"secretTargetRef": Vec::from_iter(entries)})
}

/// The rest of a rotation: the Secret is replaced while both credentials are valid.
async fn replace(cluster: &ControlPlane, namespace: &str, load: &Load, data: Value) {
    load.more(CALLS).await;
    assert_eq!(load.stale(), 0);
    apply_in(cluster, namespace, secret("login", data));
    load.more(CALLS).await;
    assert_eq!(load.stale(), 0, "while both credentials are valid");
}

/// All calls, none of which has failed.
async fn ended(load: Load, what: &str) {
    let stale = load.stale();
    let calls = load.end().await;
    println!("rotation: {what}: {calls} calls of {CALLERS} callers, {stale} stale, none failed");
    assert!(calls >= 2 * CALLS * CALLERS, "{calls} calls");
}

pub fn set_user(password: &str) -> [&str; 4] {
    ["ACL", "SETUSER", "default", password]
}

/// Removes a password, and ends all connections: an open one would outlive it.
pub async fn forget(redis: &Redis, password: &str) {
    redis.command(&set_user(&format!("<{password}"))).await;
    let killed = redis.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    assert!(usize::from_redis_value(killed).unwrap() > 0);
}

/// The connections of clients by their ids, each with the seconds since its last command.
async fn clients(redis: &Redis) -> BTreeMap<String, u64> {
    let list = redis.command(&["CLIENT", "LIST"]).await;
    let list = String::from_redis_value(list).unwrap();
    let clients = list.lines().filter_map(|line| {
        let fields = line.split(' ').filter_map(|field| field.split_once('='));
        let fields: BTreeMap<_, _> = fields.collect();
        let idle = fields["idle"].parse().expect("seconds");
        (fields["user"] == "default").then(|| (fields["id"].to_owned(), idle))
    });
    clients.collect()
}

#[tokio::test]
async fn a_changed_redis_password_fails_no_call() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster.clone(), "rotation-redis");
    let name = namespace.name.as_str();
    let redis = Redis::builder().password("hunter2").start().await;
    let program = Program::start(&settings(&cluster));
    apply_in(
        &cluster,
        name,
        secret("login", json!({"password": "hunter2"})),
    );
    apply_in(
        &cluster,
        name,
        authentication("login", references(&["password"])),
    );
    let lists = ["a", "b", "c", "d", "e"];
    for list in lists {
        redis.rpush(list, 7).await;
    }
    let address = redis.address();
    let of = |list| {
        keys(
            "redis",
            &[
                ("address", &address),
                ("listName", list),
                ("freshFor", "0s"),
            ],
        )
    };
    let load = triggers(&cluster, &program, name, &lists.map(of)).await;
    load.all_get(7.0).await;
    let before = clients(&redis).await;
    assert!(!before.is_empty());

    redis.command(&set_user(">hunter3")).await;
    replace(&cluster, name, &load, json!({"password": "hunter3"})).await;
    let begun = Instant::now();
    loop {
        let now = clients(&redis).await;
        let is_unused = |id: &String| now.get(id).is_none_or(|idle| *idle >= 2);
        let is_new = |id: &String| !before.contains_key(id);
        if before.keys().all(is_unused) && now.keys().any(is_new) {
            break;
        }
        assert!(
            begun.elapsed() < SOON,
            "{before:?} {now:?}\n{}",
            program.log()
        );
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(load.stale(), 0, "until the new connection is in use");
    forget(&redis, "hunter2").await;
    for list in lists {
        redis.rpush(list, 1).await;
    }
    load.all_get(8.0).await;
    ended(load, "Redis").await;
    assert!(!program.log().contains("hunter"), "{}", program.log());
}

#[tokio::test]
async fn a_changed_kafka_login_fails_no_call() {
    let cluster = needs_cluster!();
    if !require(kafka::available(), "Kafka") {
        return;
    }
    let kafka = kafka::one().await;
    let namespace = Namespace::new(cluster.clone(), "rotation-kafka");
    let name = namespace.name.as_str();
    let program = Program::start(&settings(&cluster));
    let topics = ["rotation-a", "rotation-b", "rotation-c"];
    let rights = |topic: &'static str| {
        [
            "--operation",
            "Describe",
            "--topic",
            topic,
            "--group",
            topic,
        ]
    };
    for topic in topics {
        kafka.create_topic(topic, 1).await;
        kafka.commit(topic, topic, &[(0, 0)]);
        kafka.produce(topic, 0, 7);
        for user in ["alice", "bob"] {
            kafka.grant(user, &rights(topic)).await;
        }
    }
    let login = |user: &str| {
        json!({
            "sasl": "scram_sha512", "username": user, "password": PASSWORD,
            "tls": "enable", "ca": kafka.certs.ca.text,
        })
    };
    apply_in(&cluster, name, secret("login", login("alice")));
    let parameters = ["sasl", "username", "password", "tls", "ca"];
    apply_in(
        &cluster,
        name,
        authentication("login", references(&parameters)),
    );
    let servers = kafka.sasl_ssl();
    let of = |topic| {
        let of_topic = [("bootstrapServers", servers.as_str()), ("topic", topic)];
        let more = [("consumerGroup", topic), ("freshFor", "0s")];
        keys("kafka", &[of_topic, more].concat())
    };
    let load = triggers(&cluster, &program, name, &topics.map(of)).await;
    load.all_get(7.0).await;

    replace(&cluster, name, &load, login("bob")).await;
    for topic in topics {
        kafka.revoke("alice", &rights(topic)).await;
        kafka.produce(topic, 0, 1);
    }
    load.all_get(8.0).await;
    ended(load, "Kafka").await;
    assert!(!program.log().contains(PASSWORD), "{}", program.log());
}

#[tokio::test]
async fn a_changed_temporal_api_key_fails_no_call() {
    let cluster = needs_cluster!();
    if !require(temporal::available(), "the Temporal server") {
        return;
    }
    // Long enough for what comes before the change, even on a busy machine.
    const LIFETIME: Duration = Duration::from_secs(60);
    let (dir, tokens) = (process::directory(), Tokens::generate());
    let certs = cluster.certs.clone();
    let builder = Temporal::builder().tokens(tokens);
    let temporal = builder.tls(dir.path().to_owned(), certs).start().await;
    let namespace = Namespace::new(cluster.clone(), "rotation-temporal");
    let name = namespace.name.as_str();
    let program = Program::start(&settings(&cluster));
    let queues = ["a", "b", "c"];
    for queue in queues {
        temporal.start_workflows(queue, 7).await;
    }
    let (begun, first) = (Instant::now(), temporal.tokens().reader_for(LIFETIME));
    let login = |key: &str| json!({"apiKey": key, "ca": cluster.certs.ca.text});
    apply_in(&cluster, name, secret("login", login(&first)));
    apply_in(
        &cluster,
        name,
        authentication("login", references(&["apiKey", "ca"])),
    );
    let endpoint = temporal.address();
    let of = |queue| {
        let of_queue = [("endpoint", endpoint.as_str()), ("taskQueue", queue)];
        keys("temporal", &[&of_queue[..], &[("freshFor", "1s")]].concat())
    };
    let load = triggers(&cluster, &program, name, &queues.map(of)).await;
    load.all_get(7.0).await;

    let second = temporal.tokens().reader.clone();
    replace(&cluster, name, &load, login(&second)).await;
    assert!(
        begun.elapsed() < LIFETIME,
        "the first key has expired too soon"
    );
    let rest = LIFETIME + Duration::from_secs(2);
    sleep(rest.saturating_sub(begun.elapsed())).await;
    let stubs = temporal.stubs().await;
    for queue in queues {
        let started = temporal::start_one(&stubs, queue, &format!("more-{queue}")).await;
        started.unwrap();
    }
    load.all_get(8.0).await;
    assert_eq!(load.stale(), 0, "the first key was no longer in use");
    ended(load, "Temporal").await;
    let log = program.log();
    assert!(!log.contains(&first) && !log.contains(&second), "{log}");
}
