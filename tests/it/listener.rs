//! The listener: what it bounds, and how connections end.

use std::time::Duration;

use backlog_scaler::keda::proto::external_scaler_client::ExternalScalerClient;
use testkit::{
    certs::Certs,
    program,
    redis::{self, Redis},
    require,
    scaler::{Scaler, settings, trigger},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// HTTP/2's connection preface, and an empty SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The type of a GOAWAY frame (RFC 9113, section 6.8).
const GOAWAY: u8 = 7;

/// Reads frames until one is a GOAWAY, or the connection ends.
async fn read_until_goaway(stream: &mut TcpStream) -> std::io::Result<bool> {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return Ok(false);
        }
        if head[3] == GOAWAY {
            return Ok(true);
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
    }
}

fn spec() -> backlog_scaler::keda::proto::ScaledObjectRef {
    trigger([
        ("backend", "redis"),
        ("address", "127.0.0.1:1"),
        ("listName", "jobs"),
    ])
}

#[tokio::test]
async fn a_connection_gets_a_goaway_at_its_age() {
    let scaler = Scaler::with("listen: {connectionMaxAge: 1s, connectionMaxAgeGrace: 10s}").await;
    let mut stream = TcpStream::connect(&scaler.address).await.unwrap();
    stream.write_all(HELLO).await.unwrap();
    let opened = Instant::now();
    let received = timeout(Duration::from_secs(5), read_until_goaway(&mut stream)).await;
    assert!(received.expect("long before the grace is over").unwrap());
    assert!(opened.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn kedas_own_client_loses_no_call_when_connections_reach_their_age() {
    let Some(judge) = program("KEDA_JUDGE", "keda-judge") else {
        require(false, "keda-judge");
        return;
    };
    if !require(redis::available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    let scaler = Scaler::with("listen: {connectionMaxAge: 300ms, connectionMaxAgeGrace: 5s}").await;
    let started = Instant::now();
    let output = tokio::process::Command::new(judge)
        .args(["bench", "--mode", "external", "--backend", "redis"])
        .args(["--triggers", "20", "--rounds", "300"])
        .args(["--scaler", &scaler.address])
        .args(["--set", &format!("address={}", redis.address())])
        .args(["--set", "listName=jobs"])
        .output()
        .await
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        started.elapsed() > Duration::from_millis(900),
        "long enough for several ages: {report}"
    );
    assert_eq!(report["errors"], 0, "{report}");
    assert_eq!(report["evaluations"], 20 * 300, "{report}");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_the_others_served() {
    let scaler = Scaler::with("listen: {maxConnections: 2}").await;
    let mut one = scaler.client().await;
    let _two = TcpStream::connect(&scaler.address).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let mut three = TcpStream::connect(&scaler.address).await.unwrap();
    let ended = timeout(Duration::from_secs(5), three.read(&mut [0; 1])).await;
    assert!(matches!(ended.unwrap(), Ok(0) | Err(_)), "closed at once");
    one.get_metric_spec(spec()).await.unwrap();

    // A connection that ends makes room.
    drop(_two);
    sleep(Duration::from_millis(200)).await;
    scaler.client().await.get_metric_spec(spec()).await.unwrap();
}

fn tls_settings(certs: &Certs, more: &str) -> String {
    format!(
        "listen: {{tls: {{certFile: '{}', keyFile: '{}'{more}}}, handshakeTimeout: 500ms}}",
        certs.server.cert.path.display(),
        certs.server.key.path.display(),
    )
}

async fn tls_client(
    scaler: &Scaler,
    ca: &str,
    identity: Option<&testkit::certs::Identity>,
) -> Result<ExternalScalerClient<Channel>, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca))
        .domain_name("localhost");
    if let Some(identity) = identity {
        tls = tls.identity(Identity::from_pem(&identity.cert.text, &identity.key.text));
    }
    let endpoint = Channel::from_shared(format!("https://{}", scaler.address)).unwrap();
    let channel = endpoint.tls_config(tls)?.connect().await?;
    Ok(ExternalScalerClient::new(channel))
}

