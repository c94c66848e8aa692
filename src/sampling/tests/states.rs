//! What an observer of states gets.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::scripted::{Script, trigger};
use crate::{
    error::{Error, Result},
    metadata::TriggerRef,
    sampling::{Engine, Evaluation, Limits, StateObserver, TriggerState},
};

/// All that was observed.
#[derive(Clone, Default)]
struct Observer(Arc<Mutex<Vec<String>>>);

impl StateObserver for Observer {
    fn observe(&self, trigger: &TriggerRef, state: TriggerState<'_>) -> bool {
        let text = |error: &Error| error.kind().label();
        let state = match state {
            TriggerState::Well { metric_name } => {
                assert!(metric_name.starts_with("jobs-"), "{metric_name}");
                "well".to_owned()
            }
            TriggerState::Stale(error) => format!("stale, {}", text(error)),
            TriggerState::Unread(error) => format!("unread, {}", text(error)),
            TriggerState::Refused(error) => format!("refused, {}", text(error)),
        };
        assert_eq!(trigger.namespace, "shop");
        self.0.lock().push(state);
        true
    }
}

impl Observer {
    /// What was observed since the last look.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

fn start(script: &Script, observer: &Observer) -> Arc<Engine> {
    let engine = script.engine(Limits::default());
    engine.use_observer(Arc::new(observer.clone()));
    engine
}

fn request() -> TriggerRef {
    let mut request = trigger("a", "jobs");
    let keys = [("freshFor", "0"), ("maxStaleness", "10s")];
    let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned()));
    request.metadata.extend(keys);
    request
}

/// As the service does.
async fn call(engine: &Engine) -> Result<Evaluation> {
    let request = request();
    let trigger = engine.authenticated(&request).await?;
    engine.evaluate(&request, &trigger).await
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_stays_well_is_observed_once() {
    let (script, observer) = (Script::default(), Observer::default());
    let engine = start(&script, &observer);
    for _ in 0..100 {
        call(&engine).await.unwrap();
    }
    assert_eq!(observer.seen(), ["well"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_observed_from_the_first_stale_value_to_the_first_fresh_one() {
    let (script, observer) = (Script::default(), Observer::default());
    let engine = start(&script, &observer);
    call(&engine).await.unwrap();
    script.server("a", |server| (server.breaks, server.refuses) = (true, true));
    call(&engine).await.expect("the last good value");
    assert_eq!(observer.seen(), ["well", "stale, unreachable"]);
    sleep(Duration::from_secs(11)).await;
    call(&engine).await.expect_err("is too old");
    assert_eq!(observer.seen(), ["unread, unreachable"]);
    script.server("a", |server| {
        (server.breaks, server.refuses) = (false, false)
    });
    sleep(Duration::from_secs(60)).await;
    call(&engine).await.unwrap();
    call(&engine).await.unwrap();
    assert_eq!(observer.seen(), ["well"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_observed_with_the_spec_and_with_the_value() {
    let (script, observer) = (Script::default(), Observer::default());
    let engine = start(&script, &observer);
    let mut request = request();
    request.metadata.insert("quueue".to_owned(), "x".to_owned());
    assert!(engine.spec(&request).is_err());
    assert!(engine.authenticated(&request).await.is_err());
    assert_eq!(observer.seen(), ["refused, invalid", "refused, invalid"]);
}
