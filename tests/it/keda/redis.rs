//! The Redis table.

use super::{Case, Sees, case, judge, judge_all, same};
use testkit::{
    redis::{Cluster, Redis, Sentinel, available},
    require,
    scaler::Scaler,
};

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
            "a length that is not a number",
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
    let judge = judge();
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
    judge_all(judge.expect("is there"), &scaler, &cases).await;
}