#[tokio::test]
async fn a_tls_handshake_ends_in_time_and_names_of_clients_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::generate(&dir);
    let more = format!(
        ", clientCaFile: '{}', clientNames: [client]",
        certs.ca.path.display()
    );
    let scaler = Scaler::run(settings(&tls_settings(&certs, &more))).await;

    let mut silent = TcpStream::connect(&scaler.address).await.unwrap();
    let ended = timeout(Duration::from_secs(5), silent.read(&mut [0; 1])).await;
    assert!(matches!(ended.unwrap(), Ok(0) | Err(_)));

    let mut client = tls_client(&scaler, &certs.ca.text, Some(&certs.client))
        .await
        .unwrap();
    client.get_metric_spec(spec()).await.unwrap();
    // Signed by the same authority, but with other names; and by another authority; and none.
    for refused in [Some(&certs.server), Some(&certs.stranger), None] {
        let called = async {
            let mut client = tls_client(&scaler, &certs.ca.text, refused).await.ok()?;
            client.get_metric_spec(spec()).await.ok()
        };
        assert!(called.await.is_none());
    }
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old, new) = (Certs::generate(&dir), Certs::generate(&other));
    let scaler = Scaler::run(settings(&tls_settings(&old, ""))).await;
    let accepts = async |ca: &str| {
        let client = tls_client(&scaler, ca, None).await;
        match client {
            Ok(mut client) => client.get_metric_spec(spec()).await.is_ok(),
            Err(_) => false,
        }
    };
    assert!(accepts(&old.ca.text).await);
    let metrics = scaler.page("/metrics").await.1;
    let expiry = "backlog_scaler_certificate_expiry_timestamp_seconds{listener=\"grpc\"} ";
    let expiry = metrics.lines().find_map(|line| line.strip_prefix(expiry));
    assert!(expiry.unwrap().parse::<f64>().unwrap() > 1.7e9);

    std::fs::write(&old.server.cert.path, "broken").unwrap();
    let failed = async || {
        let metrics = scaler.page("/metrics").await.1;
        metrics.contains("certificate_reload_failures_total{listener=\"grpc\"} 1")
    };
    eventually(failed).await;
    assert!(accepts(&old.ca.text).await, "the old one stays in use");

    for (from, to) in [
        (&new.server.cert, &old.server.cert),
        (&new.server.key, &old.server.key),
    ] {
        std::fs::copy(&from.path, &to.path).unwrap();
    }
    eventually(async || accepts(&new.ca.text).await).await;
    assert!(!accepts(&old.ca.text).await);
}

/// Waits until it is so; the files are looked at every ten seconds.
async fn eventually(is_so: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(30), "not in time");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn figures_require_the_token_and_probes_do_not() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "t0ken\n").unwrap();
    let path = file.path().display();
    let scaler = Scaler::with(&format!("listen: {{adminTokenFile: '{path}'}}")).await;
    let status = async |token: Option<&str>, page: &str| {
        let request = reqwest::Client::new().get(format!("http://{}{page}", scaler.admin));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap().status().as_u16()
    };
    for refused in [None, Some(""), Some("t0ke"), Some("t0kenn")] {
        assert_eq!(status(refused, "/metrics").await, 401, "{refused:?}");
    }
    assert_eq!(status(Some("t0ken"), "/metrics").await, 200);
    assert_eq!(status(None, "/livez").await, 200);
    assert_eq!(status(None, "/readyz").await, 200);

    std::fs::write(file.path(), "n3w").unwrap();
    assert_eq!(status(Some("t0ken"), "/metrics").await, 401);
    assert_eq!(status(Some("n3w"), "/metrics").await, 200);
    std::fs::remove_file(file.path()).unwrap();
    assert_eq!(status(Some("n3w"), "/metrics").await, 500);
}

#[tokio::test]
async fn the_admin_pages_speak_tls_where_it_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::generate(&dir);
    let yaml = tls_settings(&certs, "").replace("tls:", "adminTls:");
    let scaler = Scaler::run(settings(&yaml)).await;
    let ca = reqwest::Certificate::from_pem(certs.ca.text.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .build()
        .unwrap();
    let port = scaler.admin.rsplit(':').next().unwrap();
    let response = client.get(format!("https://localhost:{port}/metrics"));
    let page = response.send().await.unwrap().text().await.unwrap();
    let expiry = "certificate_expiry_timestamp_seconds{listener=\"admin\"}";
    assert!(page.contains(expiry), "{page}");
    let plain = client.get(format!("http://localhost:{port}/metrics"));
    assert!(plain.send().await.is_err());
}
