//! KEDA's own client against our server, beside KEDA's built-in scaler on the same backend.
//!
//! The table is here; `tests/keda` is the Go program that asks through KEDA's code.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    program,
    redis::{Cluster, Redis, Sentinel, available},
    require,
    scaler::Scaler,
};

/// What both sides must see of a trigger.
struct Case {
    name: &'static str,
    backend: &'static str,
    metadata: Vec<(&'static str, String)>,
    /// What only ours gets instead.
    external: Option<Vec<(&'static str, String)>>,
    /// What only KEDA's own gets from a TriggerAuthentication.
    auth: Vec<(&'static str, String)>,
    sees: Sees,
    push: bool,
}

enum Sees {
    /// The same metric, value and activity.
    Same { value: f64, active: bool },
    /// Something else, on purpose: ours, then KEDA's.
    Different { ours: f64, kedas: f64 },
    /// An error on both sides; ours contains this.
    Error(&'static str),
}

fn case(
    name: &'static str,
    backend: &'static str,
    metadata: Vec<(&'static str, String)>,
    sees: Sees,
) -> Case {
    Case {
        name,
        backend,
        metadata,
        external: None,
        auth: Vec::new(),
        sees,
        push: false,
    }
}

fn same(value: f64) -> Sees {
    Sees::Same {
        value,
        active: value > 0.0,
    }
}

/// The cases of one Redis, which the caller has filled.
fn on_one_server(address: &str) -> Vec<Case> {
    let list = |keys: &[(&'static str, &str)]| {
        let keys = keys.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let mut metadata = vec![("address", address.to_owned())];
        metadata.extend(keys);
        metadata
    };
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let inactive = Sees::Same {
        value: 7.0,
        active: false,
    };
    let mut cases = vec![
        case(
            "a list",
            "redis",
            list(&[("listName", "a-list")]),
            same(7.0),
        ),
        case("a set", "redis", list(&[("listName", "a-set")]), same(3.0)),
        case(
            "a sorted set",
            "redis",
            list(&[("listName", "a-zset")]),
            same(2.0),
        ),
        case(
            "a hash",
            "redis",
            list(&[("listName", "a-hash")]),
            same(1.0),
        ),
        case(
            "a missing key",
            "redis",
            list(&[("listName", "missing")]),
            same(0.0),
        ),
        case(
            "a name that must be normalised",
            "redis",
            list(&[("listName", "shop:jobs/(high).1%")]),
            same(2.0),
        ),
        case(
            "a target",
            "redis",
            list(&[("listName", "a-list"), ("listLength", "3")]),
            same(7.0),
        ),
        case(
            "an activation threshold that is reached, not passed",
            "redis",
            list(&[("listName", "a-list"), ("activationListLength", "7")]),
            inactive,
        ),
        case(
            "host and port",
            "redis",
            vec![
                ("host", host.to_owned()),
                ("port", port.to_owned()),
                ("listName", "a-list".to_owned()),
            ],
            same(7.0),
        ),
        case(
            "another database",
            "redis",
            list(&[("listName", "a-list"), ("databaseIndex", "2")]),
            same(0.0),
        ),
        case(
            "a stream's length",
            "redis-streams",
            list(&[("stream", "s")]),
            same(10.0),
        ),
        case(
            "a group's pending entries",
            "redis-streams",
            list(&[
                ("stream", "s"),
                ("consumerGroup", "g"),
                ("pendingEntriesCount", "2"),
            ]),
            same(3.0),
        ),
        case(
            "a group's lag",
            "redis-streams",
            list(&[("stream", "s"), ("consumerGroup", "g"), ("lagCount", "4")]),
            same(7.0),
        ),
        case(
            "a lag below its activation",
            "redis-streams",
            list(&[
                ("stream", "s"),
                ("consumerGroup", "g"),
                ("lagCount", "4"),
                ("activationLagCount", "9"),
            ]),
            Sees::Same {
                value: 7.0,
                active: false,
            },
        ),
        case(
            "the lag of a group that does not exist yet",
            "redis-streams",
            list(&[("stream", "s"), ("consumerGroup", "new"), ("lagCount", "4")]),
            same(10.0),
        ),
        case(
            "the lag of a missing stream",
            "redis-streams",
            list(&[
                ("stream", "missing"),
                ("consumerGroup", "g"),
                ("lagCount", "4"),
            ]),
            same(0.0),
        ),
        case(
            "a lag that Redis does not know after a deletion",
            "redis-streams",
            list(&[
                ("stream", "holed"),
                ("consumerGroup", "g"),
                ("lagCount", "4"),
            ]),
            Sees::Different {
                ours: 4.0,
                kedas: 0.0,
            },
        ),
        case(
            "a key without a name",
            "redis",
            list(&[]),
            Sees::Error("listName: is required"),
        ),
        case(
            "a length that is no number",
            "redis",
            list(&[("listName", "a-list"), ("listLength", "ten")]),
            Sees::Error("listLength: `ten` must be a whole number from 1"),
        ),
        case(
            "a refused port",
            "redis",
            vec![
                ("address", "127.0.0.1:1".to_owned()),
                ("listName", "a-list".to_owned()),
            ],
            Sees::Error("Connection refused"),
        ),
    ];
    cases.push(Case {
        push: true,
        ..case(
            "a push trigger",
            "redis",
            list(&[("listName", "a-list")]),
            same(7.0),
        )
    });
    cases
}

async fn fill(redis: &Redis) {
    redis.rpush("a-list", 7).await;
    redis.rpush("shop:jobs/(high).1%", 2).await;
    redis.command(&["SADD", "a-set", "1", "2", "3"]).await;
    redis.command(&["ZADD", "a-zset", "1", "a", "2", "b"]).await;
    redis.command(&["HSET", "a-hash", "k", "v"]).await;
    for stream in ["s", "holed"] {
        for id in 1..=10 {
            redis
                .command(&["XADD", stream, &format!("{id}-0"), "k", "v"])
                .await;
        }
        redis.command(&["XGROUP", "CREATE", stream, "g", "0"]).await;
    }
    redis
        .command(&[
            "XREADGROUP",
            "GROUP",
            "g",
            "c",
            "COUNT",
            "3",
            "STREAMS",
            "s",
            ">",
        ])
        .await;
    redis
        .command(&[
            "XREADGROUP",
            "GROUP",
            "g",
            "c",
            "COUNT",
            "5",
            "STREAMS",
            "holed",
            ">",
        ])
        .await;
    redis.command(&["XDEL", "holed", "7-0"]).await;
}

#[tokio::test]
async fn kedas_client_sees_of_our_redis_what_it_sees_of_its_own() {
    let judge = program("KEDA_JUDGE", "keda-judge");
    if !require(
        available() && judge.is_some(),
        "redis-server or KEDA's client (tests/keda)",
    ) {
        return;
    }
    let redis = Redis::start().await;
    fill(&redis).await;
    let locked = Redis::builder()
        .acl_user("worker", "p:w@1", "~* +@all")
        .password("top")
        .start()
        .await;
    locked.rpush("jobs", 6).await;
    let cluster = Cluster::start(3).await;
    cluster.owner("jobs").await.rpush("jobs", 8).await;
    let sentinel = Sentinel::start().await;
    sentinel.master().await.rpush("jobs", 9).await;

    let mut cases = on_one_server(&redis.address());
    let jobs = ("listName", "jobs".to_owned());
    cases.push(Case {
        // KEDA's own takes the password from a TriggerAuthentication, ours from its metadata.
        external: Some(vec![
            ("address", locked.address()),
            jobs.clone(),
            ("username", "worker".to_owned()),
            ("password", "p:w@1".to_owned()),
        ]),
        auth: vec![("password", "p:w@1".to_owned())],
        ..case(
            "a user with a password",
            "redis",
            vec![
                ("address", locked.address()),
                jobs.clone(),
                ("username", "worker".to_owned()),
            ],
            same(6.0),
        )
    });
    let addresses = ("addresses", cluster.addresses().join(","));
    cases.push(case(
        "a cluster",
        "redis-cluster",
        vec![addresses, jobs.clone()],
        same(8.0),
    ));
    let addresses = ("addresses", sentinel.addresses().join(","));
    let master = ("sentinelMaster", Sentinel::MASTER_NAME.to_owned());
    let metadata = vec![addresses, master, jobs];
    cases.push(case(
        "a master under sentinels",
        "redis-sentinel",
        metadata,
        same(9.0),
    ));

    let scaler = Scaler::start().await;
    let judge = judge.expect("is there");
    let answers = tokio::task::spawn_blocking({
        let document = document(&scaler, &cases);
        move || evaluate(&judge, &document)
    });
    let answers = answers.await.expect("no panic");
    let answers = answers.as_array().expect("an array");
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(answers) {
        compare(case, answer);
    }
}

fn document(scaler: &Scaler, cases: &[Case]) -> String {
    let object = |pairs: &[(&str, String)]| {
        let pairs = pairs
            .iter()
            .map(|(key, value)| (key.to_string(), json!(value)));
        Value::Object(pairs.collect())
    };
    let cases = cases.iter().map(|case| {
        let mut json = json!({
            "name": case.name,
            "backend": case.backend,
            "metadata": object(&case.metadata),
            "authParams": object(&case.auth),
            "push": case.push,
        });
        if let Some(external) = &case.external {
            json["external"] = object(external);
        }
        json
    });
    let cases: Vec<Value> = cases.collect();
    json!({ "scalerAddress": scaler.address, "cases": cases }).to_string()
}

fn evaluate(judge: &std::path::Path, document: &str) -> Value {
    let mut child = Command::new(judge)
        .arg("evaluate")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("KEDA's client starts");
    let mut stdin = child.stdin.take().expect("is piped");
    stdin.write_all(document.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn compare(case: &Case, answer: &Value) {
    let (ours, kedas) = (&answer["external"], &answer["builtin"]);
    let what = format!("{}: {answer:#}", case.name);
    if let Sees::Error(text) = case.sees {
        assert!(
            ours["error"].as_str().expect("text").contains(text),
            "{what}"
        );
        assert_ne!(kedas["error"], "", "{what}");
        return;
    }
    assert_eq!(
        (&ours["error"], &kedas["error"]),
        (&json!(""), &json!("")),
        "{what}"
    );
    assert_eq!(ours["target"], kedas["target"], "{what}");
    // Ours is KEDA's name and a hash that keeps names of different queries apart.
    let name = ours["metricName"].as_str().expect("text");
    let (readable, hash) = name.rsplit_once('-').expect("a hash");
    assert_eq!(
        readable,
        kedas["metricName"].as_str().expect("text"),
        "{what}"
    );
    assert!(
        hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
        "{what}"
    );
    let value = |side: &Value| side["value"].as_f64().expect("a number");
    match case.sees {
        Sees::Same {
            value: expected,
            active,
        } => {
            assert_eq!((value(ours), value(kedas)), (expected, expected), "{what}");
            assert_eq!(
                (&ours["active"], &kedas["active"]),
                (&json!(active), &json!(active)),
                "{what}"
            );
        }
        Sees::Different {
            ours: our,
            kedas: keda,
        } => {
            assert_eq!((value(ours), value(kedas)), (our, keda), "{what}");
        }
        Sees::Error(_) => unreachable!("handled above"),
    }
    if case.push {
        assert_eq!(answer["pushed"], json!(true), "{what}");
    }
}
