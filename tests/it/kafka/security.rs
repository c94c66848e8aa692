//! Logins, rights, TLS.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tonic::Code;

use super::{at, lag, needs_kafka, with};
use testkit::{
    kafka::{self, LOGIN_LASTS, PASSWORD},
    scaler::Scaler,
};

#[tokio::test]
async fn every_mechanism_logs_in_with_and_without_tls() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("secured", 1).await;
    kafka.produce("secured", 0, 6);
    kafka.commit("secured", "secured", &[(0, 2)]);
    kafka
        .grant(
            "alice",
            &[
                "--operation",
                "Describe",
                "--topic",
                "secured",
                "--group",
                "secured",
            ],
        )
        .await;
    for sasl in ["plaintext", "scram_sha256", "scram_sha512"] {
        let keys = [
            ("sasl", sasl),
            ("username", "alice"),
            ("password", PASSWORD),
        ];
        let plain = with(at(&kafka.sasl(), "secured", "secured"), keys);
        let tls = with(at(&kafka.sasl_ssl(), "secured", "secured"), keys);
        let tls = with(tls, [("tls", "enable"), ("ca", &kafka.certs.ca.text)]);
        assert_eq!(scaler.evaluate(&plain).await.unwrap().value, 4.0, "{sasl}");
        assert_eq!(
            scaler.evaluate(&tls).await.unwrap().value,
            4.0,
            "{sasl} with TLS"
        );
    }
}

#[tokio::test]
async fn a_login_that_ends_is_renewed_before_it_does() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("renewed", 1).await;
    kafka.produce("renewed", 0, 6);
    kafka.commit("renewed", "renewed", &[(0, 2)]);
    let rights = [
        "--operation",
        "Describe",
        "--topic",
        "renewed",
        "--group",
        "renewed",
    ];
    kafka.grant("alice", &rights).await;
    let keys = [
        ("sasl", "scram_sha256"),
        ("username", "alice"),
        ("password", PASSWORD),
    ];
    let work = with(at(&kafka.sasl(), "renewed", "renewed"), keys);
    let started = std::time::Instant::now();
    while started.elapsed() < LOGIN_LASTS * 3 {
        assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);
        tokio::time::sleep(LOGIN_LASTS / 10).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_as_that_and_at_once() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    for sasl in ["plaintext", "scram_sha512"] {
        let keys = [("sasl", sasl), ("username", "alice"), ("password", "wr0ng")];
        let wrong = with(at(&kafka.sasl(), "g", "t"), keys);
        let started = std::time::Instant::now();
        let error = scaler.evaluate(&wrong).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
        let text = error.message();
        assert!(
            text.contains("authentication of user alice failed"),
            "{text}"
        );
        assert!(text.contains("Check sasl, username and password"), "{text}");
        assert!(!text.contains("wr0ng"), "{text}");
        assert!(
            started.elapsed().as_secs_f64() < 2.9,
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test]
async fn a_missing_right_is_named() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    for topic in ["denied-topic", "denied-group"] {
        kafka.create_topic(topic, 1).await;
        kafka.commit(topic, topic, &[(0, 0)]);
    }
    kafka
        .grant(
            "bob",
            &["--operation", "Describe", "--topic", "denied-group"],
        )
        .await;
    kafka
        .grant(
            "bob",
            &["--operation", "Describe", "--group", "denied-topic"],
        )
        .await;
    let keys = [
        ("sasl", "scram_sha256"),
        ("username", "bob"),
        ("password", PASSWORD),
    ];
    let denied = |name| with(at(&kafka.sasl(), name, name), keys);

    let error = scaler.evaluate(&denied("denied-group")).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    assert!(
        error
            .message()
            .contains("permission to DESCRIBE group denied-group"),
        "{}",
        error.message()
    );

    let error = scaler.evaluate(&denied("denied-topic")).await.unwrap_err();
    assert!(
        error.message().contains("topic denied-topic"),
        "{}",
        error.message()
    );
    assert!(error.message().contains("DESCRIBE"), "{}", error.message());
}

