//! The hot path: a GetMetrics on a fresh sample, through the service, without transport.
//!
//! Between a ScaledObject's metadata map and the response lie the lookup of its trigger, the sample,
//! the rule and the figures of the call. A real Redis gives the samples, once. Then the pages that show
//! all these triggers, and what calls take while such pages are written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

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
use tokio::{runtime::Runtime, time::interval};
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

    let requests: Vec<_> = (0..10_000).map(|i| request(&redis, i)).collect();
    runtime.block_on(beside_pages(&service, &engine, &requests));
}

/// For so long each.
const BESIDE: Duration = Duration::from_secs(10);
/// Calls each millisecond: 2,000 a second, where KEDA and HPAs make 1,667 for 10,000 triggers (one
/// evaluation of three calls each 30 s, and one call each 15 s).
const CALLS: usize = 2;

/// What GetMetrics takes alone, and while one page of a thousand rows after the other is written, as the
/// admin listener does it: on a thread of its own, one at a time.
async fn beside_pages(service: &Service, engine: &Arc<Engine>, requests: &[GetMetricsRequest]) {
    println!("GetMetrics, 2,000 a second of 10,000 triggers, from the planned time of a call");
    show("alone", &mut paced(service, requests).await);
    let (stop, pages) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let writer = tokio::task::spawn_blocking({
        let (engine, stop, pages) = (engine.clone(), stop.clone(), pages.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                let page = pages::overview(&engine, "perPage=1000").expect("a page");
                std::hint::black_box(page);
                pages.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut beside = paced(service, requests).await;
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("the pages are written");
    let pages = pages.load(Ordering::Relaxed);
    show(&format!("beside {pages} pages"), &mut beside);
}

/// From the planned time of each call until its response.
async fn paced(service: &Service, requests: &[GetMetricsRequest]) -> Vec<Duration> {
    let mut next = requests.iter().cycle();
    let mut times = Vec::new();
    let mut ticks = interval(Duration::from_millis(1));
    for _ in 0..BESIDE.as_millis() {
        let planned = ticks.tick().await;
        for _ in 0..CALLS {
            let request = next.next().expect("a cycle has no end").clone();
            let response = service.get_metrics(Request::new(request)).await;
            response.expect("the sample is fresh");
            times.push(planned.elapsed());
        }
    }
    times
}

fn show(name: &str, times: &mut [Duration]) {
    times.sort();
    let of = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(of);
    println!("{name}: p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms");
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
