//! Reads that take too long: they fail alone, and the connection stays.

use std::time::Duration;

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::time::Instant;
use tonic::Code;

use super::needs_redis;
use testkit::{
    redis::{Proxy, Redis},
    scaler::{Scaler, trigger, with},
};

const ONE_SECOND: &str = "engine: {callTimeout: 1s, firstCallTimeout: 1s}";

/// A trigger by way of a proxy, without anything to fall back on.
fn strict<const N: usize>(proxy: &Proxy, keys: [(&str, &str); N]) -> ScaledObjectRef {
    let strict = trigger([
        ("backend", "redis"),
        ("address", &proxy.address),
        ("freshFor", "0"),
        ("maxStaleness", "0"),
    ]);
    keys.into_iter()
        .fold(strict, |trigger, (key, value)| with(trigger, key, value))
}

async fn assert_never_reconnected(scaler: &Scaler, proxy: &Proxy) {
    assert_eq!(proxy.connections(), 1, "one connection all along");
    let (_, metrics) = scaler.page("/metrics").await;
    let value = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next());
        let value = value.unwrap_or_else(|| panic!("no {name} in\n{metrics}"));
        value.to_owned()
    };
    assert_eq!(value("backlog_scaler_connected{"), "1");
    assert_eq!(value("backlog_scaler_retried_queries_total{"), "0");
}

#[tokio::test]
async fn a_keyspace_too_large_to_scan_costs_no_other_query_its_value() {
    needs_redis!();
    let redis = Redis::builder()
        .config("enable-debug-command yes")
        .start()
        .await;
    redis.command(&["DEBUG", "POPULATE", "300000"]).await;
    redis.rpush("jobs", 7).await;
    redis.command(&["XADD", "orders", "*", "k", "v"]).await;
    let proxy = Proxy::start(&redis).await;
    // 300 pages take 3 s, and a plain length little more than 10 ms.
    proxy.delay(Duration::from_millis(10));
    let scaler = Scaler::with(ONE_SECOND).await;
    let plain = strict(&proxy, [("listName", "jobs")]);
    let stream = with(
        strict(&proxy, [("stream", "orders")]),
        "backend",
        "redis-streams",
    );

    let started = Instant::now();
    for round in 0.. {
        if started.elapsed() > Duration::from_secs(4) {
            break;
        }
        // New globs, as the failure of a scan is cached.
        let globs = ["a", "b", "c", "d", "e", "f"].map(|name| {
            let glob = format!("{name}-{round}:*");
            strict(&proxy, [("lists", &glob)])
        });
        let scans = async {
            // One after the other, so that no batch has them all.
            let scans = globs.iter().zip(0..).map(async |(glob, position)| {
                tokio::time::sleep(Duration::from_millis(150 * position)).await;
                scaler.evaluate(glob).await
            });
            for scan in futures_util::future::join_all(scans).await {
                let error = scan.unwrap_err();
                assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
            }
        };
        let others = async {
            for _ in 0..10 {
                let started = Instant::now();
                assert_eq!(scaler.evaluate(&plain).await.unwrap().value, 7.0);
                assert_eq!(scaler.evaluate(&stream).await.unwrap().value, 1.0);
                let elapsed = started.elapsed();
                assert!(elapsed < Duration::from_millis(900), "{elapsed:?}");
            }
        };
        tokio::join!(scans, others);
    }

    assert_never_reconnected(&scaler, &proxy).await;
}

#[tokio::test]
async fn a_scan_that_fails_says_so_and_is_not_repeated_at_once() {
    needs_redis!();
    let redis = Redis::builder()
        .config("enable-debug-command yes")
        .start()
        .await;
    redis.command(&["DEBUG", "POPULATE", "300000"]).await;
    let proxy = Proxy::start(&redis).await;
    proxy.delay(Duration::from_millis(10));
    let scaler = Scaler::with(ONE_SECOND).await;
    let glob = strict(&proxy, [("lists", "mail:*")]);

    let error = scaler.evaluate(&glob).await.unwrap_err();
    let text = error.message();
    assert!(
        text.contains("the keyspace is too large to find all that match mail:* within "),
        "{text}"
    );
    assert!(text.contains("Name the lists, or use a range"), "{text}");

    let started = Instant::now();
    assert!(scaler.evaluate(&glob).await.is_err());
    assert!(started.elapsed() < Duration::from_millis(200));
}

