//! A named connection whose keys change while it serves.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use super::scripted::{Script, trigger};
use crate::{
    metadata::TriggerRef,
    sampling::{Engine, Evaluation, Limits, NamedConnection},
    telemetry::Telemetry,
};

fn named(server: &str) -> NamedConnection {
    NamedConnection {
        trigger_type: "scripted".to_owned(),
        keys: [("server".to_owned(), server.to_owned())].into(),
        ..NamedConnection::default()
    }
}

fn of_orders() -> TriggerRef {
    let mut trigger = trigger("", "jobs");
    trigger.metadata.remove("server");
    let connection = ("connection".to_owned(), "orders".to_owned());
    trigger.metadata.extend([connection]);
    trigger
}

fn start(script: &Script) -> std::sync::Arc<Engine> {
    let connections = BTreeMap::from([("orders".to_owned(), named("old"))]);
    let limits = Limits {
        idle_after: Duration::from_secs(3600),
        ..Limits::default()
    };
    script.engine_of(limits, &connections, &Telemetry::default())
}

/// An evaluation on a new sample.
async fn evaluate(engine: &Engine) -> crate::error::Result<Evaluation> {
    sleep(Duration::from_secs(2)).await;
    engine.trigger(of_orders())?.evaluate().await
}

#[tokio::test(start_paused = true)]
async fn the_old_connection_serves_until_the_new_one_is_proven() {
    let script = Script::default();
    script.server("old", |s| s.count = 1);
    script.server("new", |s| (s.count, s.refuses) = (2, true));
    let engine = start(&script);
    // Held by a stream, say: it is the same trigger afterwards.
    let held = engine.trigger(of_orders()).unwrap();
    assert_eq!(evaluate(&engine).await.unwrap().reading.value, 1.0);

    engine.replace_connection("orders", &named("new")).unwrap();
    let evaluation = evaluate(&engine).await.unwrap();
    assert_eq!((evaluation.reading.value, evaluation.stale), (1.0, None));

    script.server("new", |s| s.refuses = false);
    sleep(Duration::from_secs(130)).await;
    let evaluation = evaluate(&engine).await.unwrap();
    assert_eq!((evaluation.reading.value, evaluation.stale), (2.0, None));
    assert_eq!(held.last().unwrap().reading.value, 2.0);
    assert_eq!(script.open(), 1, "the old connection is closed");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_comes_back_with_whichever_keys_are_good() {
    let script = Script::default();
    script.server("old", |s| s.count = 1);
    script.server("new", |s| (s.count, s.refuses) = (2, true));
    let engine = start(&script);
    evaluate(&engine).await.unwrap();
    engine.replace_connection("orders", &named("new")).unwrap();

    script.server("old", |s| s.breaks = true);
    let _ = evaluate(&engine).await;
    script.server("old", |s| s.breaks = false);
    sleep(Duration::from_secs(20)).await;
    let evaluation = evaluate(&engine).await.unwrap();
    assert_eq!((evaluation.reading.value, evaluation.stale), (1.0, None));

    script.server("old", |s| (s.breaks, s.refuses) = (true, true));
    script.server("new", |s| s.refuses = false);
    let _ = evaluate(&engine).await;
    sleep(Duration::from_secs(20)).await;
    let evaluation = evaluate(&engine).await.unwrap();
    assert_eq!((evaluation.reading.value, evaluation.stale), (2.0, None));
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_refused_are_replaced_at_once() {
    let script = Script::default();
    script.server("old", |s| s.refuses = true);
    let engine = start(&script);
    assert!(evaluate(&engine).await.is_err());
    // By now it waits for seconds between its attempts.
    sleep(Duration::from_secs(60)).await;
    engine.replace_connection("orders", &named("new")).unwrap();
    sleep(Duration::from_millis(10)).await;
    let trigger = engine.trigger(of_orders()).unwrap();
    assert!(trigger.evaluate().await.unwrap().stale.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_flight_ends_on_the_connection_that_it_was_sent_on() {
    let script = Script::default();
    script.server("old", |s| (s.count, s.takes) = (1, Duration::from_secs(2)));
    script.server("new", |s| s.count = 2);
    let engine = start(&script);
    evaluate(&engine).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    let trigger = engine.trigger(of_orders()).unwrap();
    let (evaluation, ()) = tokio::join!(trigger.evaluate(), async {
        sleep(Duration::from_secs(1)).await;
        engine.replace_connection("orders", &named("new")).unwrap();
    });
    let evaluation = evaluation.unwrap();
    assert_eq!((evaluation.reading.value, evaluation.stale), (1.0, None));
    assert_eq!(evaluate(&engine).await.unwrap().reading.value, 2.0);
}

#[tokio::test(start_paused = true)]
async fn keys_that_make_no_connection_change_nothing() {
    let script = Script::default();
    let engine = start(&script);
    let mut bad = named("new");
    bad.keys.clear();
    let error = engine.replace_connection("orders", &bad).unwrap_err();
    assert_eq!(error.to_string(), "connections.orders.server: is required");
    evaluate(&engine).await.unwrap();
    assert_eq!(script.connects(), 1);
}
