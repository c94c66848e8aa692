//! Where each key of a connection comes from first, against KEDA's own declarations.

use super::{kafka::Kafka, redis::Redis, temporal::Temporal};
use crate::{
    metadata::{
        schema::{Key, KeySet},
        tls::TlsKeys,
    },
    sampling::TriggerTypes,
};

/// Trigger types (all that begin with this), key, KEDA's `order`, and where it is declared: a file in
/// `pkg/scalers` of KEDA 2.21 and its line. A key that KEDA reads from no variable has no `resolvedEnv`:
/// there its authentication is the only source but the metadata.
const ORDERS: &[(&str, &str, &str, &str)] = &[
    (
        "redis",
        "address",
        "triggerMetadata;authParams;resolvedEnv",
        "redis_scaler.go:49",
    ),
    (
        "redis",
        "addresses",
        "triggerMetadata;authParams;resolvedEnv",
        "redis_scaler.go:49",
    ),
    (
        "redis",
        "username",
        "triggerMetadata;resolvedEnv;authParams",
        "redis_scaler.go:50",
    ),
    (
        "redis",
        "password",
        "triggerMetadata;resolvedEnv;authParams",
        "redis_scaler.go:51",
    ),
    (
        "redis-sentinel",
        "sentinelUsername",
        "triggerMetadata;authParams;resolvedEnv",
        "redis_scaler.go:52",
    ),
    (
        "redis-sentinel",
        "sentinelPassword",
        "triggerMetadata;authParams;resolvedEnv",
        "redis_scaler.go:53",
    ),
    (
        "redis-sentinel",
        "sentinelMaster",
        "triggerMetadata;authParams;resolvedEnv",
        "redis_scaler.go:54",
    ),
    (
        "redis",
        "host",
        "triggerMetadata;resolvedEnv;authParams",
        "redis_scaler.go:55",
    ),
    (
        "redis",
        "hosts",
        "triggerMetadata;resolvedEnv;authParams",
        "redis_scaler.go:55",
    ),
    (
        "redis",
        "port",
        "triggerMetadata;resolvedEnv;authParams",
        "redis_scaler.go:56",
    ),
    (
        "redis",
        "ports",
        "triggerMetadata;resolvedEnv;authParams",
        "redis_scaler.go:56",
    ),
    ("redis", "cert", "authParams", "redis_scaler.go:59"),
    ("redis", "key", "authParams", "redis_scaler.go:60"),
    ("redis", "keyPassword", "authParams", "redis_scaler.go:61"),
    ("redis", "ca", "authParams", "redis_scaler.go:62"),
    ("redis", "tls", "authParams", "redis_scaler.go:71"),
    (
        "kafka",
        "bootstrapServers",
        "triggerMetadata;resolvedEnv",
        "kafka_scaler.go:61",
    ),
    (
        "kafka",
        "tls",
        "triggerMetadata;authParams",
        "kafka_scaler.go:81",
    ),
    ("kafka", "ca", "authParams", "kafka_scaler.go:83"),
    ("kafka", "cert", "authParams", "kafka_scaler.go:84"),
    ("kafka", "key", "authParams", "kafka_scaler.go:85"),
    ("kafka", "keyPassword", "authParams", "kafka_scaler.go:86"),
    (
        "kafka",
        "sasl",
        "triggerMetadata;authParams",
        "kafka_scaler.go:88",
    ),
    ("kafka", "username", "authParams", "kafka_scaler.go:89"),
    ("kafka", "password", "authParams", "kafka_scaler.go:90"),
    (
        "kafka",
        "saslTokenProvider",
        "triggerMetadata;authParams",
        "kafka_scaler.go:92",
    ),
    ("kafka", "scopes", "authParams", "kafka_scaler.go:93"),
    (
        "kafka",
        "oauthTokenEndpointUri",
        "authParams",
        "kafka_scaler.go:94",
    ),
    (
        "kafka",
        "oauthExtensions",
        "authParams",
        "kafka_scaler.go:95",
    ),
    ("kafka", "keytab", "authParams", "kafka_scaler.go:97"),
    ("kafka", "realm", "authParams", "kafka_scaler.go:99"),
    // `GetAwsAuthorization`: the authentication, then the metadata, then the variable.
    (
        "kafka",
        "awsAccessKeyID",
        "authParams;triggerMetadata;resolvedEnv",
        "aws/aws_common.go:115",
    ),
    (
        "kafka",
        "awsSecretAccessKey",
        "authParams;triggerMetadata;resolvedEnv",
        "aws/aws_common.go:120",
    ),
    (
        "apache-kafka",
        "bootstrapServers",
        "triggerMetadata;resolvedEnv",
        "apache_kafka_scaler.go:52",
    ),
    (
        "apache-kafka",
        "sasl",
        "triggerMetadata;authParams",
        "apache_kafka_scaler.go:69",
    ),
    (
        "apache-kafka",
        "username",
        "authParams",
        "apache_kafka_scaler.go:70",
    ),
    (
        "apache-kafka",
        "password",
        "authParams",
        "apache_kafka_scaler.go:71",
    ),
    (
        "apache-kafka",
        "tls",
        "triggerMetadata;authParams",
        "apache_kafka_scaler.go:78",
    ),
    (
        "apache-kafka",
        "ca",
        "authParams",
        "apache_kafka_scaler.go:82",
    ),
    (
        "temporal",
        "endpoint",
        "triggerMetadata;resolvedEnv",
        "temporal_scaler.go:58",
    ),
    (
        "temporal",
        "namespace",
        "triggerMetadata;resolvedEnv",
        "temporal_scaler.go:59",
    ),
    (
        "temporal",
        "apiKey",
        "authParams;resolvedEnv",
        "temporal_scaler.go:76",
    ),
    ("temporal", "cert", "authParams", "temporal_scaler.go:81"),
    ("temporal", "key", "authParams", "temporal_scaler.go:82"),
    (
        "temporal",
        "keyPassword",
        "authParams",
        "temporal_scaler.go:83",
    ),
    ("temporal", "ca", "authParams", "temporal_scaler.go:84"),
];

