//! Properties that hold for whatever a caller or a file contains: nothing panics, errors are
//! bounded, secrets are in none of them. `make fuzz` runs many more cases.

use std::{collections::BTreeMap, fmt::Write as _, io::Write, sync::LazyLock};

use backlog_scaler::{
    metadata::{
        TriggerRef,
        patterns::{MOST_NAMES, Patterns},
    },
    sampling::{Engine, TypeKeys},
    server,
    settings::{self, Settings},
    telemetry::Telemetry,
};
use proptest::{
    prelude::*,
    sample::{Index, select},
};

/// In every secret, and in no output.
const SENTINEL: &str = "s3cr3t-s3nt1n3l";

struct Fixture {
    runtime: tokio::runtime::Runtime,
    engine: std::sync::Arc<Engine>,
    types: Vec<TypeKeys>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let telemetry = Telemetry::default();
    let engine = {
        let _entered = runtime.enter();
        server::engine(&Settings::default(), &telemetry).unwrap()
    };
    let types = engine.registry().keys().collect();
    Fixture {
        runtime,
        engine,
        types,
    }
});

/// A value as somebody may write it: mostly something that some key takes.
fn value() -> impl Strategy<Value = String> {
    let known = select(vec![
        "",
        " ",
        "\n",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "5",
        "1.5",
        "enable",
        "disable",
        "null",
        "jobs",
        "jobs,mail",
        ",",
        "a:1",
        "127.0.0.1:6379",
        "[::1]:9092",
        "a:b:c",
        "redis://u:p@h:1",
        "{0..3}",
        "{3..0}",
        "{a..b}",
        "{{{}}}",
        "jobs-{0..9999}",
        "*",
        "^orders-.*",
        "^(",
        "1,2,5-8",
        "99999999999999999999",
        "1m",
        "0s",
        "none",
        "plaintext",
        "scram_sha512",
        "oauthbearer",
        "gssapi",
        "aws_msk_iam",
        "latest",
        "earliest",
        "workflow,activity",
        "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----",
    ]);
    prop_oneof![
        4 => known.prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[ -~]{0,40}",
        1 => "(\\{[0-9]{0,3}\\.\\.[0-9]{0,5}\\}|[a-z*?\\[\\]{}.]){0,12}",
    ]
}

/// Namespace, name and metadata.
type Request = (String, String, BTreeMap<String, String>);

/// A trigger of some type with some of its keys, and perhaps others.
fn trigger() -> impl Strategy<Value = Request> {
    let types = FIXTURE.types.len();
    (0..types).prop_flat_map(|index| {
        let keys = &FIXTURE.types[index];
        let all = [&keys.query, &keys.connection, &keys.tls, &keys.common];
        let names: Vec<(String, bool)> = all
            .into_iter()
            .flatten()
            .map(|key| (key.name.clone(), key.secret))
            .collect();
        let known = (select(names), value(), any::<bool>()).prop_map(
            |((name, secret), value, from_env)| {
                let value = match secret {
                    true => format!("{value}{SENTINEL}{value}"),
                    false => value,
                };
                let name = match from_env {
                    true => format!("{name}FromEnv"),
                    false => name,
                };
                (name, value)
            },
        );
        let other = (any::<String>(), value());
        let entries = prop::collection::vec(prop_oneof![12 => known, 1 => other], 0..14);
        let trigger_type = keys.trigger_type;
        (entries, value(), value()).prop_map(move |(entries, namespace, name)| {
            let mut metadata: BTreeMap<String, String> = entries.into_iter().collect();
            metadata.insert("backend".to_owned(), trigger_type.to_owned());
            (namespace, name, metadata)
        })
    })
}

/// Some keys with their values.
type Keys = &'static [(&'static str, &'static str)];

/// What a good trigger of a type may have.
struct Good {
    trigger_type: &'static str,
    /// One of each list.
    choices: Vec<&'static [Keys]>,
    /// Any of these, whatever else there is.
    optional: Vec<(&'static str, &'static str)>,
}

