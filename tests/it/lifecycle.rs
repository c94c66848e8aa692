//! The program: listening, health, reflection, draining, exit codes.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use backlog_scaler::keda::proto::external_scaler_client::ExternalScalerClient;
use futures_util::StreamExt;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::service_fn;

use testkit::{
    process,
    scaler::{Scaler, trigger},
};

async fn health(channel: Channel, service: &str) -> Result<ServingStatus, tonic::Status> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let response = HealthClient::new(channel).check(request).await?;
    Ok(response.into_inner().status())
}

#[tokio::test]
async fn a_server_is_live_ready_and_healthy_whatever_its_backends_do() {
    let scaler = Scaler::start().await;
    let dead = trigger([
        ("backend", "redis"),
        ("address", "127.0.0.1:1"),
        ("listName", "jobs"),
    ]);
    scaler.evaluate(&dead).await.unwrap_err();

    assert_eq!(scaler.page("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(scaler.page("/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(scaler.page("/nothing").await.0, 404);
    let channel = Channel::from_shared(format!("http://{}", scaler.address)).unwrap();
    let channel = channel.connect().await.unwrap();
    for service in ["", "externalscaler.ExternalScaler"] {
        let status = health(channel.clone(), service).await.unwrap();
        assert_eq!(status, ServingStatus::Serving, "{service:?}");
    }
}

#[tokio::test]
async fn older_clients_find_the_service_by_the_first_version_of_reflection() {
    use tonic_reflection::pb::v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let scaler = Scaler::start().await;
    let channel = Channel::from_shared(format!("http://{}", scaler.address)).unwrap();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel.connect().await.unwrap());
    let responses = client
        .server_reflection_info(futures_util::stream::iter([request]))
        .await;
    let response = responses
        .unwrap()
        .into_inner()
        .next()
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = response.message_response else {
        panic!("a list, not {response:?}");
    };
    let named = list
        .service
        .iter()
        .any(|s| s.name == "externalscaler.ExternalScaler");
    assert!(named, "{list:?}");
}

#[tokio::test]
async fn metrics_follow_the_triggers_that_are_asked() {
    let settings = testkit::scaler::settings("engine: {idleAfter: 400ms}");
    let scaler = Scaler::run(settings).await;
    let dead = trigger([
        ("backend", "redis"),
        ("address", "127.0.0.1:1"),
        ("listName", "jobs"),
    ]);
    scaler.evaluate(&dead).await.unwrap_err();

    let (_, metrics) = scaler.page("/metrics").await;
    let target = "backlog_scaler_trigger_target{scaled_object_namespace=\"shop\",scaled_object=\"worker\",metric=\"redis-jobs-";
    let errors =
        "backlog_scaler_read_errors_total{connection=\"redis 127.0.0.1:1/0\",kind=\"unreachable\"}";
    let rpc = "backlog_scaler_rpc_seconds_count{method=\"GetMetrics\",code=\"UNAVAILABLE\"} 1";
    for expected in [target, errors, rpc] {
        assert!(metrics.contains(expected), "{expected}\n{metrics}");
    }
    assert!(
        !metrics.contains("# EOF"),
        "the text format, unless OpenMetrics is accepted"
    );

    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (_, metrics) = scaler.page("/metrics").await;
    assert!(
        !metrics.contains("127.0.0.1:1") && !metrics.contains(target),
        "{metrics}"
    );
}

#[tokio::test]
async fn on_shutdown_streams_end_cleanly_and_calls_in_flight_are_answered() {
    let mut scaler = Scaler::start().await;
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = hanging.local_addr().unwrap().to_string();
    let slow = trigger([
        ("backend", "redis"),
        ("address", &address),
        ("listName", "jobs"),
    ]);
    let mut client = scaler.client().await;
    let mut specs = client
        .stream_metric_spec(slow.clone())
        .await
        .unwrap()
        .into_inner();
    let mut states = client
        .stream_is_active(slow.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(
        specs.next().await.unwrap().is_ok(),
        "the specs come at once"
    );
    let in_flight = tokio::spawn(async move { client.is_active(slow).await });
    tokio::time::sleep(Duration::from_millis(200)).await;

    scaler.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(scaler.page("/readyz").await, (503, "draining\n".to_owned()));
    assert!(specs.next().await.is_none(), "ends without an error");
    assert!(states.next().await.is_none(), "ends without an error");

    let response = in_flight.await.unwrap().unwrap_err();
    assert_eq!(
        response.code(),
        tonic::Code::DeadlineExceeded,
        "its own error: {response}"
    );
    scaler.stopped().await.unwrap();
}

#[tokio::test]
async fn a_grace_period_that_is_over_cuts_what_is_left() {
    let settings = testkit::scaler::settings("listen: {shutdownGrace: 300ms}");
    let mut scaler = Scaler::run(settings).await;
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = hanging.local_addr().unwrap().to_string();
    let slow = trigger([
        ("backend", "redis"),
        ("address", &address),
        ("listName", "jobs"),
    ]);
    let mut client = scaler.client().await;
    let in_flight = tokio::spawn(async move { client.is_active(slow).await });
    tokio::time::sleep(Duration::from_millis(200)).await;

    scaler.stop();
    let started = tokio::time::Instant::now();
    scaler.stopped().await.unwrap();

    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert!(in_flight.await.unwrap().is_err());
}

#[tokio::test]
async fn a_unix_socket_serves_and_goes_with_the_server() {
    let dir = process::directory();
    let socket = dir.path().join("scaler.sock");
    // A file that a crashed server left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mut settings = testkit::scaler::settings("");
    settings.listen.grpc = backlog_scaler::settings::Address::Unix(socket.clone());
    let mut scaler = Scaler::run(settings).await;

    let path = socket.clone();
    let connect = service_fn(move |_: Uri| {
        let path = path.clone();
        async move {
            UnixStream::connect(path)
                .await
                .map(hyper_util::rt::TokioIo::new)
        }
    });
    let channel = Endpoint::from_static("http://unix")
        .connect_with_connector(connect)
        .await;
    let mut client = ExternalScalerClient::new(channel.unwrap());
    let work = trigger([
        ("backend", "redis"),
        ("address", "127.0.0.1:1"),
        ("listName", "jobs"),
    ]);
    assert!(client.get_metric_spec(work).await.is_ok());
    drop(client);

    scaler.stop();
    scaler.stopped().await.unwrap();
    assert!(!socket.exists());
}

/// Our own binary.
fn program(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
    command
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null());
    command
}

/// Serves on free ports and returns when it does.
fn serving(env: &[(&str, &str)]) -> (Child, BufReader<std::process::ChildStderr>) {
    let ports = [
        ("BACKLOG_SCALER__LISTEN__GRPC", "127.0.0.1:0"),
        ("BACKLOG_SCALER__LISTEN__ADMIN", "off"),
    ];
    let mut child = program(&["serve"], &ports)
        .envs(env.iter().copied())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains("serving"), "{line}");
    (child, log)
}

