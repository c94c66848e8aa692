//! Signals other than the backlog: what is due, for how long work has waited, how long it takes.

mod commands;
mod due;
mod streams;

use std::time::{Duration, SystemTime};

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::time::{Instant, sleep};
use tonic::Status;

use testkit::scaler::{Evaluation, Scaler, with};

/// The same trigger with these keys, read anew by each call.
fn fresh<const N: usize>(trigger: ScaledObjectRef, keys: [(&str, &str); N]) -> ScaledObjectRef {
    let trigger = with(trigger, "freshFor", "0");
    let trigger = with(trigger, "maxStaleness", "0");
    keys.into_iter()
        .fold(trigger, |trigger, (key, value)| with(trigger, key, value))
}

/// The same trigger, reporting the age of what waits.
fn age(trigger: ScaledObjectRef) -> ScaledObjectRef {
    fresh(trigger, [("signal", "age"), ("targetSeconds", "30")])
}

/// Milliseconds since 1970, this many later than now.
fn in_milliseconds(later: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_millis() as i64 + later
}

/// Evaluates until that is right.
async fn until(
    scaler: &Scaler,
    trigger: &ScaledObjectRef,
    right: impl Fn(&Result<Evaluation, Status>) -> bool,
) -> Evaluation {
    let started = Instant::now();
    loop {
        let found = scaler.evaluate(trigger).await;
        if right(&found) {
            return found.unwrap();
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "still {found:?}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}
