//! Every example that KEDA's documentation has for these triggers, moved by `migrate`: KEDA's own scaler
//! on the original and KEDA's client of ours on the result see the same. The table has the combinations
//! of keys of those examples (2.21, pages redis-lists, redis-cluster-lists, redis-sentinel-lists, their
//! streams, apache-kafka, apache-kafka-go and temporal), on servers of our own.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{
    certs::Certs,
    kafka::{self, Kafka, PASSWORD},
    process,
    redis::{Builder, Cluster, Redis, Sentinel, available},
    require,
    scaler::Scaler,
    temporal::{self, Temporal},
};

use super::{Case, Sees, judge, judge_all, same};
use crate::{
    kafka::security::TokenEndpoint,
    temporal::{eventually, queue, shared},
};

type Pairs = Vec<(&'static str, String)>;

/// An example: a trigger as KEDA's documentation would write it, what its authentication gives, and the
/// environment of its container.
struct Example {
    name: &'static str,
    backend: &'static str,
    metadata: Pairs,
    auth: Pairs,
    env: Pairs,
    sees: Sees,
}

fn example(name: &'static str, backend: &'static str, metadata: Pairs, sees: Sees) -> Example {
    Example {
        name,
        backend,
        metadata,
        auth: Vec::new(),
        env: Vec::new(),
        sees,
    }
}

impl Example {
    fn with_auth(mut self, auth: &[(&'static str, &str)]) -> Self {
        self.auth = pairs(auth);
        self
    }

    fn with_env(mut self, env: &[(&'static str, &str)]) -> Self {
        self.env = pairs(env);
        self
    }

    /// The trigger as `migrate` has it, with the keys that the server reads from the authentication.
    fn case(self, scaler: &Scaler) -> Case {
        let mut external = self.moved(&scaler.address);
        for (key, value) in &self.auth {
            if external.iter().all(|(name, _)| name != key) {
                external.push((key, value.clone()));
            }
        }
        Case {
            name: self.name,
            backend: self.backend,
            metadata: self.metadata,
            external: Some(external),
            auth: self.auth,
            env: self.env,
            sees: self.sees,
            push: false,
        }
    }

    fn moved(&self, address: &str) -> Pairs {
        let metadata = self.metadata.iter();
        let metadata = metadata.map(|(key, value)| (key.to_string(), json!(value)));
        let metadata: serde_json::Map<String, Value> = metadata.collect();
        let mut trigger = json!({"type": self.backend, "metadata": metadata});
        let mut items = Vec::new();
        if !self.auth.is_empty() {
            trigger["authenticationRef"] = json!({"name": "auth"});
            let of = |key: &str| json!({"parameter": key, "name": "secret", "key": key});
            let references: Vec<Value> = self.auth.iter().map(|(key, _)| of(key)).collect();
            items.push(json!({"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication",
                "metadata": {"name": "auth", "namespace": "shop"}, "spec": {"secretTargetRef": references}}));
        }
        items.insert(
            0,
            json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": "worker", "namespace": "shop"},
            "spec": {"scaleTargetRef": {"name": "worker"}, "triggers": [trigger]}}),
        );
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let moved = migrate(&list, address, self.name);
        let metadata = &moved["items"][0]["spec"]["triggers"][0]["metadata"];
        let metadata = metadata.as_object().expect("is a map");
        let text = |value: &Value| value.as_str().expect("is a text").to_owned();
        let pairs = metadata.iter();
        pairs
            .map(|(key, value)| (&*key.clone().leak(), text(value)))
            .collect()
    }
}

fn migrate(list: &Value, address: &str, name: &str) -> Value {
    let mut child = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
        .args(["migrate", "-", "--scaler-address", address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("is piped");
    stdin
        .write_all(list.to_string().as_bytes())
        .expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    serde_json::from_slice(&output.stdout).expect("JSON stays JSON")
}

fn pairs(pairs: &[(&'static str, &str)]) -> Pairs {
    pairs
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect()
}

fn joined(first: &Pairs, more: &[(&'static str, &str)]) -> Pairs {
    let mut all = first.clone();
    all.extend(pairs(more));
    all
}

const USER: &str = "worker";
const LOGIN: [(&str, &str); 2] = [("username", USER), ("password", PASSWORD)];
const BY_VARIABLES: [(&str, &str); 2] = [
    ("usernameFromEnv", "REDIS_USERNAME"),
    ("passwordFromEnv", "REDIS_PASSWORD"),
];

/// The environment of a container that knows where its Redis is.
fn environment(address: &str) -> Vec<(&'static str, String)> {
    let addresses: Vec<&str> = address.split(',').collect();
    let part = |of: fn(&str) -> Option<(&str, &str)>, first: bool| {
        let parts = addresses.iter().filter_map(|address| of(address));
        let parts = parts.map(|(host, port)| if first { host } else { port });
        parts.collect::<Vec<_>>().join(",")
    };
    let split = |address: &str| address.rsplit_once(':').map(|_| ()).is_some();
    assert!(addresses.iter().all(|address| split(address)));
    vec![
        ("REDIS_USERNAME", USER.to_owned()),
        ("REDIS_PASSWORD", PASSWORD.to_owned()),
        ("REDIS_ADDRESS", address.to_owned()),
        ("REDIS_HOSTS", part(|a| a.rsplit_once(':'), true)),
        ("REDIS_PORTS", part(|a| a.rsplit_once(':'), false)),
    ]
}

/// The examples of one way to run Redis; `more` is what its sentinels need.
fn of_redis(
    list: &'static str,
    streams: &'static str,
    address: &str,
    more: &Pairs,
) -> Vec<Example> {
    let env = environment(address);
    let env: Vec<(&'static str, &str)> = env
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let is_single = list == "redis";
    let (one, of_env) = match is_single {
        true => ("address", "addressFromEnv"),
        false => ("addresses", "addressesFromEnv"),
    };
    let (host, port, hosts_of_env, ports_of_env) = match is_single {
        true => ("host", "port", "hostFromEnv", "portFromEnv"),
        false => ("hosts", "ports", "hostsFromEnv", "portsFromEnv"),
    };
    let off = [
        ("enableTLS", "false"),
        ("unsafeSsl", "false"),
        ("databaseIndex", "0"),
    ];
    let at = joined(more, &[(one, address)]);
    let by_variable = joined(&joined(more, &[(of_env, "REDIS_ADDRESS")]), &BY_VARIABLES);
    let group = [("stream", "s"), ("consumerGroup", "g")];
    let pending = [("pendingEntriesCount", "10")];
    let lag = [("lagCount", "10"), ("activationLagCount", "3")];

    let all_of_list = joined(&joined(&at, &BY_VARIABLES), &off);
    let all_of_list = joined(
        &all_of_list,
        &[
            ("listName", "jobs"),
            ("listLength", "5"),
            ("activationListLength", "5"),
            (of_env, "REDIS_ADDRESS"),
        ],
    );
    let (hosts, ports) = (env[3].1, env[4].1);
    let all_of_stream = joined(&joined(&at, &BY_VARIABLES), &off);
    let all_of_stream = joined(
        &joined(&all_of_stream, &group),
        &[
            (host, hosts),
            (port, ports),
            (of_env, "REDIS_ADDRESS"),
            (hosts_of_env, "REDIS_HOSTS"),
            (ports_of_env, "REDIS_PORTS"),
        ],
    );
    let all_of_stream = joined(
        &all_of_stream,
        &[
            ("pendingEntriesCount", "10"),
            ("streamLength", "50"),
            ("lagCount", "5"),
            ("activationLagCount", "3"),
        ],
    );
    let on_stream = |more: &[(&'static str, &str)]| joined(&by_variable, more);
    vec![
        example("every key of a list", list, all_of_list, same(8.0)).with_env(&env),
        example(
            "a list with an authentication",
            list,
            joined(&at, &[("listName", "jobs"), ("listLength", "10")]),
            same(8.0),
        )
        .with_auth(&LOGIN),
        example("every key of a stream", streams, all_of_stream, same(7.0)).with_env(&env),
        example(
            "pending entries",
            streams,
            on_stream(&[group[0], group[1], pending[0]]),
            same(3.0),
        )
        .with_env(&env),
        example(
            "pending entries with an authentication",
            streams,
            joined(&joined(&at, &group), &pending),
            same(3.0),
        )
        .with_auth(&LOGIN),
        example(
            "a stream's length",
            streams,
            on_stream(&[group[0], ("streamLength", "50")]),
            same(10.0),
        )
        .with_env(&env),
        example(
            "a group's lag",
            streams,
            on_stream(&[group[0], group[1], lag[0], lag[1]]),
            same(7.0),
        )
        .with_env(&env),
    ]
}

fn server() -> Builder {
    Redis::builder().acl_user(USER, PASSWORD, "~* &* +@all")
}

async fn fill(lists: &Redis, streams: &Redis) {
    lists.rpush("jobs", 8).await;
    for id in 1..=10 {
        let id = format!("{id}-0");
        streams.command(&["XADD", "s", &id, "k", "v"]).await;
    }
    streams.command(&["XGROUP", "CREATE", "s", "g", "0"]).await;
    let read = [
        "XREADGROUP",
        "GROUP",
        "g",
        "c",
        "COUNT",
        "3",
        "STREAMS",
        "s",
        ">",
    ];
    streams.command(&read).await;
}

async fn agree(scaler: &Scaler, examples: Vec<Example>) {
    let cases: Vec<Case> = examples
        .into_iter()
        .map(|example| example.case(scaler))
        .collect();
    judge_all(judge().expect("is there"), scaler, &cases).await;
}

#[tokio::test]
async fn redis_examples_move_and_count_the_same() {
    if !require(
        available() && judge().is_some(),
        "redis-server or KEDA's client (tests/keda)",
    ) {
        return;
    }
    let redis = server().start().await;
    fill(&redis, &redis).await;
    let cluster = Cluster::start_with(3, server()).await;
    fill(cluster.owner("jobs").await, cluster.owner("s").await).await;
    let sentinel = Sentinel::start_with(server(), Redis::builder()).await;
    fill(sentinel.master().await, sentinel.master().await).await;

    let scaler = Scaler::start().await;
    let none = Vec::new();
    let mut examples = of_redis("redis", "redis-streams", &redis.address(), &none);
    let addresses = cluster.addresses().join(",");
    examples.extend(of_redis(
        "redis-cluster",
        "redis-cluster-streams",
        &addresses,
        &none,
    ));
    let master = pairs(&[("sentinelMaster", Sentinel::MASTER_NAME)]);
    let addresses = sentinel.addresses().join(",");
    examples.extend(of_redis(
        "redis-sentinel",
        "redis-sentinel-streams",
        &addresses,
        &master,
    ));
    agree(&scaler, examples).await;
}

#[tokio::test]
async fn redis_examples_with_tls_move_and_count_the_same() {
    if !require(
        available() && judge().is_some(),
        "redis-server or KEDA's client (tests/keda)",
    ) {
        return;
    }
    let dir = process::directory();
    let certs = Certs::generate(dir.path());
    let redis = server().mtls(&certs).start().await;
    fill(&redis, &redis).await;
    let client = [
        ("ca", certs.ca.text.as_str()),
        ("cert", &certs.client.cert.text),
        ("key", &certs.client.key.text),
    ];
    let address = redis.address();
    let at = pairs(&[("address", &address)]);
    let stream = joined(
        &at,
        &[
            ("stream", "s"),
            ("consumerGroup", "g"),
            ("pendingEntriesCount", "10"),
        ],
    );
    let mut of_auth = [LOGIN.as_slice(), &client].concat();
    let list = joined(
        &at,
        &[
            ("listName", "jobs"),
            ("enableTLS", "true"),
            ("unsafeSsl", "false"),
        ],
    );
    let by_key = example(
        "enableTLS with certificates of an authentication",
        "redis",
        list,
        same(8.0),
    )
    .with_auth(&of_auth);
    let trusting = joined(
        &at,
        &[
            ("listName", "jobs"),
            ("enableTLS", "true"),
            ("unsafeSsl", "true"),
        ],
    );
    let trusting = example("unsafeSsl", "redis", trusting, same(8.0)).with_auth(
        &of_auth[..2]
            .iter()
            .chain(&of_auth[3..])
            .copied()
            .collect::<Vec<_>>(),
    );
    of_auth.push(("tls", "enable"));
    let by_auth = example(
        "tls of an authentication",
        "redis-streams",
        stream,
        same(3.0),
    )
    .with_auth(&of_auth);
    let scaler = Scaler::start().await;
    agree(&scaler, vec![by_key, trusting, by_auth]).await;
}

async fn fill_kafka(kafka: &'static Kafka) {
    kafka.create_topic("moved", 3).await;
    for partition in 0..3 {
        kafka.produce("moved", partition, 10);
    }
    kafka.commit("moved", "moved", &[(0, 4), (1, 10), (2, 2)]);
    let rights = [
        "--operation",
        "Describe",
        "--topic",
        "moved",
        "--group",
        "moved",
    ];
    kafka.grant("alice", &rights).await;
}

#[tokio::test]
async fn kafka_examples_move_and_count_the_same() {
    if !require(
        kafka::available() && judge().is_some(),
        "Kafka or KEDA's client (tests/keda)",
    ) {
        return;
    }
    let kafka = kafka::one().await;
    fill_kafka(kafka).await;
    let login = [
        ("username", "alice"),
        ("password", PASSWORD),
        ("ca", kafka.certs.ca.text.as_str()),
    ];
    let settings = [("sasl", "plaintext"), ("tls", "enable")];
    let all_of_auth = [login.as_slice(), &settings].concat();
    // KEDA's default version is older than what a current broker speaks.
    let group = [
        ("consumerGroup", "moved"),
        ("topic", "moved"),
        ("lagThreshold", "50"),
        ("offsetResetPolicy", "latest"),
    ];
    let mut examples = Vec::new();
    for backend in ["kafka", "apache-kafka"] {
        let version: &[(&'static str, &str)] = &[("version", "3.0.0")];
        let base = |servers: &str| {
            joined(
                &joined(&pairs(&[("bootstrapServers", servers)]), &group),
                version,
            )
        };
        let limits = [
            ("activationLagThreshold", "3"),
            ("allowIdleConsumers", "false"),
            ("scaleToZeroOnInvalidOffset", "false"),
            ("excludePersistentLag", "false"),
            ("limitToPartitionsWithLag", "false"),
            ("ensureEvenDistributionOfPartitions", "false"),
            ("partitionLimitation", "0,1-2"),
            ("fullMetadata", "true"),
            ("unsafeSsl", "false"),
        ];
        let all = joined(&joined(&base(&kafka.sasl_ssl()), &limits), &settings);
        examples.push(example("every key", backend, all, same(14.0)).with_auth(&login));
        let other = joined(
            &base(&kafka.servers()),
            &[("partitionLimitation", "1,2,10-20")],
        );
        examples.push(example(
            "partitions that there are not",
            backend,
            other,
            Sees::OnlyOurError("no partition 10"),
        ));
        examples.push(example(
            "a group",
            backend,
            base(&kafka.servers()),
            same(14.0),
        ));
        let of_auth = base(&kafka.sasl_ssl());
        examples.push(
            example(
                "sasl and tls of an authentication",
                backend,
                of_auth,
                same(14.0),
            )
            .with_auth(&all_of_auth),
        );
        let of_metadata = joined(&base(&kafka.sasl_ssl()), &settings);
        examples.push(
            example(
                "sasl and tls of the metadata",
                backend,
                of_metadata,
                same(14.0),
            )
            .with_auth(&login),
        );
    }
    // Tokens of a real endpoint. Kafka refuses the underscore that KEDA's page has in the names of
    // extensions (`OAuthBearerClientInitialResponse`).
    let endpoint = TokenEndpoint::start().await;
    let tokens = [
        ("scopes", "default"),
        ("oauthExtensions", "logicalCluster=1,identityPoolId=2"),
        ("oauthTokenEndpointUri", endpoint.url.as_str()),
    ];
    let by_token = [("sasl", "oauthbearer"), ("tls", "enable")];
    let all_of_auth = [login.as_slice(), &tokens, &by_token].concat();
    let base = joined(
        &pairs(&[
            ("bootstrapServers", &kafka.sasl_ssl()),
            ("version", "3.0.0"),
        ]),
        &group,
    );
    examples.push(
        example(
            "oauthbearer of an authentication",
            "kafka",
            base.clone(),
            same(14.0),
        )
        .with_auth(&all_of_auth),
    );
    let of_auth = [login.as_slice(), &tokens].concat();
    examples.push(
        example(
            "oauthbearer of the metadata",
            "kafka",
            joined(&base, &by_token),
            same(14.0),
        )
        .with_auth(&of_auth),
    );
    let scaler = Scaler::start().await;
    agree(&scaler, examples).await;
}

#[tokio::test]
async fn temporal_examples_move_and_count_the_same() {
    let tools = temporal::available() && judge().is_some();
    if !require(tools, "the Temporal server or KEDA's client (tests/keda)") {
        return;
    }
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.start_workflows("moved:test", 25).await;
    temporal.start_workflows("moved-workflows", 1).await;
    let worker = temporal
        .versioned_poller("moved-versions", "moved", "v2.0.0")
        .await;
    worker.poll(Duration::from_secs(1)).await;
    temporal.set_current("moved", "v2.0.0").await;
    temporal.start_workflows("moved-versions", 4).await;
    eventually(&scaler, &queue(temporal, "moved:test", []), |found| {
        found.value == 25.0
    })
    .await;
    let running = queue(
        temporal,
        "moved-idle",
        [
            ("includeRunningWorkflowCount", "true"),
            ("workflowTaskQueueForCount", "moved-workflows"),
        ],
    );
    eventually(&scaler, &running, |found| found.active).await;
    let at = pairs(&[("endpoint", &temporal.address()), ("namespace", "default")]);
    let base = joined(
        &at,
        &[
            ("taskQueue", "moved:test"),
            ("targetQueueSize", "2"),
            ("activationTargetQueueSize", "0"),
        ],
    );
    let all = joined(
        &base,
        &[
            ("queueTypes", "workflow"),
            ("includeRunningWorkflowCount", "false"),
            ("workflowTaskQueueForCount", ""),
            ("minConnectTimeout", "5"),
            ("unsafeSsl", "false"),
            ("tlsServerName", "custom-tls-servername"),
            ("enableTLS", "true"),
        ],
    );
    let idle = joined(
        &at,
        &[
            ("taskQueue", "moved-idle"),
            ("targetQueueSize", "10"),
            ("includeRunningWorkflowCount", "true"),
            ("workflowTaskQueueForCount", "moved-workflows"),
        ],
    );
    let version = [
        ("workerDeploymentName", "moved"),
        ("workerDeploymentBuildId", "v2.0.0"),
    ];
    eventually(
        &scaler,
        &queue(temporal, "moved-versions", version),
        |found| found.value == 4.0,
    )
    .await;
    let of_version = joined(
        &joined(
            &at,
            &[("taskQueue", "moved-versions"), ("targetQueueSize", "10")],
        ),
        &version,
    );
    let active = Sees::Same {
        value: 0.0,
        active: true,
    };
    agree(
        &scaler,
        vec![
            example("a queue", "temporal", base.clone(), same(25.0)),
            example(
                "every key that KEDA still takes",
                "temporal",
                all,
                same(25.0),
            ),
            example(
                "a version of a worker deployment",
                "temporal",
                of_version,
                same(4.0),
            ),
            example("running workflows", "temporal", idle, active),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_temporal_example_with_an_api_key_moves_and_counts_the_same() {
    let tools = temporal::available() && judge().is_some();
    if !require(tools, "the Temporal server or KEDA's client (tests/keda)") {
        return;
    }
    let dir = process::directory();
    let certs = Certs::generate(dir.path());
    let builder = Temporal::builder().tls(dir.path().to_owned(), certs);
    let (temporal, scaler) = (builder.start().await, Scaler::start().await);
    temporal.start_workflows("moved", 3).await;
    let trusting = [("tls", "enable"), ("tlsSkipVerify", "true")];
    let trusting = queue(&temporal, "moved", trusting);
    eventually(&scaler, &trusting, |found| found.value == 3.0).await;
    let keys = [
        ("endpoint", &*temporal.address()),
        ("namespace", "default"),
        ("taskQueue", "moved"),
        ("targetQueueSize", "2"),
        // KEDA takes no authority with an API key.
        ("unsafeSsl", "true"),
    ];
    let on = joined(&pairs(&keys), &[("enableTLS", "true")]);
    let key = [("apiKey", "k")];
    let by_default = example("an API key", "temporal", pairs(&keys), same(3.0));
    let switched_on = example("enableTLS with an API key", "temporal", on, same(3.0));
    let examples = vec![by_default.with_auth(&key), switched_on.with_auth(&key)];
    agree(&scaler, examples).await;
}
