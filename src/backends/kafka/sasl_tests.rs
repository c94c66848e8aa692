//! Each mechanism, and what its keys may not be.

use super::*;
use crate::backends::kafka::testing::{connection, connection_error};

fn with<'a>(keys: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("bootstrapServers", "a:9092")];
    all.extend(keys);
    all
}

#[test]
fn every_mechanism_becomes_what_kafka_calls_it() {
    for (sasl, kafkas) in [
        ("plaintext", "PLAIN"),
        ("scram_sha256", "SCRAM-SHA-256"),
        ("scram_sha512", "SCRAM-SHA-512"),
    ] {
        let keys = with(&[("sasl", sasl), ("username", "u"), ("password", "s3cret")]);
        let connection = connection(&keys);
        assert!(
            matches!(&connection.sasl, Some(Sasl::Password { mechanism, .. }) if *mechanism == kafkas)
        );
        assert_eq!(connection.to_string(), "kafka u@a:9092");
        assert!(!format!("{:?}", connection.sasl).contains("s3cret"));
    }
}

#[test]
fn what_a_mechanism_needs_and_what_it_does_not_use_are_errors() {
    let cases: [(&[(&str, &str)], &str); 10] = [
        (
            &[("sasl", "scram")],
            "sasl: `scram` must be none, plaintext, scram_sha256, scram_sha512, oauthbearer or gssapi",
        ),
        (
            &[("sasl", "plaintext")],
            "username: is required with `sasl: plaintext`; password: is required with `sasl: plaintext`",
        ),
        (
            &[("sasl", "scram_sha512"), ("username", "u")],
            "password: is required with `sasl: scram_sha512`",
        ),
        (
            &[("username", "u")],
            "username: is not used with `sasl: none`",
        ),
        (
            &[
                ("sasl", "plaintext"),
                ("username", "u"),
                ("password", "p"),
                ("realm", "R"),
            ],
            "realm: is not used with `sasl: plaintext`",
        ),
        (
            &[
                ("sasl", "oauthbearer"),
                ("username", "u"),
                ("password", "p"),
            ],
            "oauthTokenEndpointUri: is required with `sasl: oauthbearer`",
        ),
        (
            &[
                ("sasl", "oauthbearer"),
                ("username", "u"),
                ("password", "p"),
                ("oauthTokenEndpointUri", "https://idp/token"),
                ("oauthExtensions", "a=b,c"),
            ],
            "oauthExtensions: `c` must be key=value, comma-separated",
        ),
        (
            &[
                ("sasl", "oauthbearer"),
                ("username", "u"),
                ("password", "p"),
                ("oauthTokenEndpointUri", "idp/token"),
            ],
            "oauthTokenEndpointUri: `idp/token` must be a URL",
        ),
        (
            &[("sasl", "gssapi")],
            "sasl: `gssapi` is not part of this build",
        ),
        (
            &[("sasl", "aws_msk_iam")],
            "sasl: `aws_msk_iam` is not part of this build",
        ),
    ];
    for (keys, expected) in cases {
        let error = connection_error(&with(keys));
        assert!(error.contains(expected), "{keys:?}: {error}");
    }
}
