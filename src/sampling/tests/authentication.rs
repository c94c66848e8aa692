//! Triggers whose credentials, or address, come from an authentication that is looked up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use schemars::JsonSchema;
use tokio::time::sleep;

use super::scripted::{Script, trigger};
use crate::{
    error::{Error, Kind, Result},
    metadata::{
        TriggerRef,
        schema::KeySet,
        values::{HostPort, Secret},
    },
    sampling::{
        Authentication, AuthenticationSource, Engine, Evaluation, Limits, StateObserver,
        TriggerState, authentication::with_keys,
    },
};

/// What the test says of the one authentication that there is.
#[derive(Clone, Default)]
struct Source(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// `None`: the trigger has none.
    server: Option<&'static str>,
    /// Whether the keys are none that the backend has.
    of_others: bool,
    error: Option<Error>,
    /// The host that its keys may be sent to; `None`: every one.
    only: Option<&'static str>,
}

struct Keys {
    keys: BTreeMap<String, Secret>,
    only: Option<&'static str>,
}

impl Authentication for Keys {
    fn keys(&self) -> &BTreeMap<String, Secret> {
        &self.keys
    }

    fn may_send_to(&self, server: &HostPort) -> Result<()> {
        match self.only.is_none_or(|only| server.host == only) {
            true => Ok(()),
            false => Err(Error::new(Kind::NotAllowed, "not there", "")),
        }
    }

    fn may_join(&self, key: &str, _: &str) -> Result<()> {
        match key == "tlsSkipVerify" && self.only.is_some() {
            true => Err(Error::new(Kind::NotAllowed, "not so", "")),
            false => Ok(()),
        }
    }
}

impl AuthenticationSource for Source {
    fn has_authentication(&self, _: &TriggerRef) -> Option<bool> {
        let state = self.0.lock();
        match state.server {
            Some(_) => Some(true),
            None if state.error.is_some() => None,
            None => Some(false),
        }
    }

    fn find<'a>(
        &'a self,
        _: &'a TriggerRef,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Authentication>>>> {
        let State {
            server,
            of_others,
            error,
            only,
        } = &*self.0.lock();
        let found = server.map(|server| {
            let keys = [("server", server), ("unknown", "of another scaler")];
            let keys = keys.map(|(key, value)| (key.to_owned(), Secret::from(value)));
            let keys = keys
                .into_iter()
                .filter(|(key, _)| !of_others || key == "unknown");
            let (only, keys) = (*only, keys.collect());
            Arc::new(Keys { keys, only }) as Arc<dyn Authentication>
        });
        let found = error.clone().map_or(Ok(found), Err);
        async { found }.boxed()
    }
}

impl Source {
    fn gives(&self, server: &'static str) {
        self.0.lock().server = Some(server);
    }
}

fn start(script: &Script, source: &Source) -> Arc<Engine> {
    let engine = script.engine(Limits::default());
    engine.use_authentications(Arc::new(source.clone()));
    engine
}

/// A trigger that says what to measure, and not where.
fn request() -> TriggerRef {
    let mut request = trigger("a", "jobs");
    request.metadata.remove("server");
    request
        .metadata
        .insert("freshFor".to_owned(), "0".to_owned());
    request
}

async fn call(engine: &Engine) -> Result<Evaluation> {
    engine.authenticated(&request()).await?.evaluate().await
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_an_authentication_are_the_triggers_own() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    // Without one the trigger is as incomplete as it looks.
    assert_eq!(call(&engine).await.unwrap_err().kind(), Kind::Invalid);

    source.gives("a");
    let spec = engine.spec(&request()).unwrap();
    assert_eq!(spec.target, 5.0);
    assert_eq!(script.connects(), 0, "a spec needs no connection");
    assert_eq!(call(&engine).await.unwrap().reading.value, 7.0);
    let trigger = engine.authenticated(&request()).await.unwrap();
    assert_eq!(trigger.metric_name, spec.metric_name);
}

#[tokio::test(start_paused = true)]
async fn the_metadata_comes_first() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    source.gives("b");
    script.server("b", |server| server.refuses = true);
    let given = trigger("a", "jobs");
    let evaluation = engine.authenticated(&given).await.unwrap().evaluate().await;
    assert_eq!(evaluation.unwrap().reading.value, 7.0);
}

#[tokio::test(start_paused = true)]
async fn keys_go_only_where_they_may() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    source.gives("a");
    source.0.lock().only = Some("elsewhere");
    assert_eq!(call(&engine).await.unwrap_err().kind(), Kind::NotAllowed);
    assert_eq!(script.connects(), 0);
    source.0.lock().only = Some("a");
    assert_eq!(call(&engine).await.unwrap().reading.value, 7.0);
}

#[tokio::test(start_paused = true)]
async fn an_authentication_that_cannot_be_read_is_an_error_and_the_spec_is_not() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    source.gives("a");
    source.0.lock().error = Some(Error::new(Kind::NotFound, "no such Secret", ""));
    assert!(engine.spec(&request()).is_ok());
    assert_eq!(call(&engine).await.unwrap_err().kind(), Kind::NotFound);
    source.0.lock().error = None;
    assert_eq!(call(&engine).await.unwrap().reading.value, 7.0);
}