#[tokio::test]
async fn tls_checks_the_brokers_certificate_and_shows_ours() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    let certs = &kafka.certs;
    kafka.create_topic("tls", 1).await;
    kafka.produce("tls", 0, 3);
    kafka.commit("tls", "tls", &[(0, 0)]);
    let tls = |servers: &str| with(at(servers, "tls", "tls"), [("tls", "enable")]);
    let trusting = with(tls(&kafka.ssl()), [("ca", &certs.ca.text)]);
    assert_eq!(scaler.evaluate(&trusting).await.unwrap().value, 3.0);
    let skipping = with(tls(&kafka.ssl()), [("tlsSkipVerify", "true")]);
    assert_eq!(scaler.evaluate(&skipping).await.unwrap().value, 3.0);
    let mutual = with(
        tls(&kafka.mtls()),
        [
            ("ca", certs.ca.text.as_str()),
            ("cert", &certs.client.cert.text),
            ("key", &certs.client.key.text),
        ],
    );
    assert_eq!(scaler.evaluate(&mutual).await.unwrap().value, 3.0);
    let encrypted = with(
        mutual.clone(),
        [
            ("key", encrypted(&certs.client.key.path).as_str()),
            ("keyPassword", "s3same"),
        ],
    );
    assert_eq!(scaler.evaluate(&encrypted).await.unwrap().value, 3.0);

    let wrong_ca = with(tls(&kafka.ssl()), [("ca", &certs.other_ca.text)]);
    let system_ca = tls(&kafka.ssl());
    let elsewhere = with(trusting, [("tlsServerName", "elsewhere.example")]);
    let stranger = with(
        mutual.clone(),
        [
            ("cert", certs.stranger.cert.text.as_str()),
            ("key", &certs.stranger.key.text),
        ],
    );
    let nobody = with(tls(&kafka.mtls()), [("ca", &certs.ca.text)]);
    for (name, trigger, says) in [
        ("another authority", wrong_ca, "not signed by a CA"),
        ("another name", elsewhere, "not valid for name"),
        ("the system's authorities", system_ca, "not signed by a CA"),
        (
            "a stranger's certificate",
            stranger,
            "our client certificate",
        ),
        ("no certificate", nobody, "our client certificate"),
    ] {
        let error = scaler.evaluate(&trigger).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{name}: {error:?}");
        assert!(
            error.message().contains(says),
            "{name}: {}",
            error.message()
        );
    }

    // A key of another certificate.
    let bad = with(mutual, [("key", certs.stranger.key.text.as_str())]);
    let error = scaler.evaluate(&bad).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    assert!(
        error.message().contains("key: does not fit `cert`"),
        "{}",
        error.message()
    );
    assert!(!error.message().contains("BEGIN"), "{}", error.message());
}

/// The same key under a password.
fn encrypted(key: &std::path::Path) -> String {
    let mut openssl = std::process::Command::new("openssl");
    openssl
        .args(["pkcs8", "-topk8", "-passout", "pass:s3same", "-in"])
        .arg(key);
    String::from_utf8(openssl.output().expect("openssl runs").stdout).expect("PEM")
}

#[tokio::test]
async fn the_wrong_protocol_for_a_port_is_told_within_the_deadline() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    let plain_to_tls = at(&kafka.ssl(), "g", "t");
    let tls_to_plain = with(
        lag(kafka, "g", "t"),
        [("tls", "enable"), ("tlsSkipVerify", "true")],
    );
    let no_login = at(&kafka.sasl(), "g", "t");
    let login = [
        ("sasl", "scram_sha256"),
        ("username", "alice"),
        ("password", PASSWORD),
    ];
    let login_to_plain = with(lag(kafka, "g", "t"), login);
    let refused = at("127.0.0.1:1", "g", "t");
    let http = at(
        &responding(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        "g",
        "t",
    );
    let silent = at(&responding(b"").await, "g", "t");
    let unknown = at("no-such-host.invalid:9092", "g", "t");
    for (name, trigger, says) in [
        ("plain to TLS", plain_to_tls, "Set `tls: enable`"),
        ("TLS to plain", tls_to_plain, "does not speak TLS"),
        ("no login", no_login, "`sasl`"),
        ("login to plain", login_to_plain, "sasl"),
        ("refused", refused, "Connection refused"),
        ("HTTP", http, "does not speak Kafka's protocol"),
        ("silent", silent, "no response in time"),
        ("does not resolve", unknown, "no-such-host.invalid"),
    ] {
        let started = std::time::Instant::now();
        let error = scaler.evaluate(&trigger).await.unwrap_err();
        assert!(
            error.message().contains(says),
            "{name}: {}",
            error.message()
        );
        assert!(
            started.elapsed().as_secs_f64() < 3.5,
            "{name}: {:?}",
            started.elapsed()
        );
        assert_ne!(error.code(), Code::Internal, "{name}: {error:?}");
    }
}

