//! Tables: a trigger as KEDA reads it → what becomes of its keys.

use super::*;
use crate::cli::migrate::authentications::Place;

/// Each key that does not just stay, with what it becomes: `tls=enable`, `-` for one that goes.
fn changes(plan: &Plan) -> Vec<String> {
    let changed = plan.fates.iter().filter_map(|(key, fate)| match fate {
        Fate::Stays | Fate::Differs(_) => None,
        Fate::Becomes {
            key: new, value, ..
        } => Some(match value {
            Some(value) => format!("{key} → {new}={value}"),
            None => format!("{key} → {new}"),
        }),
        Fate::Goes(_) | Fate::ToConnection => Some(format!("{key} -")),
    });
    changed.collect()
}

fn planned(scaler: &str, metadata: &[(&str, &str)], auth: Auth<'_>) -> Plan {
    plan(&Trigger {
        scaler: Scaler::of(scaler).expect("can move"),
        metadata: metadata
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        authentication: auth,
        server_tls: false,
    })
}

fn reference() -> Reference {
    Reference {
        namespace: Some("shop".to_owned()),
        name: "auth".to_owned(),
    }
}

fn authentication(parameters: &[&str]) -> Authentication {
    let place = |name: &&str| {
        let place = Place::Secret {
            name: "s".to_owned(),
            key: "k".to_owned(),
        };
        (name.to_string(), place)
    };
    Authentication {
        parameters: parameters.iter().map(place).collect(),
        unsupported: Vec::new(),
    }
}

/// A backend, its metadata, the parameters of its authentication (`?`: there is one that is not known),
/// and what changes.
type Case<'a> = (
    &'a str,
    &'a [(&'a str, &'a str)],
    Option<&'a [&'a str]>,
    &'a [&'a str],
);