#[tokio::test(start_paused = true)]
async fn what_was_used_serves_until_what_replaces_it_is_proven() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    source.gives("a");
    assert_eq!(call(&engine).await.unwrap().reading.value, 7.0);

    // The new one does not work: no call fails.
    script.server("b", |server| {
        server.refuses = true;
        server.count = 9;
    });
    source.gives("b");
    for _ in 0..5 {
        assert_eq!(call(&engine).await.unwrap().reading.value, 7.0);
        sleep(Duration::from_secs(10)).await;
    }
    // Once it works it is used.
    script.server("b", |server| server.refuses = false);
    sleep(Duration::from_secs(60)).await;
    call(&engine).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let used = call(&engine).await.unwrap();
    assert_eq!((used.reading.value, used.stale), (9.0, None));
    assert_eq!(script.open(), 1, "the old one is closed at once");
}

#[tokio::test(start_paused = true)]
async fn what_an_authentication_gave_is_in_no_key_and_gone_with_it() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    source.gives("a");
    call(&engine).await.unwrap();
    call(&engine).await.unwrap();
    assert_eq!(engine.triggers().len(), 1);
    let (_, key) = engine.find_trigger(|_| true).expect("is kept");
    assert_eq!(key, request().metadata, "with a hash, which is not shown");
    assert_eq!(script.open(), 1);
    engine.forget_authenticated(&request());
    sleep(Duration::from_secs(1)).await;
    assert_eq!((script.open(), engine.triggers().len()), (0, 0));
    // Another call finds it anew.
    assert_eq!(call(&engine).await.unwrap().reading.value, 7.0);
}

