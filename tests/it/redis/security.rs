//! Logins, rights, TLS; and that no secret is in any output.

use tonic::Code;

use super::{list, needs_redis};
use testkit::{
    certs::Certs,
    process,
    redis::{Redis, available},
    require,
    scaler::{Scaler, trigger, with},
};

/// What a password may hold.
const AWKWARD: &str = "p@ss w/ör:d#?%41&'\"\\${}[]|<>`~*()=+,;!\t€ %00 \u{1F512}";

#[tokio::test]
async fn a_password_of_any_characters_works_and_is_in_no_output() {
    needs_redis!();
    let redis = Redis::builder().password(AWKWARD).start().await;
    let scaler = Scaler::start().await;
    redis.rpush("jobs", 3).await;
    let work = with(list(&redis, "jobs"), "password", AWKWARD);

    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 3.0);

    let from_env = with(list(&redis, "jobs"), "passwordFromEnv", AWKWARD);
    assert_eq!(scaler.evaluate(&from_env).await.unwrap().value, 3.0);
    let both = with(work, "passwordFromEnv", AWKWARD);
    let error = scaler.evaluate(&both).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let (_, metrics) = scaler.page("/metrics").await;
    for output in [error.message(), &metrics] {
        assert!(
            !output.contains("p@ss") && !output.contains(AWKWARD),
            "{output}"
        );
    }
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_told_apart_from_an_outage() {
    needs_redis!();
    let redis = Redis::builder().password("right-secret").start().await;
    let scaler = Scaler::start().await;

    let wrong = scaler
        .evaluate(&with(list(&redis, "jobs"), "password", "wrong-secret"))
        .await;
    let missing = scaler.evaluate(&list(&redis, "jobs")).await;

    for error in [wrong.unwrap_err(), missing.unwrap_err()] {
        assert_eq!(error.code(), Code::FailedPrecondition);
        let text = error.message();
        assert!(text.contains("login of user default failed"), "{text}");
        assert!(text.contains("Check username and password"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

/// The rights that the documentation lists.
const LEAST_RIGHTS: &str = "resetchannels ~jobs* +llen +scard +zcard +hlen +xlen +xpending +xinfo \
     +xrange +type +scan +ping";

#[tokio::test]
async fn the_documented_rights_are_enough() {
    needs_redis!();
    let redis = Redis::builder()
        .acl_user("scaler", "pw", LEAST_RIGHTS)
        .start()
        .await;
    let scaler = Scaler::start().await;
    redis.rpush("jobs", 3).await;
    redis.command(&["SADD", "jobs-set", "1"]).await;
    redis
        .command(&["XADD", "jobs-stream", "1-0", "k", "v"])
        .await;
    redis
        .command(&["XADD", "jobs-stream", "2-0", "k", "v"])
        .await;
    redis
        .command(&["XGROUP", "CREATE", "jobs-stream", "g", "1-0"])
        .await;
    let login = |trigger| with(with(trigger, "username", "scaler"), "password", "pw");

    let many = trigger([
        ("backend", "redis"),
        ("address", &redis.address()),
        ("lists", "jobs, jobs-set, jobs:*"),
    ]);
    assert_eq!(scaler.evaluate(&login(many)).await.unwrap().value, 4.0);
    for (keys, value) in [
        ([("consumerGroup", "g"), ("lagCount", "1")], 1.0),
        ([("consumerGroup", "g"), ("pendingEntriesCount", "1")], 0.0),
    ] {
        let found = scaler
            .evaluate(&login(super::stream(&redis, "jobs-stream", keys)))
            .await;
        assert_eq!(found.unwrap().value, value, "{keys:?}");
    }
}

#[tokio::test]
async fn a_missing_right_is_an_error_that_names_the_command_or_key() {
    needs_redis!();
    let redis = Redis::builder()
        .acl_user("narrow", "pw", "resetchannels ~jobs* +ping +scard")
        .start()
        .await;
    let scaler = Scaler::start().await;
    let narrow = |trigger| with(with(trigger, "username", "narrow"), "password", "pw");

    let error = scaler
        .evaluate(&narrow(list(&redis, "jobs")))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        error.message().contains("'llen' command"),
        "{}",
        error.message()
    );
    let lag = super::stream(&redis, "jobs", [("consumerGroup", "g"), ("lagCount", "1")]);
    let error = scaler.evaluate(&narrow(lag)).await.unwrap_err();
    assert!(error.message().contains("xinfo"), "{}", error.message());
    let glob = trigger([
        ("backend", "redis"),
        ("address", &redis.address()),
        ("lists", "jobs*"),
    ]);
    let error = scaler.evaluate(&narrow(glob)).await.unwrap_err();
    assert!(
        error.message().contains("'scan' command"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn tls_with_a_private_authority_works_and_with_another_names_the_reason() {
    needs_redis!();
    let dir = process::directory();
    let certs = Certs::generate(dir.path());
    let redis = Redis::builder().tls(&certs).start().await;
    let scaler = Scaler::start().await;
    redis.rpush("jobs", 3).await;
    let tls = |ca: &str| with(with(list(&redis, "jobs"), "tls", "enable"), "ca", ca);

    assert_eq!(
        scaler.evaluate(&tls(&certs.ca.text)).await.unwrap().value,
        3.0
    );

    let error = scaler
        .evaluate(&tls(&certs.other_ca.text))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains("UnknownIssuer"),
        "{}",
        error.message()
    );
    assert!(
        error.message().contains("Check that ca is the authority"),
        "{}",
        error.message()
    );

    let skipped = with(
        with(list(&redis, "jobs"), "tls", "enable"),
        "tlsSkipVerify",
        "true",
    );
    assert_eq!(scaler.evaluate(&skipped).await.unwrap().value, 3.0);

    let error = scaler.evaluate(&tls("no PEM")).await.unwrap_err();
    assert!(
        error.message().contains("ca: must be PEM"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn the_expected_name_of_the_server_can_be_given() {
    needs_redis!();
    let dir = process::directory();
    let certs = Certs::generate(dir.path());
    let redis = Redis::builder().tls(&certs).start().await;
    let scaler = Scaler::start().await;
    let tls = with(
        with(list(&redis, "jobs"), "tls", "enable"),
        "ca",
        &certs.ca.text,
    );

    let right = with(tls.clone(), "tlsServerName", "localhost");
    assert!(scaler.evaluate(&right).await.is_ok());
    let wrong = with(tls, "tlsServerName", "redis.shop");
    let error = scaler.evaluate(&wrong).await.unwrap_err();
    assert!(
        error.message().contains("redis.shop"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn a_client_certificate_opens_a_server_that_wants_one() {
    needs_redis!();
    let dir = process::directory();
    let certs = Certs::generate(dir.path());
    let redis = Redis::builder().mtls(&certs).start().await;
    let scaler = Scaler::start().await;
    redis.rpush("jobs", 3).await;
    let tls = with(
        with(list(&redis, "jobs"), "tls", "enable"),
        "ca",
        &certs.ca.text,
    );

    let known = with(tls.clone(), "cert", &certs.client.cert.text);
    let half = scaler.evaluate(&known).await.unwrap_err();
    assert_eq!(half.message(), "key: is required with `cert`");
    let known = with(known, "key", &certs.client.key.text);
    assert_eq!(scaler.evaluate(&known).await.unwrap().value, 3.0);

    let stranger = with(tls.clone(), "cert", &certs.stranger.cert.text);
    let stranger = with(stranger, "key", &certs.stranger.key.text);
    let error = scaler.evaluate(&stranger).await.unwrap_err();
    assert!(error.message().contains("UnknownCA"), "{}", error.message());
    let error = scaler.evaluate(&tls).await.unwrap_err();
    assert!(
        error.message().contains("CertificateRequired"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn an_encrypted_key_is_opened_with_its_password() {
    let tools = available() && testkit::program("OPENSSL", "openssl").is_some();
    if !require(tools, "redis-server and openssl") {
        return;
    }
    let dir = process::directory();
    let certs = Certs::generate(dir.path());
    let redis = Redis::builder().mtls(&certs).start().await;
    let scaler = Scaler::start().await;
    let encrypted = dir.path().join("encrypted.key");
    let done = std::process::Command::new("openssl")
        .args([
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-256-cbc",
            "-passout",
            "pass:key-secret",
            "-in",
        ])
        .arg(&certs.client.key.path)
        .arg("-out")
        .arg(&encrypted)
        .status();
    assert!(done.unwrap().success());
    let key = std::fs::read_to_string(&encrypted).unwrap();
    let tls = with(
        with(list(&redis, "jobs"), "tls", "enable"),
        "ca",
        &certs.ca.text,
    );
    let tls = with(with(tls, "cert", &certs.client.cert.text), "key", &key);

    assert!(
        scaler
            .evaluate(&with(tls.clone(), "keyPassword", "key-secret"))
            .await
            .is_ok()
    );

    let error = scaler
        .evaluate(&with(tls.clone(), "keyPassword", "wrong-secret"))
        .await;
    let error = error.unwrap_err();
    assert!(
        error.message().contains("cannot be decrypted"),
        "{}",
        error.message()
    );
    assert!(!error.message().contains("secret"), "{}", error.message());
    let error = scaler.evaluate(&tls).await.unwrap_err();
    assert!(
        error.message().contains("keyPassword: is required"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn a_mismatch_of_tls_and_plain_is_answered_in_time() {
    needs_redis!();
    let dir = process::directory();
    let certs = Certs::generate(dir.path());
    let encrypted = Redis::builder().tls(&certs).start().await;
    let plain = Redis::start().await;
    let scaler = Scaler::start().await;
    let started = tokio::time::Instant::now();

    let error = scaler
        .evaluate(&list(&encrypted, "jobs"))
        .await
        .unwrap_err();
    assert!(error.message().contains("tls"), "{}", error.message());
    let tls = with(
        with(list(&plain, "jobs"), "tls", "enable"),
        "ca",
        &certs.ca.text,
    );
    let error = scaler.evaluate(&tls).await.unwrap_err();
    assert!(error.message().contains("tls"), "{}", error.message());
    assert!(started.elapsed().as_secs() < 6, "{:?}", started.elapsed());
}
