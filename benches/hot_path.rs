//! The hot path: a GetMetrics on a fresh sample, through the service, without transport.
//!
//! Between a ScaledObject's metadata map and the response lie the lookup of its trigger, the sample,
//! the rule and the figures of the call. A real Redis gives the samples, once. Then the pages that show
//! all these triggers.

use std::{sync::Arc, time::Duration};

use backlog_scaler::{
    keda::{
        Service, Streams,
        proto::{GetMetricsRequest, ScaledObjectRef, external_scaler_server::ExternalScaler},
    },
    sampling::Engine,
    server,
    settings::Settings,
    status::{self, pages},
    telemetry::Telemetry,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use testkit::{redis::Redis, scaler};
use tokio::runtime::Runtime;
use tonic::Request;

criterion_group!(benches, hot_path);
criterion_main!(benches);

fn hot_path(criterion: &mut Criterion) {
    if !testkit::require(testkit::redis::available(), "redis-server") {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let redis = runtime.block_on(Redis::start());
    let (service, engine) = runtime.block_on(async { service() });

    let mut group = criterion.benchmark_group("GetMetrics from a fresh sample");
    group.throughput(Throughput::Elements(1));
    for triggers in [1, 1_000, 10_000] {
        let requests: Vec<_> = (0..triggers).map(|i| request(&redis, i)).collect();
        runtime.block_on(read_once(&service, &requests));
        let mut next = requests.iter().cycle();
        group.bench_function(format!("{triggers} triggers in turn"), |bencher| {
            bencher.to_async(&runtime).iter_batched(
                || Request::new(next.next().expect("a cycle has no end").clone()),
                |request| service.get_metrics(request),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("Status page over 10,000 triggers");
    for (name, query) in [
        ("overview", ""),
        ("search, sorted by value", "q=worker+jobs-99&sort=value"),
        ("a thousand rows", "perPage=1000"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| pages::overview(&engine, query).expect("a page"));
        });
    }
    group.bench_function("a thousand triggers as JSON", |bencher| {
        bencher.iter(|| status::triggers(&engine, "perPage=1000").expect("a page"));
    });
    group.finish();
}

/// The service over an engine of its own, with the settings' defaults.
fn service() -> (Service, Arc<Engine>) {
    let telemetry = Telemetry::default();
    let engine = server::engine(&Settings::default(), &telemetry).expect("the defaults are valid");
    let streams = Streams {
        shutdown: Default::default(),
        max_age: Duration::from_secs(60),
    };
    (Service::new(engine.clone(), telemetry, streams), engine)
}

/// What KEDA sends: its own key for our address is part of the metadata.
fn request(redis: &Redis, i: usize) -> GetMetricsRequest {
    let trigger = ScaledObjectRef {
        name: format!("worker-{i}"),
        ..scaler::trigger([
            ("scalerAddress", "backlog-scaler.keda:9090"),
            ("backend", "redis"),
            ("address", &redis.address()),
            ("listName", &format!("jobs-{i}")),
            ("listLength", "10"),
            ("freshFor", "1h"),
        ])
    };
    GetMetricsRequest {
        scaled_object_ref: Some(trigger),
        metric_name: String::new(),
    }
}

/// From here on every sample is fresh.
async fn read_once(service: &Service, requests: &[GetMetricsRequest]) {
    for request in requests {
        let response = service.get_metrics(Request::new(request.clone())).await;
        response.expect("the queue is read");
    }
}
