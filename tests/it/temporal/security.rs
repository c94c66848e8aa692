//! TLS, client certificates, and tokens.

use tempfile::TempDir;
use tokio::sync::OnceCell;
use tonic::Code;

use super::{needs_temporal, queue, shared};
use testkit::{
    certs::Certs,
    process,
    scaler::{Scaler, with},
    temporal::{Temporal, Tokens},
};

fn certs() -> (TempDir, Certs) {
    let dir = process::directory();
    let certs = Certs::generate(dir.path());
    (dir, certs)
}

#[tokio::test]
async fn tls_needs_the_right_authority() {
    needs_temporal!();
    let (dir, certs) = certs();
    let builder = Temporal::builder().tls(dir.path().to_owned(), certs);
    let (temporal, scaler) = (builder.start().await, Scaler::start().await);
    temporal.start_workflows("jobs", 3).await;
    let ca = temporal.certs().ca.text.as_str();
    let tls = queue(&temporal, "jobs", [("tls", "enable"), ("ca", ca)]);
    super::eventually(&scaler, &tls, |e| e.value == 3.0).await;

    let trusting = queue(
        &temporal,
        "jobs",
        [("tls", "enable"), ("tlsSkipVerify", "true")],
    );
    assert_eq!(scaler.evaluate(&trusting).await.unwrap().value, 3.0);

    let wrong = with(tls.clone(), "ca", &temporal.certs().other_ca.text);
    let error = scaler.evaluate(&wrong).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("UnknownIssuer"), "{error}");
    assert!(
        error.message().contains("Check that ca is the authority"),
        "{error}"
    );

    let named = with(tls, "tlsServerName", "elsewhere.test");
    let error = scaler.evaluate(&named).await.unwrap_err();
    assert!(error.message().contains("tlsServerName"), "{error}");

    let plain = queue(&temporal, "jobs", []);
    let error = scaler.evaluate(&plain).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error
            .message()
            .contains("If its port requires TLS: Set `tls: enable`"),
        "{error}"
    );
}

#[tokio::test]
async fn tls_against_a_plain_port_says_so() {
    needs_temporal!();
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    let trigger = queue(
        temporal,
        "jobs",
        [("tls", "enable"), ("tlsSkipVerify", "true")],
    );
    let error = scaler.evaluate(&trigger).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn mtls_needs_a_certificate_that_the_server_trusts() {
    needs_temporal!();
    let (dir, certs) = certs();
    let builder = Temporal::builder().mtls(dir.path().to_owned(), certs);
    let (temporal, scaler) = (builder.start().await, Scaler::start().await);
    temporal.start_workflows("jobs", 3).await;
    let certs = temporal.certs();
    // A certificate switches TLS on.
    let known = queue(
        &temporal,
        "jobs",
        [
            ("ca", &certs.ca.text),
            ("cert", &certs.client.cert.text),
            ("key", &certs.client.key.text),
        ],
    );
    super::eventually(&scaler, &known, |e| e.value == 3.0).await;

    let anonymous = queue(
        &temporal,
        "jobs",
        [("tls", "enable"), ("ca", &certs.ca.text)],
    );
    let error = scaler.evaluate(&anonymous).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error
            .message()
            .contains("client certificate (cert and key)"),
        "{error}"
    );

    let stranger = with(known, "cert", &certs.stranger.cert.text);
    let stranger = with(stranger, "key", &certs.stranger.key.text);
    let error = scaler.evaluate(&stranger).await.unwrap_err();
    assert!(
        error
            .message()
            .contains("an authority that it trusts signed cert"),
        "{error}"
    );
    assert!(!error.message().contains("PRIVATE"), "{error}");
}

async fn with_tokens() -> &'static Temporal {
    static SERVER: OnceCell<Temporal> = OnceCell::const_new();
    let start = || Temporal::builder().tokens(Tokens::generate()).start();
    SERVER.get_or_init(start).await
}

#[tokio::test]
async fn an_api_key_with_the_right_to_read_is_enough() {
    needs_temporal!();
    let (temporal, scaler) = (with_tokens().await, Scaler::start().await);
    temporal.start_workflows("jobs", 3).await;
    let reader = [
        ("apiKey", temporal.tokens().reader.as_str()),
        ("tls", "disable"),
    ];
    let trigger = queue(temporal, "jobs", reader);
    super::eventually(&scaler, &trigger, |e| e.value == 3.0).await;
    let running = with(
        queue(temporal, "none", reader),
        "includeRunningWorkflowCount",
        "true",
    );
    assert!(!scaler.evaluate(&running).await.unwrap().active);
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_and_not_shown() {
    needs_temporal!();
    let (temporal, scaler) = (with_tokens().await, Scaler::start().await);
    let tokens = temporal.tokens();
    for (token, reason) in [
        (Some(&tokens.expired), "the API key expired at 20"),
        (Some(&tokens.forged), "may read this namespace"),
        (None, "set apiKey, or cert and key"),
    ] {
        let mut trigger = queue(temporal, "jobs", [("tls", "disable")]);
        if let Some(token) = token {
            trigger = with(trigger, "apiKey", token);
        }
        let error = scaler.evaluate(&trigger).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
        assert!(error.message().contains(reason), "{error}");
        assert!(
            token.is_none_or(|token| !error.message().contains(token)),
            "{error}"
        );
    }
}
