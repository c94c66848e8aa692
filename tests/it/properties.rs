//! Properties that hold for whatever a caller or a file contains: nothing panics, errors are
//! bounded, secrets are in none of them. `make fuzz` runs many more cases.

use std::{collections::BTreeMap, io::Write, sync::LazyLock};

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
use proptest::{prelude::*, sample::select};

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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_metadata_is_a_trigger_or_a_bounded_error_without_a_secret(request in trigger()) {
        let _entered = FIXTURE.runtime.enter();
        let (namespace, name, metadata) = request;
        let request = TriggerRef { namespace, name, metadata };
        match FIXTURE.engine.trigger(request) {
            Ok(trigger) => {
                let name = &trigger.metric_name;
                prop_assert!(!name.is_empty() && name.len() <= 240, "{name}");
                prop_assert!(trigger.target >= 1.0);
                prop_assert!(!name.contains(SENTINEL), "{name}");
            }
            Err(error) => {
                let text = format!("{error} {error:?}");
                prop_assert!(text.len() < 16_384, "{}", text.len());
                prop_assert!(!text.contains(SENTINEL), "{text}");
                prop_assert!(!text.contains('\n'), "{text:?}");
            }
        }
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
}