const SECRET_KEY: &str = "-----BEGIN PRIVATE KEY-----\ns3cr3t-s3nt1n3l\n-----END PRIVATE KEY-----";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----";

const ONE_ADDRESS: &[Keys] = &[
    &[("address", "r:6379")],
    &[("addresses", "r:6379")],
    &[("host", "r"), ("port", "6379")],
    &[("hosts", "r"), ("ports", "6379")],
];
const ADDRESSES: &[Keys] = &[
    &[("addresses", "r1:6379,r2:6379")],
    &[("address", "r1:6379")],
    &[("hosts", "r1, r2"), ("ports", "6379, 6380")],
];
const LISTS: &[Keys] = &[
    &[("listName", "jobs")],
    &[("lists", "jobs-{0..3}, mail:*, urgent")],
    &[("lists", "jobs"), ("processingLists", "taken-{0..2}")],
    &[("lists", "jobs, later:*"), ("scores", "time")],
];
const STREAMS: &[Keys] = &[
    &[("stream", "orders")],
    &[("stream", "orders"), ("consumerGroup", "billing")],
    &[
        ("stream", "orders"),
        ("consumerGroup", "billing"),
        ("lagCount", "8"),
        ("includePending", "true"),
    ],
];
const TOPICS: &[Keys] = &[
    &[],
    &[("topic", "orders")],
    &[("topics", "orders-{0..2}, ^mail-.*")],
    &[("topic", "orders"), ("partitionLimitation", "1,2,5-8")],
    &[("topic", "orders"), ("limitToPartitionsWithLag", "true")],
    &[
        ("topics", "orders"),
        ("ensureEvenDistributionOfPartitions", "true"),
    ],
];
const SASL: &[Keys] = &[
    &[],
    &[
        ("sasl", "plaintext"),
        ("username", "app"),
        ("password", SENTINEL),
    ],
    &[
        ("sasl", "scram_sha512"),
        ("username", "app"),
        ("password", SENTINEL),
    ],
    &[
        ("sasl", "oauthbearer"),
        ("username", "app"),
        ("password", SENTINEL),
        ("oauthTokenEndpointUri", "https://idp.example/token"),
        ("scopes", "read, write"),
    ],
];
const TASK_QUEUES: &[Keys] = &[
    &[("taskQueue", "orders")],
    &[("taskQueues", "orders-{0..3}, mail")],
    &[
        ("taskQueue", "orders"),
        ("workerDeploymentName", "orders"),
        ("workerDeploymentBuildId", "v1"),
    ],
];
const TLS: &[Keys] = &[
    &[],
    &[("tls", "enable")],
    &[("tls", "enable"), ("tlsSkipVerify", "true")],
    &[("tls", "enable"), ("ca", CERTIFICATE)],
    &[
        ("tls", "enable"),
        ("cert", CERTIFICATE),
        ("key", SECRET_KEY),
        ("keyPassword", SENTINEL),
    ],
];

/// KEDA's own keys, which describe the hop from KEDA to here.
const KEDAS: [&str; 6] = [
    "scalerAddress",
    "enableTLS",
    "unsafeSsl",
    "caCert",
    "tlsClientCert",
    "tlsClientKey",
];

/// Keys that every trigger may have.
const EVERYWHERE: [(&str, &str); 2] = [("freshFor", "2s"), ("maxStaleness", "0")];