/// Whether KEDA takes a value of `…FromEnv` rather than that of the authentication.
fn environment_first(order: &str) -> bool {
    let of = |source| order.split(';').position(|one| one == source);
    match (of("resolvedEnv"), of("authParams")) {
        (Some(environment), Some(authentication)) => environment < authentication,
        (environment, _) => environment.is_some(),
    }
}

/// Each trigger type with the keys of its connection, those of TLS among them.
fn connections() -> Vec<(&'static str, Vec<Key>)> {
    fn of<B: TriggerTypes>() -> impl Iterator<Item = (&'static str, Vec<Key>)> {
        let types = B::trigger_types().into_iter();
        types.map(|of_type| {
            let tls = KeySet::of::<TlsKeys>().0;
            (of_type.name, [of_type.connection_keys.0, tls].concat())
        })
    }
    of::<Redis>()
        .chain(of::<Kafka>())
        .chain(of::<Temporal>())
        .collect()
}

#[test]
fn a_variable_and_an_authentication_have_keda_s_order() {
    for (types, name, order, declared) in ORDERS {
        let all = connections().into_iter();
        let all: Vec<_> = all
            .filter(|(of_type, _)| of_type.starts_with(types))
            .collect();
        assert!(!all.is_empty(), "{types}");
        for (of_type, keys) in all {
            let key = keys.iter().find(|key| key.name == *name);
            let key = key.unwrap_or_else(|| panic!("{of_type} has no {name}"));
            let expected = environment_first(order);
            assert_eq!(
                key.environment_first, expected,
                "{of_type} {name}, {declared}"
            );
        }
    }
}

#[test]
fn every_key_with_a_variable_first_is_in_the_table() {
    for (of_type, keys) in connections() {
        for key in keys.iter().filter(|key| key.environment_first) {
            let mut rows = ORDERS.iter();
            let is_listed =
                rows.any(|(_, name, order, _)| *name == key.name && environment_first(order));
            assert!(is_listed, "{of_type} {}", key.name);
        }
    }
}