fn check(cases: &[Case<'_>]) {
    let reference = reference();
    for (scaler, metadata, parameters, expected) in cases {
        let authentication = parameters.map(authentication);
        let auth = match &authentication {
            None => Auth::None,
            Some(known) if known.has("?") => Auth::Unknown(&reference),
            Some(known) => Auth::Known(&reference, known),
        };
        let plan = planned(scaler, metadata, auth);
        assert_eq!(
            changes(&plan),
            *expected,
            "{scaler} {metadata:?} {parameters:?}"
        );
        assert!(plan.refused.is_empty(), "{:?}", plan.refused);
    }
}

#[test]
fn keys_that_keda_reads_stay_and_others_go() {
    check(&[
        (
            "redis",
            &[
                ("address", "a:1"),
                ("listName", "l"),
                ("databaseIndex", "1"),
            ],
            None,
            &[],
        ),
        (
            "redis",
            &[("listNameFromEnv", "L"), ("listName", "l")],
            None,
            &["listNameFromEnv -"],
        ),
        (
            "redis",
            &[("password", "p"), ("passwordFromEnv", "P")],
            None,
            &["passwordFromEnv -"],
        ),
        (
            "redis",
            &[("password", " "), ("passwordFromEnv", "P")],
            None,
            &[],
        ),
        (
            "redis",
            &[("metricName", "m"), ("signal", "age"), ("lists", "a")],
            None,
            &["metricName -", "signal -", "lists -"],
        ),
        (
            "redis",
            &[("tls", "enable"), ("ca", "x"), ("sentinelMaster", "m")],
            None,
            &["tls -", "ca -", "sentinelMaster -"],
        ),
        (
            "redis",
            &[("scalerAddress", "x:1"), ("backend", "kafka")],
            None,
            &["scalerAddress -", "backend -"],
        ),
        (
            "redis-cluster",
            &[("databaseIndex", "0")],
            None,
            &["databaseIndex -"],
        ),
        (
            "redis-sentinel",
            &[("sentinelMaster", "m"), ("sentinelPasswordFromEnv", "P")],
            None,
            &[],
        ),
        (
            "kafka",
            &[
                ("username", "u"),
                ("password", "p"),
                ("sasl", "plaintext"),
                ("version", "1.0.0"),
            ],
            None,
            &["username -", "password -"],
        ),
        (
            "kafka",
            &[("lagThresholdFromEnv", "L"), ("topicFromEnv", "T")],
            None,
            &["lagThresholdFromEnv -"],
        ),
        (
            "apache-kafka",
            &[
                ("version", "1.0.0"),
                ("fullMetadata", "false"),
                ("tls", "enable"),
            ],
            None,
            &["version -", "fullMetadata -"],
        ),
        (
            "temporal",
            &[("apiKey", "k"), ("apiKeyFromEnv", "K"), ("buildId", "1")],
            None,
            &["apiKey -"],
        ),
        (
            "temporal",
            &[("workflowTaskQueueForCount", ""), ("namespaceFromEnv", "N")],
            None,
            &[],
        ),
    ]);
}

#[test]
fn addresses_are_those_that_keda_takes() {
    let both: &[(&str, &str)] = &[
        ("addresses", "a:1"),
        ("hosts", "a"),
        ("ports", "1"),
        ("addressesFromEnv", "A"),
        ("hostsFromEnv", "H"),
    ];
    check(&[
        (
            "redis-cluster",
            both,
            None,
            &["hosts -", "ports -", "addressesFromEnv -", "hostsFromEnv -"],
        ),
        (
            "redis",
            &[("address", "a:1"), ("addresses", "b:1")],
            None,
            &["addresses -"],
        ),
        (
            "redis",
            &[("addressFromEnv", "A"), ("listName", "l")],
            None,
            &[],
        ),
        (
            "redis",
            &[("addressFromEnv", "A")],
            Some(&["address"]),
            &["addressFromEnv -"],
        ),
        (
            "redis",
            &[("host", "a"), ("port", "1")],
            Some(&["password"]),
            &[],
        ),
        (
            "redis",
            &[("host", "a"), ("port", "1")],
            Some(&["address"]),
            &["host -", "port -"],
        ),
        (
            "redis",
            &[("host", "a"), ("hosts", "b"), ("portsFromEnv", "P")],
            None,
            &["hosts -"],
        ),
        (
            "redis",
            &[("hostFromEnv", "H"), ("hosts", "b"), ("port", "1")],
            None,
            &["hostFromEnv -"],
        ),
    ]);
}

#[test]
fn tls_of_redis_gets_our_names() {
    check(&[
        (
            "redis",
            &[("enableTLS", "true"), ("unsafeSsl", "true")],
            None,
            &["enableTLS → tls=enable", "unsafeSsl → tlsSkipVerify"],
        ),
        (
            "redis",
            &[("enableTLS", "false"), ("unsafeSsl", "false")],
            None,
            &["enableTLS → tls=disable", "unsafeSsl → tlsSkipVerify"],
        ),
        ("redis", &[("unsafeSsl", "true")], None, &["unsafeSsl -"]),
        (
            "redis",
            &[("unsafeSsl", "true")],
            Some(&["tls"]),
            &["unsafeSsl → tlsSkipVerify"],
        ),
        (
            "redis",
            &[("unsafeSsl", "true")],
            Some(&["?"]),
            &["unsafeSsl → tlsSkipVerify"],
        ),
        (
            "redis",
            &[("enableTLS", "false"), ("unsafeSsl", "true")],
            Some(&["?"]),
            &["enableTLS → tls=disable", "unsafeSsl -"],
        ),
        (
            "redis-streams",
            &[("enableTLS", " ")],
            None,
            &["enableTLS -"],
        ),
    ]);
}

#[test]
fn tls_of_kafka_keeps_its_name() {
    check(&[
        (
            "kafka",
            &[("tls", "enable"), ("unsafeSsl", "true")],
            None,
            &["unsafeSsl → tlsSkipVerify"],
        ),
        (
            "kafka",
            &[("tls", "disable"), ("unsafeSsl", "true")],
            Some(&["tls"]),
            &["unsafeSsl -"],
        ),
        (
            "kafka",
            &[("unsafeSsl", "true")],
            Some(&["tls", "sasl"]),
            &["unsafeSsl → tlsSkipVerify"],
        ),
        (
            "kafka",
            &[("unsafeSsl", "false"), ("enableTLS", "true")],
            None,
            &["unsafeSsl → tlsSkipVerify", "enableTLS -"],
        ),
        (
            "apache-kafka",
            &[("tls", "enable"), ("unsafeSsl", "true")],
            None,
            &["unsafeSsl -"],
        ),
    ]);
}

#[test]
fn tls_of_temporal_follows_its_credentials() {
    let keys: &[(&str, &str)] = &[
        ("enableTLS", "false"),
        ("unsafeSsl", "true"),
        ("tlsServerName", "t"),
    ];
    check(&[
        (
            "temporal",
            keys,
            None,
            &["enableTLS -", "unsafeSsl -", "tlsServerName -"],
        ),
        (
            "temporal",
            keys,
            Some(&["apiKey"]),
            &["enableTLS -", "unsafeSsl → tlsSkipVerify"],
        ),
        (
            "temporal",
            keys,
            Some(&["cert", "key"]),
            &["enableTLS -", "unsafeSsl → tlsSkipVerify"],
        ),
        (
            "temporal",
            &keys[1..],
            Some(&["?"]),
            &["unsafeSsl → tlsSkipVerify"],
        ),
        (
            "temporal",
            &[
                ("enableTLS", "true"),
                ("apiKeyFromEnv", "K"),
                ("tlsServerName", "t"),
            ],
            None,
            &["enableTLS -"],
        ),
        (
            "temporal",
            &[("apiKeyFromEnv", "K")],
            Some(&["apiKey"]),
            &["apiKeyFromEnv -"],
        ),
    ]);
}

#[test]
fn a_stream_counts_what_it_did() {
    check(&[
        (
            "redis-streams",
            &[
                ("stream", "s"),
                ("consumerGroup", "g"),
                ("lagCount", "5"),
                ("streamLength", "9"),
                ("pendingEntriesCount", "2"),
            ],
            None,
            &[],
        ),
        (
            "redis-streams",
            &[("stream", "s"), ("consumerGroup", "g"), ("lagCount", "0")],
            None,
            &["lagCount -"],
        ),
        (
            "redis-streams",
            &[
                ("stream", "s"),
                ("lagCount", "5"),
                ("consumerGroupFromEnv", "G"),
            ],
            None,
            &["lagCount -", "consumerGroupFromEnv -"],
        ),
    ]);
}

#[test]
fn what_differs_is_said() {
    let metadata = [
        ("consumerGroup", "g"),
        ("topicFromEnv", "T"),
        ("excludePersistentLag", "true"),
    ];
    let plan = planned("apache-kafka", &metadata, Auth::None);
    for (key, fate) in &plan.fates {
        assert!(matches!(fate, Fate::Differs(_)), "{key}: {fate:?}");
    }
    let plan = planned("apache-kafka", &[("consumerGroup", "g")], Auth::None);
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
    let plan = planned("redis", &[("listLenght", "5")], Auth::None);
    let Fate::Goes(why) = &plan.fates[0].1 else {
        panic!("stays")
    };
    assert!(why.contains("if `listLength` was meant"), "{why}");
}

#[test]
fn what_cannot_move_says_why() {
    let reference = reference();
    let refused = |scaler: &str, metadata: &[(&str, &str)], known: &Authentication| {
        let plan = planned(scaler, metadata, Auth::Known(&reference, known));
        let reasons: Vec<String> = plan.refused.into_iter().map(|(_, why)| why).collect();
        reasons.join("\n")
    };
    let identity = Authentication {
        unsupported: vec!["podIdentity", "hashiCorpVault"],
        ..authentication(&["password"])
    };
    assert_eq!(
        refused("redis", &[], &identity),
        "TriggerAuthentication shop/auth has podIdentity, hashiCorpVault, which only KEDA's operator can \
         follow: put the credentials into a Secret, or use a named connection"
    );
    for (scaler, parameters, expected) in [
        (
            "temporal",
            &["apiKey", "caCert"][..],
            "has caCert, with which KEDA would speak TLS to backlog-scaler",
        ),
        (
            "kafka",
            &["sasl", "kerberosConfig"],
            "has kerberosConfig, which is one for the whole process",
        ),
        (
            "redis",
            &["password", "ca"],
            "has ca, which KEDA ignores as nothing enables TLS",
        ),
    ] {
        let text = refused(scaler, &[], &authentication(parameters));
        assert!(text.contains(expected), "{text}");
    }
    let text = refused("redis", &[("enableTLS", "yes")], &authentication(&[]));
    assert!(text.contains("not a boolean"), "{text}");
}
