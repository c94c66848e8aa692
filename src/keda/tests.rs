//! Streams of push triggers, over a scripted backend and under paused time.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Request;

use super::{
    Service, Streams,
    proto::{IsActiveResponse, ScaledObjectRef, external_scaler_server::ExternalScaler},
};
use crate::{
    sampling::{
        Limits,
        tests::scripted::{Script, trigger},
    },
    telemetry::Telemetry,
};

fn service(script: &Script, shutdown: &CancellationToken) -> Service {
    let streams = Streams {
        shutdown: shutdown.clone(),
        max_age: Duration::from_secs(1000),
    };
    let engine = script.engine(Limits::default());
    Service::new(Arc::clone(&engine), Telemetry::default(), streams)
}

fn jobs() -> Request<ScaledObjectRef> {
    let request = trigger("a", "jobs");
    Request::new(ScaledObjectRef {
        name: request.name,
        namespace: request.namespace,
        scaler_metadata: request.metadata,
    })
}

/// The next state of a stream, and after how many seconds it came; `None` at its end.
async fn next<S>(states: &mut S) -> Option<(bool, u64)>
where
    S: futures_util::Stream<Item = Result<IsActiveResponse, tonic::Status>> + Unpin,
{
    let waited = Instant::now();
    let state = states.next().await?.expect("streams end without an error");
    Some((state.result, waited.elapsed().as_secs()))
}

#[tokio::test(start_paused = true)]
async fn a_push_stream_says_the_first_state_at_once_and_then_every_change() {
    let (script, shutdown) = (Script::default(), CancellationToken::new());
    script.server("a", |s| s.count = 0);
    let service = service(&script, &shutdown);
    let mut states = service.stream_is_active(jobs()).await.unwrap().into_inner();

    assert_eq!(next(&mut states).await, Some((false, 0)));
    let quiet = timeout(Duration::from_secs(60), next(&mut states)).await;
    assert!(quiet.is_err(), "a false is not repeated");

    for (count, active) in [(3, true), (0, false)] {
        script.server("a", |s| s.count = count);
        let (state, after) = next(&mut states).await.unwrap();
        assert_eq!(state, active);
        assert!(
            after <= 1,
            "as soon as a sample is older than freshFor, not after {after} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_true_is_repeated_for_what_keda_may_have_missed() {
    let (script, shutdown) = (Script::default(), CancellationToken::new());
    let service = service(&script, &shutdown);
    let mut states = service.stream_is_active(jobs()).await.unwrap().into_inner();
    assert_eq!(next(&mut states).await, Some((true, 0)));
    let (state, after) = next(&mut states).await.unwrap();
    assert!(state && (10..=11).contains(&after), "after {after} s");
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_known_nothing_is_said() {
    let (script, shutdown) = (Script::default(), CancellationToken::new());
    script.server("a", |s| s.refuses = true);
    let service = service(&script, &shutdown);
    let mut states = service.stream_is_active(jobs()).await.unwrap().into_inner();
    let quiet = timeout(Duration::from_secs(60), next(&mut states)).await;
    assert!(quiet.is_err(), "neither a state nor an error");

    script.server("a", |s| s.refuses = false);
    assert!(next(&mut states).await.is_some_and(|(state, _)| state));
}

#[tokio::test(start_paused = true)]
async fn streams_end_cleanly_at_their_age_and_on_shutdown() {
    let (script, shutdown) = (Script::default(), CancellationToken::new());
    let service = service(&script, &shutdown);
    let mut old = service
        .stream_metric_spec(jobs())
        .await
        .unwrap()
        .into_inner();
    assert!(old.next().await.unwrap().is_ok(), "the specs come at once");
    let opened = Instant::now();
    assert!(old.next().await.is_none());
    assert_eq!(opened.elapsed().as_secs(), 1000);

    let mut states = service.stream_is_active(jobs()).await.unwrap().into_inner();
    let stop = async {
        sleep(Duration::from_secs(3)).await;
        shutdown.cancel();
    };
    let rest = async {
        let mut last = None;
        while let Some(state) = next(&mut states).await {
            last = Some(state.0);
        }
        last
    };
    assert_eq!(tokio::join!(rest, stop).0, Some(true));
}