fn good(trigger_type: &'static str) -> Good {
    let mut optional = EVERYWHERE.to_vec();
    let mut choices = vec![TLS];
    if trigger_type.starts_with("redis") {
        optional.extend([("username", "app"), ("password", SENTINEL)]);
        choices.push(match trigger_type.ends_with("streams") {
            true => STREAMS,
            false => LISTS,
        });
        optional.extend(match trigger_type.ends_with("streams") {
            true => [("streamLength", "7"), ("activationLagCount", "3")],
            false => [("listLength", "7"), ("activationListLength", "3")],
        });
        let is_cluster = trigger_type.contains("cluster");
        let is_sentinel = trigger_type.contains("sentinel");
        choices.push(if is_cluster || is_sentinel {
            ADDRESSES
        } else {
            ONE_ADDRESS
        });
        if is_sentinel {
            choices.push(&[&[("sentinelMaster", "main")]]);
            optional.extend([
                ("sentinelUsername", "watch"),
                ("sentinelPassword", SENTINEL),
            ]);
        }
        if !is_cluster {
            optional.push(("databaseIndex", "2"));
        }
    } else if trigger_type.ends_with("kafka") {
        choices.extend([TOPICS, SASL]);
        choices.push(&[&[
            ("bootstrapServers", "b1:9092, b2:9092"),
            ("consumerGroup", "billing"),
        ]]);
        optional.extend([
            ("lagThreshold", "7"),
            ("activationLagThreshold", "3"),
            ("offsetResetPolicy", "earliest"),
            ("scaleToZeroOnInvalidOffset", "true"),
            ("excludePersistentLag", "true"),
            ("isolationLevel", "read_uncommitted"),
            ("lagTolerance", "1"),
            ("version", "3.8.0"),
        ]);
    } else {
        assert_eq!(
            trigger_type, "temporal",
            "a backend without a good trigger here"
        );
        choices.push(TASK_QUEUES);
        choices.push(&[&[("endpoint", "t:7233")]]);
        optional.extend([
            ("namespace", "shop"),
            ("queueTypes", "workflow, activity"),
            ("targetQueueSize", "7"),
            ("activationTargetQueueSize", "3"),
            ("apiKey", SENTINEL),
            ("minConnectTimeout", "9"),
            ("requestsPerSecond", "100"),
            ("includeRunningWorkflowCount", "true"),
        ]);
    }
    Good {
        trigger_type,
        choices,
        optional,
    }
}

/// The metadata of a trigger that nothing is wrong with.
fn good_metadata() -> impl Strategy<Value = BTreeMap<String, String>> {
    let types: Vec<&str> = FIXTURE.types.iter().map(|keys| keys.trigger_type).collect();
    select(types).prop_flat_map(|trigger_type| {
        let good = good(trigger_type);
        let choices: Vec<_> = good.choices.into_iter().map(select).collect();
        let optional = prop::sample::subsequence(good.optional.clone(), 0..=good.optional.len());
        (choices, optional).prop_map(move |(choices, optional)| {
            let chosen = choices.into_iter().flatten().chain(&optional);
            let chosen = chosen.map(|(key, value)| (key.to_string(), value.to_string()));
            let mut metadata: BTreeMap<String, String> = chosen.collect();
            metadata.insert("backend".to_owned(), good.trigger_type.to_owned());
            metadata
        })
    })
}