#[tokio::test]
async fn a_connection_is_usable_after_a_response_that_came_too_late() {
    needs_redis!();
    let redis = Redis::start().await;
    redis.rpush("jobs", 7).await;
    redis.rpush("mail", 3).await;
    let proxy = Proxy::start(&redis).await;
    let scaler = Scaler::with(ONE_SECOND).await;
    let glob = strict(&proxy, [("lists", "ma*")]);
    let plain = strict(&proxy, [("listName", "jobs")]);
    assert_eq!(scaler.evaluate(&plain).await.unwrap().value, 7.0);

    proxy.delay(Duration::from_millis(1500));
    let error = scaler.evaluate(&glob).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(
        error.message().contains("SCAN ma*: no response within"),
        "{}",
        error.message()
    );
    proxy.delay(Duration::ZERO);
    // The late page is still on its way.
    tokio::time::sleep(Duration::from_millis(1000)).await;

    assert_eq!(scaler.evaluate(&plain).await.unwrap().value, 7.0);
    assert_eq!(scaler.evaluate(&glob).await.unwrap().value, 3.0);
    assert_never_reconnected(&scaler, &proxy).await;
}

#[tokio::test]
async fn a_server_that_hangs_under_scans_alone_is_found_out() {
    needs_redis!();
    let redis = Redis::start().await;
    redis.rpush("mail", 3).await;
    let proxy = Proxy::start(&redis).await;
    let scaler = Scaler::with(ONE_SECOND).await;
    let glob = strict(&proxy, [("lists", "ma*")]);
    assert_eq!(scaler.evaluate(&glob).await.unwrap().value, 3.0);
    // The keys of the glob are cached; these of others are not.
    let glob = |round: usize| strict(&proxy, [("lists", &format!("ma*{round}"))]);

    proxy.delay(Duration::from_secs(3600));
    for round in 0..3 {
        assert!(scaler.evaluate(&glob(round)).await.is_err());
    }
    proxy.delay(Duration::ZERO);

    let started = Instant::now();
    while scaler.evaluate(&glob(9)).await.is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "no new connection"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(proxy.connections() > 1);
}

#[tokio::test]
async fn counting_large_entries_ends_in_time_and_delays_no_other_query() {
    needs_redis!();
    let redis = Redis::start().await;
    let entry = "x".repeat(20_000);
    for id in 1..=200 {
        let id = format!("{id}-0");
        redis.command(&["XADD", "orders", &id, "k", &entry]).await;
    }
    redis
        .command(&["XGROUP", "CREATE", "orders", "billing", "2-0"])
        .await;
    // A deletion in the unread range: Redis no longer knows the lag.
    redis.command(&["XDEL", "orders", "100-0"]).await;
    let proxy = Proxy::start(&redis).await;
    let scaler = Scaler::with(ONE_SECOND).await;
    let stream = with(
        strict(&proxy, [("stream", "orders")]),
        "backend",
        "redis-streams",
    );
    let lag = with(
        with(stream.clone(), "consumerGroup", "billing"),
        "lagCount",
        "5",
    );
    assert_eq!(scaler.evaluate(&lag).await.unwrap().value, 197.0);

    proxy.delay(Duration::from_millis(20));
    let counted = async {
        let error = scaler.evaluate(&lag).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(
            error
                .message()
                .contains("counting the entries took longer than"),
            "{}",
            error.message()
        );
    };
    let others = async {
        for _ in 0..5 {
            assert_eq!(scaler.evaluate(&stream).await.unwrap().value, 199.0);
        }
    };
    tokio::join!(counted, others);

    assert_never_reconnected(&scaler, &proxy).await;
}