#[test]
fn the_first_line_says_what_is_served_where() {
    let settings = tempfile::NamedTempFile::new().unwrap();
    let yaml = "connections: {orders: {backend: redis, address: '127.0.0.1:1', password: hunter2, \
                namespaces: [shop]}}";
    std::fs::write(settings.path(), yaml).unwrap();
    let config = settings.path().to_str().unwrap();
    let ports = [
        ("BACKLOG_SCALER__LISTEN__GRPC", "127.0.0.1:0"),
        ("BACKLOG_SCALER__LISTEN__ADMIN", "127.0.0.1:0"),
    ];
    let mut child = program(&["serve", "--config", config], &ports)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    log.read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    for part in [
        "serving grpc=127.0.0.1:",
        "admin=127.0.0.1:",
        "tls=false",
        "connections=orders",
        "authentications=false",
        &version,
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("hunter2"), "{line}");
}

#[test]
fn signals_end_the_program_cleanly_and_the_log_says_which() {
    for (signal, name) in [("-TERM", "SIGTERM"), ("-INT", "SIGINT")] {
        let (mut child, log) = serving(&[("BACKLOG_SCALER__LOG__FORMAT", "json")]);
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        let lines: Vec<String> = log.lines().map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(
            lines[0].contains(&format!("\"message\":\"{name}: draining\"")),
            "{lines:?}"
        );
        assert!(lines[1].contains("drained"), "{lines:?}");
    }
}

