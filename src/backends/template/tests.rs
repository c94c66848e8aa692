//! What every new backend has to show, against a server of a few lines: many queues on one socket, a
//! bad queue alone, wrong keys, a frozen and a restarted server.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures_util::future::join_all;
use tokio::{
    net::{TcpListener, tcp::OwnedWriteHalf},
    task::JoinHandle,
    time::sleep,
};

use super::*;
use crate::{
    metadata::TriggerRef,
    sampling::{Engine, Evaluation, Limits, Registry, tests::keys},
    telemetry::Telemetry,
};

/// Replies to `COUNT q7` with 7, and to other names with an error.
struct Server {
    address: std::net::SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("is bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            // Dropped with the task: a stopped server closes its connections.
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                clients.spawn(serve(stream));
            }
        });
        Server {
            address,
            connections,
            task,
        }
    }

    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(stream: TcpStream) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if reply(&mut writer, &line).await.is_err() {
            return;
        }
    }
}

async fn reply(writer: &mut OwnedWriteHalf, line: &str) -> std::io::Result<()> {
    let name = line.strip_prefix("COUNT ").unwrap_or_default();
    let reply = match name.strip_prefix('q').and_then(|n| n.parse::<u64>().ok()) {
        Some(number) => number.to_string(),
        None if name == "health" => "0".to_owned(),
        None if name == "frozen" => std::future::pending().await,
        None => "ERR no such name".to_owned(),
    };
    writer.write_all(format!("{reply}\n").as_bytes()).await
}

fn engine() -> Arc<Engine> {
    let limits = Limits {
        call_timeout: Duration::from_millis(500),
        first_call_timeout: Some(Duration::from_millis(500)),
        fresh_for: [("template".to_owned(), Duration::ZERO)].into(),
        ..Limits::default()
    };
    let registry = Registry::new(&limits, Telemetry::default()).with(Template);
    Engine::start(registry, &BTreeMap::new(), limits).expect("nothing is wrong")
}

async fn evaluate(engine: &Engine, server: &Server, queue: &str) -> Result<Evaluation> {
    let address = server.address.to_string();
    let metadata = [
        ("backend", "template"),
        ("address", &address),
        ("queue", queue),
    ];
    let request = TriggerRef {
        namespace: "shop".to_owned(),
        name: "worker".to_owned(),
        metadata: metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    };
    engine.trigger(request)?.evaluate().await
}

#[tokio::test]
async fn two_hundred_queues_share_one_connection_and_a_bad_one_fails_alone() {
    let (server, engine) = (Server::start("127.0.0.1:0").await, engine());
    let names: Vec<String> = (0..200).map(|i| format!("q{i}")).collect();
    let good = join_all(names.iter().map(|name| evaluate(&engine, &server, name)));
    let (good, bad) = tokio::join!(good, evaluate(&engine, &server, "none"));

    for (number, evaluation) in good.into_iter().enumerate() {
        let value = evaluation.expect("a number").reading.value;
        assert_eq!(value, number as f64);
    }
    let error = bad.expect_err("is not there");
    assert_eq!(
        error.to_string(),
        format!(
            "template {}, length of queue none: the server replied \"ERR no such name\". \
             Check the queue's name.",
            server.address
        )
    );
    assert_eq!(server.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_frozen_server_is_an_error_in_time_and_a_restarted_one_is_read_again() {
    let (server, engine) = (Server::start("127.0.0.1:0").await, engine());
    let error = evaluate(&engine, &server, "frozen")
        .await
        .expect_err("late");
    assert_eq!(error.kind(), Kind::TimedOut);

    let address = server.address.to_string();
    server.stop().await;
    let server = Server::start(&address).await;
    for _ in 0..50 {
        if evaluate(&engine, &server, "q7").await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the restarted server is not read");
}

#[test]
fn wrong_keys_are_refused_together() {
    let connection =
        keys::connection::<Template>("template", &[("address", "a"), ("tls", "enable")]);
    let problems = connection.err().expect("two problems").to_string();
    assert!(
        problems.contains("such as template.shop:7000"),
        "{problems}"
    );
    assert!(problems.contains("tls: is not supported"), "{problems}");
    let plan = keys::plan::<Template>("template", &[("queue", "jobs")]).expect("is enough");
    assert_eq!(plan.target, Target(5));
    assert_eq!(plan.query.to_string(), "length of queue jobs");
}
