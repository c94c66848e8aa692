//! Triggers whose scale target is known.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep},
};

use super::scripted::{Script, trigger};
use crate::{
    metadata::TriggerRef,
    sampling::{Engine, Evaluation, Limits, ReplicaSource, TargetReplicas},
};

/// Of no number.
const UNKNOWN: u32 = u32::MAX;

/// The one scale target that there is.
#[derive(Clone)]
struct Target(Arc<State>);

struct State {
    replicas: AtomicU32,
    followed: AtomicUsize,
    changed: Notify,
}

impl Target {
    fn new(replicas: u32) -> Self {
        Target(Arc::new(State {
            replicas: AtomicU32::new(replicas),
            followed: AtomicUsize::new(0),
            changed: Notify::new(),
        }))
    }

    fn has(&self, replicas: u32) {
        self.0.replicas.store(replicas, SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl TargetReplicas for Target {
    fn now(&self) -> Option<u32> {
        Some(self.0.replicas.load(SeqCst)).filter(|number| *number != UNKNOWN)
    }

    fn known(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            while self.now().is_none() {
                self.0.changed.notified().await;
            }
        })
    }
}

impl ReplicaSource for Target {
    fn follow(&self, _: &TriggerRef) -> Arc<dyn TargetReplicas> {
        self.0.followed.fetch_add(1, SeqCst);
        Arc::new(self.clone())
    }
}

fn start(script: &Script, target: &Target) -> Arc<Engine> {
    let engine = script.engine(Limits::default());
    engine.use_replicas(Arc::new(target.clone()));
    engine
}

/// With a target of 5 for each replica, down below 1.
fn request() -> TriggerRef {
    let mut request = trigger("a", "jobs");
    let keys = [("scaleDownBelow", "1"), ("freshFor", "0")];
    let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned()));
    request.metadata.extend(keys);
    request
}

async fn call(engine: &Engine) -> Evaluation {
    let trigger = engine.trigger(request()).unwrap();
    trigger.evaluate().await.unwrap()
}

/// The value for a backlog.
async fn value(script: &Script, engine: &Engine, backlog: u64) -> f64 {
    script.server("a", |server| server.count = backlog);
    call(engine).await.reading.value
}

#[tokio::test(start_paused = true)]
async fn the_real_replicas_are_held() {
    let (script, target) = (Script::default(), Target::new(10));
    let engine = start(&script, &target);
    for (given, replicas, backlog, then) in [
        ("held from the first call on", 10, 12, 50.0),
        ("exactly at the threshold", 10, 10, 50.0),
        ("down below it", 10, 9, 9.0),
        ("the HPA has not followed yet", 10, 11, 50.0),
        ("more were set by somebody else", 20, 21, 100.0),
        ("and too many for this backlog", 20, 19, 19.0),
        ("fewer than the value leads to", 4, 100, 100.0),
        ("as there may be no more", 4, 12, 20.0),
        ("going up does not wait", 4, 21, 21.0),
        ("there are none", 0, 3, 3.0),
    ] {
        target.has(replicas);
        assert_eq!(value(&script, &engine, backlog).await, then, "{given}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_they_are_not_known_those_that_the_value_led_to_are_held() {
    let (script, target) = (Script::default(), Target::new(10));
    let engine = start(&script, &target);
    assert_eq!(value(&script, &engine, 12).await, 50.0);
    target.has(UNKNOWN);
    assert_eq!(
        value(&script, &engine, 12).await,
        50.0,
        "the last known ones"
    );
    assert_eq!(value(&script, &engine, 9).await, 9.0);
    assert_eq!(value(&script, &engine, 4).await, 10.0, "2 were led to");
    target.has(3);
    assert_eq!(value(&script, &engine, 4).await, 15.0);
}

#[tokio::test(start_paused = true)]
async fn the_first_calls_wait_a_moment_for_them_and_later_ones_do_not() {
    let (script, target) = (Script::default(), Target::new(UNKNOWN));
    let engine = start(&script, &target);
    script.server("a", |server| server.count = 12);
    let begun = Instant::now();
    let soon = {
        let target = target.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(100)).await;
            target.has(10);
        })
    };
    let (one, other) = tokio::join!(call(&engine), call(&engine));
    assert_eq!((one.reading.value, other.reading.value), (50.0, 50.0));
    assert!(begun.elapsed() < Duration::from_millis(200));
    soon.await.unwrap();

    let (script, target) = (Script::default(), Target::new(UNKNOWN));
    let engine = start(&script, &target);
    let begun = Instant::now();
    assert_eq!(value(&script, &engine, 12).await, 12.0);
    let waited = begun.elapsed();
    assert!(waited < Duration::from_millis(600), "{waited:?}");
    assert_eq!(value(&script, &engine, 12).await, 12.0);
    let again = begun.elapsed() - waited;
    assert!(again < Duration::from_millis(10), "only once: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_without_the_key_follows_nothing() {
    let (script, target) = (Script::default(), Target::new(10));
    let engine = start(&script, &target);
    let plain = engine.trigger(trigger("a", "jobs")).unwrap();
    plain.evaluate().await.unwrap();
    assert_eq!(target.0.followed.load(SeqCst), 0);
    value(&script, &engine, 1).await;
    value(&script, &engine, 2).await;
    assert_eq!(target.0.followed.load(SeqCst), 1);
}