/// An edit after which a trigger measures the same: for the key of this number.
#[derive(Clone, Debug)]
enum Harmless {
    FromEnv(Index),
    Pad(Index, &'static str),
    Blank(&'static str),
    Own(&'static str),
}

fn harmless() -> impl Strategy<Value = Harmless> {
    prop_oneof![
        any::<Index>().prop_map(Harmless::FromEnv),
        (any::<Index>(), select(vec![" ", "\n", "\r\n", "\t "]))
            .prop_map(|(at, space)| Harmless::Pad(at, space)),
        select(vec!["connection", "metricName", "tlsServerName"]).prop_map(Harmless::Blank),
        select(&KEDAS[..]).prop_map(Harmless::Own),
    ]
}

impl Harmless {
    fn apply(&self, metadata: &mut BTreeMap<String, String>) {
        let key = |at: &Index| {
            metadata
                .keys()
                .nth(at.index(metadata.len()))
                .unwrap()
                .clone()
        };
        match self {
            Harmless::FromEnv(at) => {
                let key = key(at);
                if !key.ends_with("FromEnv") && !KEDAS.contains(&key.as_str()) {
                    let value = metadata.remove(&key).unwrap();
                    metadata.insert(format!("{key}FromEnv"), value);
                }
            }
            Harmless::Pad(at, space) => {
                let key = key(at);
                let value = &metadata[&key];
                let padded = format!("{space}{value}{space}");
                metadata.insert(key, padded);
            }
            Harmless::Blank(key) => {
                metadata.entry((*key).to_owned()).or_default();
            }
            Harmless::Own(key) => {
                metadata.insert((*key).to_owned(), SENTINEL.to_owned());
            }
        }
    }
}

/// An edit that may be a mistake.
#[derive(Clone, Debug)]
enum Edit {
    Remove(Index),
    Set(Index, String),
    /// Bytes of a value are something else.
    Splice(Index, Index, String),
    Rename(Index, String),
    Twice(Index),
    /// A key of some trigger type.
    Add(Index, String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        at().prop_map(Edit::Remove),
        (at(), value()).prop_map(|(at, value)| Edit::Set(at, value)),
        (at(), at(), prop_oneof![value(), any::<String>()])
            .prop_map(|(at, place, text)| Edit::Splice(at, place, text)),
        (at(), "[a-zA-Z]{1,3}").prop_map(|(at, end)| Edit::Rename(at, end)),
        at().prop_map(Edit::Twice),
        (at(), value()).prop_map(|(at, value)| Edit::Add(at, value)),
    ]
}

impl Edit {
    fn apply(&self, metadata: &mut BTreeMap<String, String>) {
        if metadata.is_empty() {
            return;
        }
        let key = |at: &Index| {
            metadata
                .keys()
                .nth(at.index(metadata.len()))
                .unwrap()
                .clone()
        };
        match self {
            Edit::Remove(at) => drop(metadata.remove(&key(at))),
            Edit::Set(at, value) => drop(metadata.insert(key(at), value.clone())),
            Edit::Splice(at, place, text) => {
                let key = key(at);
                let mut value: Vec<char> = metadata[&key].chars().collect();
                // A secret stays whole, so that it is recognised.
                if !metadata[&key].contains(SENTINEL) {
                    let place = place.index(value.len() + 1);
                    value.splice(place..place, text.chars());
                    metadata.insert(key, value.into_iter().collect());
                }
            }
            Edit::Rename(at, end) => {
                let key = key(at);
                let value = metadata.remove(&key).unwrap();
                metadata.insert(format!("{key}{end}"), value);
            }
            Edit::Twice(at) => {
                let key = key(at);
                metadata.insert(format!("{key}FromEnv"), metadata[&key].clone());
            }
            Edit::Add(at, value) => {
                let types = FIXTURE.types.iter();
                let keys = types.flat_map(|keys| keys.query.iter().chain(&keys.connection));
                let keys: Vec<_> = keys.collect();
                let key = keys[at.index(keys.len())];
                let value = match key.secret {
                    true => format!("{SENTINEL}{value}"),
                    false => value.clone(),
                };
                metadata.insert(key.name.clone(), value);
            }
        }
    }
}

/// What a trigger measures.
#[derive(Debug, PartialEq)]
struct Measured {
    metric_name: String,
    target: f64,
}

/// By an engine of its own, which no other case has filled.
fn measured(metadata: &BTreeMap<String, String>) -> Result<Measured, String> {
    let _entered = FIXTURE.runtime.enter();
    let telemetry = Telemetry::default();
    let engine = server::engine(&Settings::default(), &telemetry).unwrap();
    let request = TriggerRef {
        namespace: "shop".to_owned(),
        name: "orders".to_owned(),
        metadata: metadata.clone(),
    };
    match engine.trigger(request) {
        Ok(trigger) => Ok(Measured {
            metric_name: trigger.metric_name.clone(),
            target: trigger.target,
        }),
        Err(error) => Err(format!("{error} {error:?}")),
    }
}

/// A trigger that KEDA can use, or an error that can be logged.
fn check(outcome: Result<Measured, String>) -> Result<(), TestCaseError> {
    match outcome {
        Ok(Measured {
            metric_name,
            target,
        }) => {
            prop_assert!(
                !metric_name.is_empty() && metric_name.len() <= 240,
                "{metric_name}"
            );
            prop_assert!(target >= 1.0 && target.is_finite());
            prop_assert!(!metric_name.contains(SENTINEL), "{metric_name}");
        }
        Err(text) => {
            prop_assert!(text.len() < 16_384, "{}", text.len());
            prop_assert!(!text.contains(SENTINEL), "{text}");
            prop_assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn good_metadata_is_a_trigger(metadata in good_metadata()) {
        let found = measured(&metadata).map_err(TestCaseError::fail)?;
        check(Ok(found))?;
    }

    #[test]
    fn how_metadata_is_written_changes_nothing(
        metadata in good_metadata(),
        edits in prop::collection::vec(harmless(), 1..6),
    ) {
        let before = measured(&metadata);
        let mut edited = metadata;
        edits.iter().for_each(|edit| edit.apply(&mut edited));
        prop_assert_eq!(measured(&edited), before, "{:?}", edited);
    }

    #[test]
    fn a_key_that_is_not_known_is_named(
        metadata in good_metadata(),
        at in any::<Index>(),
        end in "[A-Z][a-z]{3}",
    ) {
        let mut edited = metadata;
        let key = edited.keys().nth(at.index(edited.len())).unwrap().clone();
        let value = edited.remove(&key).unwrap();
        let wrong = format!("{key}{end}");
        edited.insert(wrong.clone(), value);
        let error = measured(&edited).expect_err("an unknown key");
        // Without its backend a trigger has no keys that could be known.
        let named = if key == "backend" { "backend" } else { &wrong };
        prop_assert!(error.contains(named), "{wrong}: {error}");
        check(Err(error))?;
    }

    #[test]
    fn edited_metadata_is_a_trigger_or_a_bounded_error_without_a_secret(
        metadata in good_metadata(),
        edits in prop::collection::vec(edit(), 1..5),
    ) {
        let mut edited = metadata;
        edits.iter().for_each(|edit| edit.apply(&mut edited));
        check(measured(&edited))?;
    }

    #[test]
    fn any_metadata_is_a_trigger_or_a_bounded_error_without_a_secret(request in trigger()) {
        let _entered = FIXTURE.runtime.enter();
        let (namespace, name, metadata) = request;
        let request = TriggerRef { namespace, name, metadata };
        let found = FIXTURE.engine.trigger(request);
        check(found.map_err(|error| format!("{error} {error:?}")).map(|trigger| Measured {
            metric_name: trigger.metric_name.clone(),
            target: trigger.target,
        }))?;
    }

    #[test]
    fn patterns_stay_within_their_bounds(entries in prop::collection::vec(value(), 0..6)) {
        if let Ok(patterns) = Patterns::parse(entries.iter().map(String::as_str)) {
            prop_assert!(patterns.names.len() + patterns.globs.len() <= MOST_NAMES);
            prop_assert!(patterns.bytes() < 2_000_000);
            // What was expanded is expanded: doing it again changes nothing.
            let again = Patterns::parse(patterns.names.iter().map(String::as_str));
            if patterns.names.iter().all(|name| !name.contains("..")) {
                prop_assert_eq!(again.unwrap().names, patterns.names);
            }
        }
    }

    #[test]
    fn any_settings_file_is_settings_or_an_error(
        text in prop_oneof![
            any::<String>(),
            "(listen|engine|log|connections|[a-z]{1,8}): *(\\{[a-zA-Z]{0,12}: [ -~]{0,20}\\}|[ -~]{0,30})",
        ]
    ) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        if let Err(error) = settings::load(Some(file.path()), []) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_slip_in_a_settings_file_shows_a_secret(
        connections in prop::collection::vec(good_metadata(), 1..3),
        slips in prop::collection::vec(slip(), 0..4),
    ) {
        let mut text = "listen:\n  grpc: 127.0.0.1:0\nengine:\n  callTimeout: 2s\nconnections:\n".to_owned();
        for (number, metadata) in connections.iter().enumerate() {
            let _ = writeln!(text, "  c{number}:\n    namespaces: [shop, \"team-*\"]");
            for (key, value) in metadata {
                // JSON is YAML, and keeps the lines of a certificate together.
                let _ = writeln!(text, "    {key}: {}", serde_json::Value::from(value.as_str()));
            }
        }
        let text = slips.iter().fold(text, |text, slip| slip.apply(&text));
        // Keys that are not known are named, whatever was meant to be in their place.
        let is_key = |line: &str| {
            let after = line.rsplit_once(SENTINEL).map(|(_, after)| after);
            after.is_some_and(|after| after.contains(':') || line.contains('?'))
        };
        if text.lines().any(is_key) {
            return Ok(());
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let _entered = FIXTURE.runtime.enter();
        let loaded = settings::load(Some(file.path()), []);
        let engine = loaded.and_then(|settings| server::engine(&settings, &Telemetry::default()));
        if let Err(error) = engine {
            check(Err(format!("{error} {error:?}")))?;
        }
    }
}

/// A slip of somebody who edits a file, in the line of this number.
#[derive(Clone, Debug)]
enum Slip {
    Indent(Index, usize),
    Dedent(Index, usize),
    Remove(Index),
    Repeat(Index),
    /// What stands before the colon is lost, or what stands after it.
    LoseKey(Index),
    LoseValue(Index),
    Insert(Index, Index, &'static str),
}

fn slip() -> impl Strategy<Value = Slip> {
    let at = any::<Index>;
    // No tags: the library takes the key after a value that does not fit its tag for that value.
    let marks = vec![
        "\"", "'", ": ", "- ", "{", "}", "[", "]", "&a ", "*a", "|", "\t", "%", "@", "# ", "\n",
        "? ", "\r", "\0", "\u{85}",
    ];
    prop_oneof![
        (at(), 1..5_usize).prop_map(|(at, by)| Slip::Indent(at, by)),
        (at(), 1..5_usize).prop_map(|(at, by)| Slip::Dedent(at, by)),
        at().prop_map(Slip::Remove),
        at().prop_map(Slip::Repeat),
        at().prop_map(Slip::LoseKey),
        at().prop_map(Slip::LoseValue),
        (at(), at(), select(marks)).prop_map(|(at, place, mark)| Slip::Insert(at, place, mark)),
    ]
}

impl Slip {
    fn apply(&self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let n = lines.len();
        if n == 0 {
            return String::new();
        }
        match self {
            Slip::Indent(at, by) => lines[at.index(n)].insert_str(0, &" ".repeat(*by)),
            Slip::Dedent(at, by) => {
                let line = &mut lines[at.index(n)];
                let spaces = line.chars().take(*by).take_while(|c| *c == ' ').count();
                line.drain(..spaces);
            }
            Slip::Remove(at) => drop(lines.remove(at.index(n))),
            Slip::Repeat(at) => lines.insert(at.index(n), lines[at.index(n)].clone()),
            Slip::LoseKey(at) => {
                let line = &mut lines[at.index(n)];
                if let Some((key, value)) = line.split_once(':') {
                    let indent = key.len() - key.trim_start().len();
                    *line = format!("{}{}", " ".repeat(indent), value.trim_start());
                }
            }
            Slip::LoseValue(at) => {
                let line = &mut lines[at.index(n)];
                if let Some((key, _)) = line.split_once(':') {
                    *line = format!("{key}:");
                }
            }
            Slip::Insert(at, place, mark) => {
                let line = &mut lines[at.index(n)];
                let places = line.char_indices().map(|(at, _)| at).chain([line.len()]);
                let places: Vec<usize> = places.collect();
                line.insert_str(places[place.index(places.len())], mark);
            }
        }
        lines.join("\n") + "\n"
    }
}
