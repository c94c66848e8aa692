//! What a server shows at `/metrics`.

use std::sync::LazyLock;

use backlog_scaler::{
    error::Kind,
    telemetry::{Budget, Exposition, Method, Telemetry},
};
use regex::Regex;
use testkit::{
    process,
    redis::Redis,
    scaler::{Scaler, trigger, with},
};
use tonic::Code;

use super::labels::{Labels, Metric, Metrics};

/// The metrics of a running server with triggers of each state, and those that it has only beside
/// Temporal, Kubernetes or a certificate.
pub async fn metrics() -> Metrics {
    let mut metrics = Metrics::new();
    add(&mut metrics, &running().await);
    add(&mut metrics, &elsewhere());
    metrics
}

/// The same as text, with triggers of objects of these namespaces and names: one that is read, a refused one
/// and one whose server is not there.
pub async fn page(objects: &[(&str, &str)]) -> String {
    let redis = Redis::start().await;
    let scaler = Scaler::start().await;
    let nobody = format!("127.0.0.1:{}", process::free_port());
    for (namespace, name) in objects {
        let mut work = trigger([
            ("backend", "redis"),
            ("address", &redis.address()),
            ("listName", "jobs"),
        ]);
        (work.namespace, work.name) = ((*namespace).to_owned(), (*name).to_owned());
        scaler.evaluate(&work).await.unwrap();
        let shaped = with(work.clone(), "activityHold", "1m");
        scaler.evaluate(&shaped).await.unwrap();
        let refused = with(work.clone(), "listLenght", "5");
        scaler.evaluate(&refused).await.unwrap_err();
        let unreachable = with(work, "address", &nobody);
        scaler.evaluate(&unreachable).await.unwrap_err();
    }
    let (status, page) = scaler.page("/metrics").await;
    assert_eq!(status, 200);
    page + &elsewhere()
}

/// A queue that is read, one whose value is shaped, a refused trigger, and a server that is not there.
async fn running() -> String {
    let redis = Redis::start().await;
    redis.rpush("jobs", 4).await;
    let scaler = Scaler::start().await;
    let address = redis.address();
    let work = trigger([
        ("backend", "redis"),
        ("address", &address),
        ("listName", "jobs"),
    ]);
    scaler.evaluate(&work).await.unwrap();
    let shaped = with(work.clone(), "activityHold", "1m");
    scaler.evaluate(&shaped).await.unwrap();
    let refused = with(work.clone(), "listLenght", "5");
    scaler.evaluate(&refused).await.unwrap_err();
    let nobody = format!("127.0.0.1:{}", process::free_port());
    let unreachable = with(work, "address", &nobody);
    scaler.evaluate(&unreachable).await.unwrap_err();
    let (status, page) = scaler.page("/metrics").await;
    assert_eq!(status, 200);
    page
}

/// The program's own code, without the systems that make it count.
fn elsewhere() -> String {
    let telemetry = Telemetry::default();
    let connection = telemetry.connection("temporal orders.temporal.svc:7233");
    connection.set_budget(Some(Budget::default()));
    telemetry.certificate("grpc").reloaded(None);
    let _secrets = telemetry.secrets();
    for code in (0..=16).map(Code::from_i32) {
        for method in [
            Method::GetMetricSpec,
            Method::GetMetrics,
            Method::IsActive,
            Method::StreamIsActive,
            Method::StreamMetricSpec,
        ] {
            telemetry.call(method).end(code);
        }
    }
    let kubernetes = telemetry.kubernetes();
    kubernetes.count_request("list", "secrets", None);
    kubernetes.count_resolution(Ok("none"));
    kubernetes.count_event("written");
    kubernetes.add_objects("secrets", 1);
    let [starting, synced, failing] = [(); 3].map(|()| kubernetes.watch("secrets"));
    synced.event();
    for kind in Kind::ALL {
        failing.error(kind);
        connection.metrics().count_error(kind);
    }
    let page = telemetry.encode(Exposition::Text).unwrap();
    drop((starting, synced, failing));
    page
}

/// Reads a page in the text format.
fn add(metrics: &mut Metrics, page: &str) {
    static LABEL: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)""#).unwrap());
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let metric: &mut Metric = metrics.entry(name.to_owned()).or_default();
        let labels = line.split_once('{').map_or("", |(_, labels)| labels);
        for label in LABEL.captures_iter(labels) {
            let values: &mut Labels = metric.labels.entry(label[1].to_owned()).or_default();
            values.insert(label[2].to_owned());
        }
    }
}