#[tokio::test(start_paused = true)]
async fn an_authentication_that_never_worked_is_gone_with_the_next_one() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    source.gives("a");
    call(&engine).await.unwrap();
    for name in ["b", "c"] {
        script.server(name, |server| server.refuses = true);
        source.gives(name);
        call(&engine).await.unwrap();
    }
    assert_eq!(
        engine.triggers().len(),
        2,
        "the one in use and the last one"
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_old_one_fails_too_the_error_is_of_the_new_one() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    source.gives("a");
    call(&engine).await.unwrap();
    source.gives("b");
    for name in ["a", "b"] {
        script.server(name, |server| {
            server.refuses = true;
            server.breaks = true;
        });
    }
    // The last good sample of the old one, and then nothing of it.
    call(&engine).await.unwrap();
    let error = call(&engine).await.unwrap_err();
    assert!(error.to_string().starts_with("b"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_no_object_has_is_evaluated_by_its_own_metadata() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    let missing = Error::new(Kind::NotFound, "no such trigger", "");
    source.0.lock().error = Some(missing.clone());
    let complete = engine.authenticated(&trigger("a", "jobs")).await.unwrap();
    assert_eq!(complete.evaluate().await.unwrap().reading.value, 7.0);
    // KEDA requests the spec of a new object before a watch may have delivered it.
    let spec = engine.spec(&request()).unwrap();
    // Where they are not enough, the error says what was looked for.
    assert_eq!(call(&engine).await.unwrap_err(), missing);
    // Not if the trigger is there and its Secret is not: a value read without it may be another.
    source.gives("a");
    assert_eq!(engine.spec(&request()).unwrap(), spec);
    let error = engine.authenticated(&trigger("a", "jobs")).await.err();
    assert_eq!(error, Some(missing));
}

#[tokio::test(start_paused = true)]
async fn while_it_is_not_known_whether_there_is_one_the_metadata_count() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    let away = Error::new(Kind::Unreachable, "the API server is away", "Check it.");
    source.0.lock().error = Some(away.clone());
    let call_own = async || {
        let mut request = trigger("a", "jobs");
        request
            .metadata
            .insert("freshFor".to_owned(), "0".to_owned());
        let trigger = engine.authenticated(&request).await?;
        engine.evaluate(&request, &trigger).await
    };
    assert_eq!(call_own().await.unwrap().reading.value, 7.0);
    assert_eq!(
        call(&engine).await.unwrap_err(),
        away,
        "they are not enough"
    );
    // A refused login may be for the lack of what cannot be read.
    script.server("a", |server| {
        (server.breaks, server.refuses_login) = (true, true);
    });
    sleep(Duration::from_secs(120)).await;
    let error = call_own().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let expected = " (no authenticationRef was followed: the API server is away. Check it.). Check \
                    the password.";
    assert!(error.to_string().ends_with(expected), "{error}");
    // Not once it is known that there is none.
    source.0.lock().error = None;
    let error = call_own().await.unwrap_err();
    assert!(
        error.to_string().ends_with(" old). Check the password."),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_client_a_refused_login_names_the_setting() {
    let script = Script::default();
    let engine = script.engine(Limits::default());
    script.server("a", |server| server.refuses_login = true);
    let request = trigger("a", "jobs");
    let trigger = engine.authenticated(&request).await.unwrap();
    let error = engine.evaluate(&request, &trigger).await.unwrap_err();
    let expected = "Check the password. An authenticationRef is read only with kubernetes.enabled.";
    assert!(error.to_string().ends_with(expected), "{error}");
}

/// Keys with KEDA's three orders.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Ordered {
    api_key: String,
    #[schemars(extend("x-environment-first" = true))]
    username: String,
    address: String,
    #[schemars(extend("x-same-as" = "address"))]
    addresses: String,
}

#[test]
fn each_key_comes_from_where_keda_takes_it() {
    let keys = KeySet::of::<Ordered>();
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        pairs.collect()
    };
    for (written, given, expected) in [
        // The metadata are always first.
        (
            &[("apiKey", "m")] as &[_],
            &[("apiKey", "a")] as &[_],
            &[("apiKey", "m")] as &[_],
        ),
        (
            &[("username", "m")],
            &[("username", "a")],
            &[("username", "m")],
        ),
        (
            &[("username", " ")],
            &[("username", "a")],
            &[("username", "a")],
        ),
        // Then it depends on the key.
        (
            &[("apiKeyFromEnv", "e")],
            &[("apiKey", "a")],
            &[("apiKey", "a")],
        ),
        (
            &[("usernameFromEnv", "e")],
            &[("username", "a")],
            &[("usernameFromEnv", "e")],
        ),
        (
            &[("usernameFromEnv", "")],
            &[("username", "a")],
            &[("username", "a")],
        ),
        // Names of the same key count as one, and the first of them comes first.
        (
            &[("addresses", "m")],
            &[("address", "a")],
            &[("addresses", "m")],
        ),
        (
            &[("addressesFromEnv", "e")],
            &[("address", "a")],
            &[("address", "a")],
        ),
        (
            &[("addressFromEnv", "e")],
            &[("addresses", "a")],
            &[("addresses", "a")],
        ),
        (
            &[],
            &[("address", "a"), ("addresses", "b")],
            &[("address", "a")],
        ),
        // What nobody knows belongs to others.
        (&[("apiKey", "m")], &[("caCert", "a")], &[("apiKey", "m")]),
    ] {
        let request = TriggerRef {
            metadata: map(written),
            ..request()
        };
        let given = map(given).into_iter();
        let given = given.map(|(key, value)| (key, Secret::from(value.as_str())));
        let authentication = Keys {
            keys: given.collect(),
            only: None,
        };
        let mut merged = with_keys(&request, &authentication, &[&keys]).metadata;
        // KEDA's keys without a value count as left out.
        merged.retain(|_, value| !value.trim().is_empty());
        assert_eq!(merged, map(expected), "{written:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_other_scalers_alone_are_sent_nowhere() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    source.gives("a");
    {
        let mut state = source.0.lock();
        (state.of_others, state.only) = (true, Some("elsewhere"));
    }
    let trigger = engine.authenticated(&trigger("a", "jobs")).await.unwrap();
    assert_eq!(trigger.evaluate().await.unwrap().reading.value, 7.0);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_the_trigger_may_not_weaken_how_the_others_are_sent() {
    let (script, source) = (Script::default(), Source::default());
    let engine = start(&script, &source);
    source.gives("a");
    source.0.lock().only = Some("a");
    let mut weaker = request();
    for key in ["tlsSkipVerify", "tlsSkipVerifyFromEnv"] {
        weaker.metadata = request().metadata;
        weaker.metadata.insert(key.to_owned(), "true".to_owned());
        let error = engine.authenticated(&weaker).await.err();
        let error = error.expect("is refused");
        assert_eq!(error.to_string(), "not so", "{key}");
    }
    assert!(engine.authenticated(&request()).await.is_ok());
}

/// Which states were observed: whether each was well.
#[derive(Clone, Default)]
struct Observed(Arc<Mutex<Vec<bool>>>);

impl StateObserver for Observed {
    fn observe(&self, trigger: &TriggerRef, state: TriggerState<'_>) -> bool {
        assert!(*trigger == request(), "without credentials");
        let is_well = matches!(state, TriggerState::Well { .. });
        self.0.lock().push(is_well);
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_trigger_is_observed_to_be_well_again_after_its_authentication_could_not_be_used() {
    let (script, source) = (Script::default(), Source::default());
    let (engine, observed) = (start(&script, &source), Observed::default());
    engine.use_observer(Arc::new(observed.clone()));
    source.gives("a");
    let call = async || {
        let request = request();
        let trigger = engine.authenticated(&request).await?;
        engine.evaluate(&request, &trigger).await
    };
    call().await.unwrap();
    call().await.unwrap();
    source.0.lock().error = Some(Error::new(Kind::NotFound, "no Secret", ""));
    call().await.unwrap_err();
    source.0.lock().error = None;
    call().await.unwrap();
    call().await.unwrap();
    assert_eq!(*observed.0.lock(), [true, false, true]);
}
