//! What is logged of a new connection, and when connecting ends.

use std::{
    io::{self, Write},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tracing::subscriber::DefaultGuard;

use super::*;
use crate::{
    backends::temporal::{
        query::DeploymentVersion,
        testing::{FakeFrontend, connection},
    },
    error::Kind,
};

/// The log of this thread, as long as the guard is kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Self, DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines_with(&self, text: &str) -> usize {
        let log = String::from_utf8(self.0.lock().clone()).unwrap();
        log.lines().filter(|line| line.contains(text)).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

/// Reads three versions, and returns how often the log warns of their counts.
async fn warnings_of(server_version: &'static str) -> usize {
    let frontend = FakeFrontend::start(server_version).await;
    let (log, _guard) = Log::capture();
    let client = Client::connect(&frontend.connection, &Network::unrestricted(), soon())
        .await
        .unwrap();
    for build_id in ["v1", "v2", "v3"] {
        let version = DeploymentVersion {
            deployment: "orders".to_owned(),
            build_id: build_id.to_owned(),
        };
        let context = RequestContext {
            priority: Priority::Waited(Instant::now()),
            namespace: "shop",
            deadline: soon(),
        };
        let state = client.requests.version(&version, context).await.unwrap();
        assert_eq!(state.sample.queues.len(), 1, "the count is kept");
    }
    log.lines_with("counts of worker-deployment versions are wrong")
}

#[tokio::test]
async fn an_old_server_is_warned_of_once_for_a_connection_and_not_for_each_count() {
    assert_eq!(warnings_of("1.31.0").await, 1);
    assert_eq!(warnings_of("1.32.1").await, 0);
}

#[tokio::test]
async fn an_api_key_without_tls_is_warned_of_and_not_shown() {
    let frontend = FakeFrontend::start("1.32.1").await;
    let mut connection = frontend.connection.clone();
    connection.api_key = Some("hunter2".into());
    connection.namespace = "o'r\"ders".to_owned();
    let (log, _guard) = Log::capture();
    assert!(
        Client::connect(&connection, &Network::unrestricted(), soon())
            .await
            .is_ok()
    );
    assert_eq!(log.lines_with("the API key is sent unencrypted"), 1);
    assert_eq!(log.lines_with("hunter2"), 0);
}

#[tokio::test]
async fn connecting_ends_by_the_earlier_of_its_two_limits_and_names_the_step() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = connection(&listener.local_addr().unwrap().to_string());
    let short = Duration::from_millis(200);
    let impatient = Connection {
        connect_timeout: short,
        ..silent.clone()
    };
    for (connection, deadline) in [
        (&impatient, soon()),
        (&silent, Instant::now() + short + short),
    ] {
        let started = Instant::now();
        let error = Client::connect(connection, &Network::unrestricted(), deadline)
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind(), Kind::TimedOut);
        let text = error.to_string();
        assert!(text.contains("(GetSystemInfo)"), "{text}");
        assert!(text.contains("minConnectTimeout"), "{text}");
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}