/// A port that says the same to everybody and keeps the connection.
async fn responding(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(bytes).await.unwrap();
            held.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn a_token_endpoint_supplies_tokens_and_its_refusal_is_told() {
    needs_kafka!();
    let (kafka, scaler) = (kafka::one().await, Scaler::start().await);
    kafka.create_topic("token", 1).await;
    kafka.produce("token", 0, 6);
    kafka.commit("token", "token", &[(0, 2)]);
    let rights = [
        "--operation",
        "Describe",
        "--topic",
        "token",
        "--group",
        "token",
    ];
    kafka.grant("alice", &rights).await;
    let endpoint = TokenEndpoint::start().await;
    let keys = [
        ("sasl", "oauthbearer"),
        ("username", "alice"),
        ("password", "cl1ent-secret"),
        ("scopes", "kafka,lag"),
        ("oauthExtensions", "tenant=shop"),
        ("oauthTokenEndpointUri", &endpoint.url),
    ];
    let work = with(at(&kafka.sasl(), "token", "token"), keys);
    assert_eq!(scaler.evaluate(&work).await.unwrap().value, 4.0);
    let sent = endpoint.last.lock().unwrap().clone();
    assert!(sent.contains("grant_type=client_credentials"), "{sent}");
    assert!(sent.contains("scope=kafka+lag"), "{sent}");
    // alice:cl1ent-secret
    let login = "basic ywxpy2u6y2wxzw50lxnly3jlda==";
    assert!(sent.to_lowercase().contains(login), "{sent}");

    let wrong = with(work, [("username", "mallory")]);
    let error = scaler.evaluate(&wrong).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    let text = error.message();
    assert!(
        text.contains("authentication of user mallory failed"),
        "{text}"
    );
    assert!(
        text.contains("401") && text.contains("invalid_client"),
        "{text}"
    );
    assert!(!text.contains("cl1ent-secret"), "{text}");
}

/// Grants tokens that nobody signed to alice, and to no one else.
pub struct TokenEndpoint {
    pub url: String,
    last: Arc<Mutex<String>>,
}

impl TokenEndpoint {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let last = Arc::new(Mutex::new(String::new()));
        let sent = last.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let mut length = 0;
                // The form is the whole of the body: it ends with the scope.
                while !String::from_utf8_lossy(&request[..length]).contains("scope=") {
                    length += stream.read(&mut request[length..]).await.unwrap();
                }
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let (status, body) = match request.contains("YWxpY2U6") {
                    true => ("200 OK", granted()),
                    false => (
                        "401 Unauthorized",
                        r#"{"error":"invalid_client"}"#.to_owned(),
                    ),
                };
                *sent.lock().unwrap() = request;
                let response = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        });
        TokenEndpoint { url, last }
    }
}

/// An unsecured JWS (RFC 7515, appendix A.5) for alice.
fn granted() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    let claims = format!(r#"{{"sub":"alice","iat":{now},"exp":{}}}"#, now + 300);
    let token = format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(&claims));
    format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":300}}"#)
}

fn base64url(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let chunk = |three: &[u8]| {
        let bytes = [0, 1, 2].map(|i| u32::from(three.get(i).copied().unwrap_or(0)));
        let bits = bytes[0] << 16 | bytes[1] << 8 | bytes[2];
        let digits = [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize] as char);
        String::from_iter(&digits[..=three.len()])
    };
    text.as_bytes().chunks(3).map(chunk).collect()
}

/// No broker here takes a token of AWS: that it is made, shown and refused is what can be seen.
#[tokio::test(flavor = "multi_thread")]
#[cfg(feature = "aws-msk-iam")]
async fn a_token_for_msk_is_signed_with_the_credentials_of_the_process() {
    needs_kafka!();
    let servers = kafka::one().await.sasl_ssl();
    let login = format!(
        "bootstrapServers: '{servers}', sasl: aws_msk_iam, awsRegion: eu-west-1, tls: enable, \
         tlsSkipVerify: 'true'"
    );
    let settings = tempfile::NamedTempFile::new().unwrap();
    let named = format!("connections: {{msk: {{backend: kafka, {login}}}}}");
    std::fs::write(settings.path(), named).unwrap();
    let probe = |connection: &str, environment: &[(&str, &str)]| {
        let manifest = format!(
            "{{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {{name: msk}}, \
             spec: {{triggers: [{{type: external, metadata: {{backend: kafka, consumerGroup: g, \
             topic: t, {connection}}}}}]}}}}"
        );
        let mut probe = std::process::Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
        let mut probe = probe
            .args(["probe", "-", "--config"])
            .arg(settings.path())
            .env_clear()
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(environment.iter().copied())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut probe.stdin.take().unwrap(), manifest.as_bytes()).unwrap();
        String::from_utf8(probe.wait_with_output().unwrap().stdout).unwrap()
    };
    let process = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
    ];
    let own = format!("{login}, awsAccessKeyID: AKIDOWN, awsSecretAccessKey: wJalrXUtnFEMI");
    for (refused, user) in [
        (probe("connection: msk", &process), "aws_msk_iam"),
        (probe(&own, &[]), "AKIDOWN"),
    ] {
        let failed = format!("authentication of user {user} failed");
        assert!(refused.contains(&failed), "{refused}");
        assert!(!refused.contains("signing"), "{refused}");
        assert!(!refused.contains("wJalrXUtnFEMI"), "{refused}");
    }
    // Whoever writes a trigger may not use the role of the pod.
    let inline = probe(&login, &process);
    let not_allowed = "sasl: uses credentials of this server's own process";
    assert!(inline.contains(not_allowed), "{inline}");
    let without = probe("connection: msk", &[]);
    assert!(
        without.contains("signing with AWS credentials"),
        "{without}"
    );
}
