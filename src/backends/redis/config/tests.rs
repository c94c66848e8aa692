//! Keys of a connection: what they become, and every problem at once.

use super::*;
use crate::sampling::tests::keys;

fn connection(trigger_type: &str, keys: &[(&str, &str)]) -> Result<String, String> {
    let connection = keys::connection::<Redis>(trigger_type, keys);
    match connection {
        Ok(connection) => Ok(connection.to_string()),
        Err(problems) => Err(problems.to_string()),
    }
}

#[test]
fn an_address_is_given_whole_or_as_host_and_port() {
    let whole = connection("redis", &[("address", " redis:6379 ")]);
    assert_eq!(whole.unwrap(), "redis redis:6379/0");
    let parts = [("host", "redis"), ("port", "6379"), ("databaseIndex", "2")];
    assert_eq!(connection("redis", &parts).unwrap(), "redis redis:6379/2");
    let many = [("hosts", "a, b"), ("ports", "1, 2"), ("username", "me")];
    let cluster = connection("redis-cluster", &many);
    assert_eq!(cluster.unwrap(), "redis-cluster me@a:1,b:2");
    let sentinels = [("addresses", "a:1,b:2"), ("sentinelMaster", "main")];
    let sentinel = connection("redis-sentinel", &sentinels);
    assert_eq!(sentinel.unwrap(), "redis-sentinel main/0 at a:1,b:2");
}

#[test]
fn a_host_with_a_port_of_its_own_is_refused_with_the_way_to_split_it() {
    let keys = [("host", "127.0.0.1:6379"), ("port", "6379")];
    assert_eq!(
        connection("redis", &keys).unwrap_err(),
        "host: `127.0.0.1:6379` has a port already; write `127.0.0.1` as the host and `6379` \
         as the port, or both together as the address"
    );
}

#[test]
fn every_problem_of_a_connection_is_reported_at_once() {
    let keys = [
        ("address", "redis"),
        ("host", "redis"),
        ("port", "1"),
        ("ports", "2"),
        ("tls", "enable"),
        ("ca", "/etc/ca.crt"),
        ("cert", "/etc/tls.crt"),
    ];
    assert_eq!(
        connection("redis", &keys).unwrap_err(),
        "ports: is mutually exclusive with `port`; \
         host: is mutually exclusive with `address`; \
         port: is mutually exclusive with `address`; \
         address: `redis` must be host:port, such as redis.shop:6379; \
         ca: must be PEM, with its lines: -----BEGIN CERTIFICATE----- and so on; \
         cert: must be PEM, with its lines: -----BEGIN CERTIFICATE----- and so on; \
         key: is required with `cert`"
    );
    let keys = [
        ("addresses", "a:1,redis://u:secret@b:2,c"),
        ("tlsServerName", "redis.shop"),
    ];
    assert_eq!(
        connection("redis-cluster", &keys).unwrap_err(),
        "addresses: `b:2` has a scheme; it must be host:port, such as redis.shop:6379; \
         addresses: `c` must be host:port, such as redis.shop:6379; \
         tlsServerName: `redis.shop` cannot be used with many servers; their certificates \
         must carry their own names; \
         tls: `tls: enable` is required with ca, cert, key, tlsServerName or tlsSkipVerify"
    );
}

#[test]
fn what_is_missing_or_does_not_agree_is_named() {
    for (keys, error) in [
        (
            &[][..],
            "address: is required, or `host` and `port`, or a named `connection`",
        ),
        (&[("host", "a")], "port: is required with `host`"),
        (&[("ports", "1")], "host: is required with `ports`"),
        (
            &[("hosts", "a,b"), ("ports", "1")],
            "ports: has 1 entries and `hosts` has 2; they must agree",
        ),
        (
            &[("addresses", "a:1,b:2")],
            "address: names 2 servers; `backend: redis` reads one (redis-cluster and \
             redis-sentinel read many)",
        ),
    ] {
        assert_eq!(connection("redis", keys).unwrap_err(), error);
    }
}
