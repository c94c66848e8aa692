//! Servers that die, come back, hang, or are something else.

use std::time::Duration;
use tokio::time::Instant;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tonic::Code;

use super::{list, needs_redis};
use testkit::{
    redis::Redis,
    scaler::{Scaler, trigger, with},
};

#[tokio::test]
async fn a_killed_server_is_never_a_zero_and_comes_back_by_itself() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 7).await;
    let patient = with(list(&redis, "jobs"), "freshFor", "0");
    let strict = with(patient.clone(), "maxStaleness", "0");
    assert_eq!(scaler.evaluate(&patient).await.unwrap().value, 7.0);

    redis.kill();
    let found = scaler.evaluate(&patient).await.unwrap();
    assert_eq!(
        (found.value, found.stale.as_deref()),
        (7.0, Some("unreachable"))
    );
    let error = scaler.evaluate(&strict).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains(&redis.address()),
        "{}",
        error.message()
    );

    redis.restart().await;
    redis.rpush("jobs", 3).await;
    let started = Instant::now();
    loop {
        match scaler.evaluate(&strict).await {
            Ok(found) if found.value == 3.0 => break,
            last if started.elapsed() > Duration::from_secs(15) => panic!("still {last:?}"),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_costs_no_caller_its_answer() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 7).await;
    let strict = with(
        with(list(&redis, "jobs"), "freshFor", "0"),
        "maxStaleness",
        "0",
    );
    scaler.evaluate(&strict).await.unwrap();

    redis
        .command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
        .await;

    assert_eq!(scaler.evaluate(&strict).await.unwrap().value, 7.0);
}

#[tokio::test]
async fn a_server_that_hangs_is_answered_for_in_time() {
    needs_redis!();
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 7).await;
    let work = with(list(&redis, "jobs"), "freshFor", "0");
    scaler.evaluate(&work).await.unwrap();

    redis.pause();
    let started = Instant::now();
    let found = scaler.evaluate(&work).await.unwrap();
    redis.resume();

    assert_eq!(
        (found.value, found.stale.as_deref()),
        (7.0, Some("timed_out"))
    );
    // GetMetrics waits, then IsActive fails fast.
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

/// Accepts connections and sends `greeting` on each.
async fn impostor(greeting: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(greeting).await;
            held.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn something_that_accepts_and_never_answers_is_a_timeout() {
    let address = impostor(b"").await;
    let scaler = Scaler::start().await;
    let work = trigger([
        ("backend", "redis"),
        ("address", &address),
        ("listName", "jobs"),
    ]);
    let started = Instant::now();

    let error = scaler.evaluate(&work).await.unwrap_err();

    assert_eq!(error.code(), Code::DeadlineExceeded);
    let text = error.message();
    assert!(
        text.starts_with(&format!("redis {address}/0: no response within")),
        "{text}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_port_that_speaks_http_is_recognised_as_something_else() {
    let address = impostor(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
    let scaler = Scaler::start().await;
    let work = trigger([
        ("backend", "redis"),
        ("address", &address),
        ("listName", "jobs"),
    ]);

    let error = scaler.evaluate(&work).await.unwrap_err();

    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error
            .message()
            .contains("does not speak the Redis protocol"),
        "{}",
        error.message()
    );
}

/// Speaks the protocol, but replies nonsense to everything but PING.
async fn nonsense(reply: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut request).await {
                let request = String::from_utf8_lossy(&request[..length]);
                let ping = request.contains("PING");
                let reply = if ping { "+PONG\r\n" } else { reply };
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn a_nonsense_reply_is_the_querys_error_and_names_what_came() {
    for (reply, found) in [
        ("+fine\r\n", "a text"),
        (":-5\r\n", "the number -5"),
        (":9223372036854775807\r\n", "the number 9223372036854775807"),
        ("*1\r\n:1\r\n", "an array"),
        ("$-1\r\n", "nothing"),
    ] {
        let address = nonsense(reply).await;
        let scaler = Scaler::start().await;
        let work = [
            ("backend", "redis"),
            ("address", &address),
            ("listName", "jobs"),
        ];

        let error = scaler.evaluate(&trigger(work)).await.unwrap_err();

        assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
        let text = format!("LLEN jobs: the server replied {found} instead of a count");
        assert!(error.message().contains(&text), "{}", error.message());
        let (_, metrics) = scaler.page("/metrics").await;
        let connected = metrics
            .lines()
            .find(|l| l.starts_with("backlog_scaler_connected{"));
        assert!(
            connected.is_some_and(|line| line.ends_with(" 1")),
            "{metrics}"
        );
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_a_refused_port_say_so() {
    let scaler = Scaler::start().await;
    let at = |address| {
        trigger([
            ("backend", "redis"),
            ("address", address),
            ("listName", "jobs"),
        ])
    };

    let error = scaler
        .evaluate(&at("redis.invalid:6379"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains("redis.invalid:6379"),
        "{}",
        error.message()
    );
    assert!(error.message().contains("lookup"), "{}", error.message());

    let error = scaler.evaluate(&at("127.0.0.1:1")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains("Connection refused"),
        "{}",
        error.message()
    );
}
