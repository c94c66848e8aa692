//! Which connections the keys describe.

use super::*;
use crate::sampling::{Backend, tests::keys};

const ENDPOINT: (&str, &str) = ("endpoint", "temporal:7233");
const CERT: (&str, &str) = ("cert", "-----BEGIN CERTIFICATE-----");
const KEY: (&str, &str) = ("key", "-----BEGIN PRIVATE KEY-----");
const API_KEY: (&str, &str) = ("apiKey", "token");

fn connection(keys: &[(&str, &str)]) -> Result<Connection, String> {
    keys::connection::<Temporal>("temporal", keys).map_err(|problems| problems.to_string())
}

fn error(keys: &[(&str, &str)]) -> String {
    connection(keys).err().expect("a problem")
}

#[test]
fn an_endpoint_is_a_host_and_a_port() {
    let connection = connection(&[ENDPOINT]).unwrap();
    assert_eq!(connection.to_string(), "temporal default at temporal:7233");
    assert!(connection.tls.is_none());
    assert_eq!(connection.connect_timeout, Duration::from_secs(5));
    for (bad, reason) in [
        (
            "https://temporal:7233",
            "has a scheme; it must be host:port",
        ),
        ("dns:///temporal:7233", "has a scheme; it must be host:port"),
        ("dns:temporal:7233", "has a scheme; it must be host:port"),
        ("temporal:7233/api", "has a path; it must be host:port"),
        (
            "temporal",
            "must be host:port, such as temporal-frontend.temporal:7233",
        ),
    ] {
        let error = error(&[("endpoint", bad)]);
        assert!(error.contains(reason), "{bad}: {error}");
    }
}

#[test]
fn credentials_switch_tls_on_and_a_ca_alone_does_not() {
    let ca = ("ca", CERT.1);
    let with_key = connection(&[ENDPOINT, API_KEY, ca]).unwrap();
    assert_eq!(with_key.tls.unwrap().ca.as_deref(), Some(CERT.1));
    assert!(connection(&[ENDPOINT, CERT, KEY]).unwrap().tls.is_some());
    let error = error(&[ENDPOINT, ca]);
    assert!(error.contains("`tls: enable` is required"), "{error}");
}

#[test]
fn an_api_key_works_without_tls_and_is_never_shown() {
    let plain = connection(&[ENDPOINT, API_KEY, ("tls", "disable")]);
    assert!(plain.unwrap().tls.is_none());
    let error = error(&[ENDPOINT, ("apiKey", "tok en")]);
    assert!(
        error.starts_with("apiKey: ") && !error.contains("tok en"),
        "{error}"
    );
}

#[test]
fn a_certificate_needs_its_key() {
    assert_eq!(error(&[ENDPOINT, CERT]), "key: is required with `cert`");
}

#[test]
fn numbers_have_their_bounds() {
    for (key, value, reason) in [
        ("minConnectTimeout", "0", "from 1 to 60"),
        ("minConnectTimeout", "61", "from 1 to 60"),
        ("requestsPerSecond", "0", "from 1 to 10000"),
        ("requestsPerSecond", "+5", "from 1 to 10000"),
    ] {
        let error = error(&[ENDPOINT, (key, value)]);
        assert!(error.contains(reason), "{error}");
    }
    let slow = connection(&[ENDPOINT, ("requestsPerSecond", "50")]).unwrap();
    assert_eq!(slow.requests_per_second, 50);
}

#[test]
fn all_problems_are_reported_at_once() {
    let error = error(&[
        ("endpoint", "temporal"),
        ("namespace", "a b"),
        ("apiKey", "tok en"),
        CERT,
    ]);
    for key in ["endpoint: ", "namespace: ", "apiKey: ", "key: "] {
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn a_namespace_may_have_quotes_but_no_control_characters() {
    let quoted = connection(&[ENDPOINT, ("namespace", "o'r\"ders")]).unwrap();
    let name = Temporal::readable_name(&quoted, "q".to_owned());
    assert_eq!(name, "temporal-o'r\"ders-q");
    for bad in ["or\nders", "or\u{1b}[31mders", "orders\0", "größe", "a b"] {
        let error = error(&[ENDPOINT, ("namespace", bad)]);
        assert!(error.starts_with("namespace: "), "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}
