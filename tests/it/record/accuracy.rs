//! Known loads, with workers that take them meanwhile, beside what is recorded. The tests print both:
//! these are the figures of `docs/how-to/record.md`.

use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{Recorded, Recorder, assert_near, load_length};
use crate::{
    kafka::{lag, needs_kafka},
    redis::{list, needs_redis, stream},
    temporal::{needs_temporal, queue, shared},
};
use testkit::{kafka, redis::Redis, scaler::with, temporal::start_one};

/// For what was sent last to be in a sample.
const REST: Duration = Duration::from_millis(2_500);

/// Calls this so many times a second, as long as a load lasts, and returns how often.
async fn load(per_second: u32, mut send: impl AsyncFnMut(usize)) -> usize {
    let count = per_second as usize * load_length().as_secs() as usize;
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for n in 0..count {
        ticks.tick().await;
        send(n).await;
    }
    count
}

fn show(what: &str, sent: usize, recorded: &Recorded) {
    let items = recorded.items();
    let methods = recorded.methods().into_iter().collect::<Vec<_>>();
    println!(
        "{what}: {sent} sent, {items:.1} recorded ({})",
        methods.join(", ")
    );
}

/// Takes one entry of a list at each tick, as a worker of that service time does.
fn worker(redis: &'static Redis, list: &'static str, service_time: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(service_time);
        loop {
            ticks.tick().await;
            redis.command(&["LPOP", list]).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_a_lower_bound_and_an_estimate_while_work_waits() {
    needs_redis!();
    // Lives as long as the process, as workers refer to it.
    let redis: &'static Redis = Box::leak(Box::new(Redis::start().await));
    for list in ["late", "quick"] {
        redis.rpush(list, 8).await;
    }
    let trigger = |name| with(list(redis, name), "freshFor", "0");
    let workers = ["--service-time", "200ms", "--replicas", "1"];
    let (late, quick) = (trigger("late"), trigger("quick"));
    let taken = [
        worker(redis, "late", Duration::from_millis(200)),
        worker(redis, "quick", Duration::from_millis(50)),
    ];
    let known = Recorder::of(&late, &workers).await;
    let unknown = Recorder::of(&late, &[]).await;
    let idle = Recorder::of(&quick, &[]).await;
    let sent = load(10, async |_| {
        for list in ["late", "quick"] {
            redis.rpush(list, 1).await;
        }
    });
    let sent = sent.await;
    let (known, unknown, idle) = (known.end().await, unknown.end().await, idle.end().await);
    taken.iter().for_each(JoinHandle::abort);

    show("list, the capacity of busy workers known", sent, &known);
    show("list, busy workers unknown", sent, &unknown);
    show("list, workers that wait for work", sent, &idle);
    let sent = sent as f64;
    assert_eq!(known.methods(), ["estimated"].into(), "{}", known.text);
    // A sample misses what came after it, and a worker's tick may lie on either side.
    assert_near(known.items(), sent, sent * 0.1 + 10.0, &known);
    assert_eq!(unknown.methods(), ["at-least"].into());
    assert_near(unknown.items(), sent / 2.0, sent * 0.1 + 10.0, &unknown);
    assert!(unknown.log.contains("With --service-time and --replicas"));
    assert_eq!(idle.methods(), ["at-least"].into());
    assert!(idle.items() <= sent / 2.0, "{}", idle.text);
    assert_near(known.simulated().await, known.items(), 1.5, &known);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_counts_what_is_added_to_it() {
    needs_redis!();
    let redis = Redis::start().await;
    let group = ["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"];
    redis.command(&group).await;
    let add = async || redis.command(&["XADD", "s", "*", "k", "v"]).await;
    let read = [
        "XREADGROUP",
        "GROUP",
        "g",
        "c",
        "COUNT",
        "7",
        "NOACK",
        "STREAMS",
        "s",
        ">",
    ];
    add().await;
    redis.command(&read).await;
    let trigger = stream(&redis, "s", [("consumerGroup", "g"), ("lagCount", "4")]);
    let recorder = Recorder::of(&with(trigger, "freshFor", "0"), &[]).await;
    let sent = load(10, async |n| {
        add().await;
        // Now and then, and more than one at a time; what was read is trimmed.
        if n % 5 == 0 {
            redis.command(&read).await;
            redis.command(&["XTRIM", "s", "MAXLEN", "20"]).await;
        }
    });
    let sent = sent.await;
    sleep(REST).await;
    let recorded = recorder.end().await;
    show("stream, lag of a group", sent, &recorded);
    assert_eq!(recorded.methods(), ["counted"].into(), "{}", recorded.text);
    assert_near(recorded.items(), sent as f64, 0.1, &recorded);
    assert_near(recorded.simulated().await, sent as f64, 1.0, &recorded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_counts_what_is_written_to_it() {
    needs_kafka!();
    let kafka = kafka::one().await;
    kafka.create_topic("recorded", 3).await;
    kafka.produce_to_each("recorded", 3);
    kafka.commit("recorded", "recorded", &[(0, 0), (1, 0), (2, 0)]);
    let recorder = Recorder::of(&lag(kafka, "recorded", "recorded"), &[]).await;
    // A producer of its own for each second, which takes a moment.
    let sent = load(1, async |n| {
        kafka.produce("recorded", n as i32 % 3, 10);
        kafka.commit("recorded", "recorded", &[(n as i32 % 3, 1)]);
    });
    let sent = 10 * sent.await;
    sleep(REST).await;
    let recorded = recorder.end().await;
    show("topic", sent, &recorded);
    assert_eq!(recorded.methods(), ["counted"].into(), "{}", recorded.text);
    assert_near(recorded.items(), sent as f64, 0.1, &recorded);
    assert_near(recorded.simulated().await, sent as f64, 1.0, &recorded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_queue_reports_its_rate_as_an_average() {
    needs_temporal!();
    let temporal = shared().await;
    let (stubs, worker) = (temporal.stubs().await, temporal.poller("recorded").await);
    let recorder = Recorder::of(&queue(temporal, "recorded", []), &[]).await;
    let began = Instant::now();
    let work = async |prefix: &str| {
        let sent = load(5, async |n| {
            let id = format!("recorded-{prefix}-{n}");
            start_one(&stubs, "recorded", &id).await.unwrap();
            worker.complete_one(Vec::new()).await;
        });
        let sent = sent.await;
        // Until the average has fallen to 0.
        sleep(Duration::from_secs(35)).await;
        sent as f64
    };
    let new = work("new").await;
    let split = began.elapsed().as_secs_f64();
    let sent = work("known").await;
    let recorded = recorder.end().await;
    assert_eq!(recorded.methods(), ["reported"].into(), "{}", recorded.text);
    let first = recorded.items_until(split);
    let second = recorded.items() - first;
    println!("task queue with its first tasks: {new} sent, {first:.1} recorded");
    println!("task queue: {sent} sent, {second:.1} recorded");
    // The server divides by the time since the first task, while that is less than 30 s.
    assert_near(first, 2.0 * new, 1.5 * new, &recorded);
    assert_near(second, sent, sent / 4.0, &recorded);
    let last = recorded.rows.last().unwrap();
    assert!(last.rate < 0.5, "{}", recorded.text);
}
