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
    let cases: [(&[(&str, &str)], &str); 8] = [
        (
            &[("sasl", "scram")],
            "sasl: `scram` must be none, plaintext, scram_sha256, scram_sha512, oauthbearer, gssapi or aws_msk_iam",
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
    ];
    for (keys, expected) in cases {
        let error = connection_error(&with(keys));
        assert!(error.contains(expected), "{keys:?}: {error}");
    }
}

#[test]
#[cfg(not(feature = "aws-msk-iam"))]
fn what_the_build_lacks_is_an_error_that_says_how_to_get_it() {
    for (keys, key) in [
        (vec![("sasl", "aws_msk_iam")], "sasl"),
        (
            vec![
                ("sasl", "oauthbearer"),
                ("saslTokenProvider", "aws_msk_iam"),
                ("awsRegion", "eu-west-1"),
            ],
            "saslTokenProvider",
        ),
    ] {
        let error = connection_error(&with(&keys));
        let start = format!("{key}: `aws_msk_iam` is not part of this build");
        assert!(error.starts_with(&start), "{error}");
        assert!(error.contains("--features aws-msk-iam"), "{error}");
    }
}

#[test]
#[cfg(not(feature = "gssapi"))]
fn without_kerberos_in_the_build_the_error_says_how_to_get_it() {
    let error = connection_error(&with(&[("sasl", "gssapi"), ("username", "u")]));
    assert!(
        error.starts_with("sasl: `gssapi` is not part of this build"),
        "{error}"
    );
    assert!(error.contains("--features gssapi"), "{error}");
}

#[test]
#[cfg(feature = "gssapi")]
fn kerberos_wants_a_principal_and_one_proof() {
    let kerberos = |more: &[(&'static str, &'static str)]| {
        with(&[&[("sasl", "gssapi"), ("username", "u")], more].concat())
    };
    let error = connection_error(&kerberos(&[]));
    assert!(error.contains("realm: is required"), "{error}");
    assert!(
        error.contains("password: or keytab or ccacheName"),
        "{error}"
    );
    for (more, expected) in [
        (
            &[("password", "p"), ("ccacheName", "c")][..],
            "and only one",
        ),
        (
            &[("keytab", "no base64!")],
            "keytab: must be the keytab in base64",
        ),
        (
            &[("ccacheName", "../c")],
            "ccacheName: `../c` must be the name of a file in",
        ),
        (
            &[("password", "p"), ("kerberosConfig", "[x]")],
            "KRB5_CONFIG",
        ),
    ] {
        let keys = [more, &[("realm", "R")]].concat();
        let error = connection_error(&kerberos(&keys));
        assert!(error.contains(expected), "{more:?}: {error}");
        assert!(!error.contains("no base64!"), "{error}");
    }
    let connection = connection(&kerberos(&[("realm", "R"), ("password", "s3cret")]));
    assert_eq!(connection.to_string(), "kafka u@R@a:9092");
    assert!(!format!("{:?}", connection.sasl).contains("s3cret"));
}

#[test]
#[cfg(feature = "aws-msk-iam")]
fn msk_iam_wants_a_region_and_tls() {
    let provider = [
        ("sasl", "oauthbearer"),
        ("saslTokenProvider", "aws_msk_iam"),
    ];
    for keys in [&[("sasl", "aws_msk_iam")][..], &provider] {
        let given = |more: &[(&'static str, &'static str)]| with(&[keys, more].concat());
        let error = connection_error(&given(&[("tls", "enable")]));
        assert!(error.starts_with("awsRegion: is required with"), "{error}");
        let error = connection_error(&given(&[("awsRegion", "eu-west-1")]));
        assert_eq!(error, "tls: must be `enable` with AWS MSK IAM");
        let connection = connection(&given(&[("awsRegion", "eu-west-1"), ("tls", "enable")]));
        let expected = MskIam {
            region: "eu-west-1".to_owned(),
            identity: AwsIdentity::Process,
        };
        assert_eq!(connection.sasl, Some(Sasl::MskIam(expected)));
        let sasl = connection.sasl.unwrap();
        assert_eq!(sasl.process_credentials(), Some("sasl"));
    }
}

#[test]
#[cfg(feature = "aws-msk-iam")]
fn msk_iam_signs_with_an_access_key_a_role_or_the_process() {
    let msk = |more: &[(&'static str, &'static str)]| {
        let keys = [
            ("sasl", "aws_msk_iam"),
            ("tls", "enable"),
            ("awsRegion", "eu-west-1"),
        ];
        with(&[&keys, more].concat())
    };
    let key = [
        ("awsAccessKeyID", "AKIA"),
        ("awsSecretAccessKey", "s3cret"),
        ("awsSessionToken", "t0ken"),
    ];
    let sasl = connection(&msk(&key)).sasl.unwrap();
    assert_eq!(sasl.process_credentials(), None);
    assert_eq!(sasl.username(), "AKIA");
    let shown = format!("{sasl:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("t0ken"));
    let sasl = connection(&msk(&[("awsRoleArn", "arn:x")])).sasl.unwrap();
    assert_eq!(sasl.process_credentials(), Some("awsRoleArn"));
    for (more, expected) in [
        (
            &key[..1],
            "awsSecretAccessKey: is required with awsAccessKeyID",
        ),
        (
            &key[1..2],
            "awsAccessKeyID: is required with awsSecretAccessKey",
        ),
        (&key[2..], "awsSessionToken: needs awsAccessKeyID"),
        (&[key[0], key[1], ("awsRoleArn", "arn:x")], "awsRoleArn"),
    ] {
        let error = connection_error(&msk(more));
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_keys_of_aws_are_known_in_every_build() {
    let keys = [
        ("sasl", "scram_sha512"),
        ("username", "u"),
        ("password", "p"),
        ("awsSecretAccessKey", "s3cret"),
    ];
    assert_eq!(
        connection_error(&with(&keys)),
        "awsSecretAccessKey: is not used with `sasl: scram_sha512`"
    );
}
