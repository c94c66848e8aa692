//! `health`: what a probe of a container gets.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use testkit::{
    certs::Certs,
    process,
    scaler::{Scaler, settings},
};
use tokio::net::TcpListener;

/// Runs `health`: its exit code, and what it prints to stdout and stderr.
async fn health(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
    command.arg("health").args(args).stdin(Stdio::null());
    run(command).await
}

async fn run(mut command: Command) -> (i32, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn serves() -> (i32, String, String) {
    (0, "SERVING\n".to_owned(), String::new())
}

#[tokio::test]
async fn a_server_that_serves_is_healthy_and_one_that_drains_is_not() {
    let mut scaler = Scaler::with("listen: {preStopDelay: 5s}").await;
    let address = scaler.address.clone();
    let args = ["--address", &address];
    assert_eq!(health(&args).await, serves());
    let service = ["--service", "externalscaler.ExternalScaler"];
    assert_eq!(health(&[&args[..], &service].concat()).await, serves());

    scaler.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (code, stdout, _) = health(&args).await;
    assert_eq!((code, stdout.as_str()), (1, "NOT_SERVING\n"));
}

#[tokio::test]
async fn the_address_is_also_the_one_that_the_server_gets() {
    let scaler = Scaler::start().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
    command
        .arg("health")
        .env("BACKLOG_SCALER__LISTEN__GRPC", &scaler.address);
    assert_eq!(run(command).await, serves());
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unknown() {
    let scaler = Scaler::start().await;
    let (code, stdout, _) = health(&["--address", &scaler.address, "--service", "nothing"]).await;
    assert_eq!((code, stdout.as_str()), (1, "SERVICE_UNKNOWN\n"));
}

#[tokio::test]
async fn a_unix_socket_has_a_health_as_well() {
    let dir = process::directory();
    let socket = format!("unix:{}", dir.path().join("scaler.sock").display());
    let mut settings = settings("");
    settings.listen.grpc = serde_json::from_value(socket.clone().into()).unwrap();
    let _scaler = Scaler::run(settings).await;
    assert_eq!(health(&["--address", &socket]).await, serves());
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_with_the_reason() {
    let address = format!("127.0.0.1:{}", process::free_port());
    let (code, stdout, stderr) = health(&["--address", &address]).await;
    assert_eq!((code, stdout.as_str()), (1, ""));
    let start = format!("error: --address: {address} is not healthy: Connection refused");
    assert!(stderr.starts_with(&start), "{stderr}");
}

#[tokio::test]
async fn a_server_that_does_not_respond_ends_at_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let started = Instant::now();
    let (code, _, stderr) = health(&["--address", &address, "--timeout", "300ms"]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("did not respond in 300ms"), "{stderr}");
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn tls_with_client_certificates() {
    let dir = process::directory();
    let certs = Certs::generate(&dir);
    let path = |pem: &testkit::certs::Pem| pem.path.display().to_string();
    let (cert, key, ca) = (
        path(&certs.server.cert),
        path(&certs.server.key),
        path(&certs.ca),
    );
    let scaler = Scaler::with(&format!(
        "listen: {{tls: {{certFile: '{cert}', keyFile: '{key}', clientCaFile: '{ca}', clientNames: [client]}}}}"
    ))
    .await;
    let (client_cert, client_key) = (path(&certs.client.cert), path(&certs.client.key));
    let args = ["--address", &scaler.address, "--ca-cert", &ca];
    let identity = ["--cert", &client_cert, "--key", &client_key];
    assert_eq!(health(&[&args[..], &identity].concat()).await, serves());
    let named = ["--server-name", "localhost"];
    let all = [&args[..], &identity, &named].concat();
    assert_eq!(health(&all).await, serves());

    let other = ["--server-name", "elsewhere"];
    for refused in [
        vec!["--address", &scaler.address],
        args.to_vec(),
        [&args[..], &identity, &other].concat(),
    ] {
        let (code, stdout, stderr) = health(&refused).await;
        assert_eq!((code, stdout.as_str()), (1, ""), "{refused:?}: {stderr}");
        assert!(stderr.contains("is not healthy: "), "{stderr}");
    }
}

#[tokio::test]
async fn bad_arguments_have_a_code_of_their_own() {
    for (args, expected) in [
        (
            &["--address", "http://localhost:9090"][..],
            "must be host:port",
        ),
        (&["--timeout", "2"], "a time with its unit"),
        (&["--ca-cert", "/nowhere/ca.crt"], "--ca-cert: cannot read"),
        (&["--cert", "/nowhere/tls.crt"], "--key <FILE>"),
    ] {
        let (code, _, stderr) = health(args).await;
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
}