fn fails(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let Output {
        status,
        stderr,
        stdout,
    } = program(args, env).output().unwrap();
    assert!(stdout.is_empty(), "only results go to stdout");
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn bad_settings_end_the_program_with_code_2_and_the_keys_path() {
    let dir = process::directory();
    let config = |yaml: &str| {
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, yaml).unwrap();
        // The file is found bad before anything is bound, or these ports are free.
        let ports = [
            ("BACKLOG_SCALER__LISTEN__GRPC", "127.0.0.1:0"),
            ("BACKLOG_SCALER__LISTEN__ADMIN", "off"),
        ];
        let ports = if yaml.contains("grpc:") {
            &ports[1..]
        } else {
            &ports[..]
        };
        fails(&["serve", "--config", path.to_str().unwrap()], ports)
    };
    let cases = [
        ("listen: {grpc: 9090}", "error: listen.grpc: "),
        (
            "listne: {}",
            "error: listne: unknown setting `listne`; did you mean `listen`?",
        ),
        (
            "engine: {callTimeout: 0}",
            "error: engine.callTimeout: must be at least 1ms",
        ),
        (
            "engine: {freshFor: {rdis: 1s}}",
            "error: engine.freshFor.rdis: is not a backend",
        ),
        (
            "engine: {pushInterval: {rdis: 1s}}",
            "error: engine.pushInterval.rdis: is not a backend",
        ),
        (
            "engine: {pushInterval: {redis: 5ms}}",
            "error: engine.pushInterval.redis: `5ms` must be at least 10ms",
        ),
        (
            "log: {level: 'backlog=loud'}",
            "error: log.level: `backlog=loud` is not a level",
        ),
        (
            "kubernetes: {namespaces: [Shop]}",
            "error: kubernetes.namespaces: `Shop` is not a valid name of a namespace",
        ),
        (
            "kubernetes: {enabled: true, kubeconfig: /nowhere}",
            "error: kubernetes.kubeconfig: /nowhere: ",
        ),
        (
            "kubernetes: {enabled: true}",
            "error: kubernetes: this is not a pod with a ServiceAccount",
        ),
        (
            "connections: {orders: {address: 'a:1'}}",
            "error: connections.orders.backend: is required",
        ),
        (
            "connections: {orders: {backend: redis, adress: 'a:1'}}",
            "error: connections.orders.adress: unknown key; did you mean `address`?",
        ),
        (
            "connections: {orders: {backend: redis, address: 'a:1', listName: x}}",
            "error: connections.orders.listName: unknown key",
        ),
        (
            "connections: {orders: {backend: redis, address: 'a:1', passwordFromFile: /nowhere/secret}}",
            "error: connections.orders.passwordFromFile: cannot read `/nowhere/secret`: No such file",
        ),
        (
            "connections: {orders: {backend: redis, address: 'a:1', passwordFromEnv: NOT_SET_HERE}}",
            "error: connections.orders.passwordFromEnv: cannot read variable `NOT_SET_HERE`",
        ),
        (
            "connections: {orders: {backend: redis, address: 'a:1', namespaces: '[a'}}",
            "error: connections.orders.namespaces: `[a` is neither a name nor a glob",
        ),
        (
            "listen: {tls: {certFile: /nowhere/a, keyFile: /nowhere/b}}",
            "error: listen.tls.certFile: cannot read /nowhere/a",
        ),
    ];
    for (yaml, expected) in cases {
        let (code, stderr) = config(yaml);
        assert_eq!(code, Some(2), "{yaml}\n{stderr}");
        assert!(stderr.contains(expected), "{yaml}\n{stderr}");
    }
    let (code, stderr) = fails(&["serve", "--config", "/nowhere/config.yaml"], &[]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.starts_with("error: --config: cannot read /nowhere/config.yaml"),
        "{stderr}"
    );
    let (code, stderr) = fails(&["serve"], &[("BACKLOG_SCALER__ENGIN__CALL_TIMEOUT", "1s")]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("engin"), "{stderr}");
}

#[test]
fn a_port_that_is_taken_is_a_failure_that_names_key_and_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stderr) = fails(&["serve"], &[("BACKLOG_SCALER__LISTEN__GRPC", &address)]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains(&format!(
            "listen.grpc: cannot listen on {address}: Address already in use"
        )),
        "{stderr}"
    );
}
