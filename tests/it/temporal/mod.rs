//! The Temporal backend against real servers.

mod backlog;
mod examples;
mod load;
mod outages;
mod security;
mod signals;
mod versions;

use std::time::Duration;

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::{sync::OnceCell, time::Instant};

use testkit::{
    scaler::{self, Evaluation, Scaler},
    temporal::Temporal,
};

/// Skips a test where no Temporal server is installed.
macro_rules! needs_temporal {
    () => {
        let available = testkit::temporal::available();
        if !testkit::require(available, "the Temporal server") {
            return;
        }
    };
}
pub(crate) use needs_temporal;

/// A plain server that tests share, each with task queues of its own.
pub async fn shared() -> &'static Temporal {
    static SERVER: OnceCell<Temporal> = OnceCell::const_new();
    SERVER.get_or_init(|| Temporal::builder().start()).await
}

/// A trigger on a task queue, with a sample for every call.
pub fn queue<const N: usize>(
    temporal: &Temporal,
    name: &str,
    keys: [(&str, &str); N],
) -> ScaledObjectRef {
    let trigger = scaler::trigger([
        ("backend", "temporal"),
        ("endpoint", &temporal.address()),
        ("taskQueue", name),
        ("freshFor", "0"),
    ]);
    keys.into_iter().fold(trigger, |trigger, (key, value)| {
        scaler::with(trigger, key, value)
    })
}

/// The same with `taskQueues`.
pub fn queues(temporal: &Temporal, names: &str) -> ScaledObjectRef {
    let mut trigger = queue(temporal, "", [("taskQueues", names)]);
    trigger.scaler_metadata.remove("taskQueue");
    trigger
}

/// Evaluates until what is wanted is found: counts are eventually right.
pub async fn eventually(
    scaler: &Scaler,
    trigger: &ScaledObjectRef,
    wanted: impl Fn(&Evaluation) -> bool,
) -> Evaluation {
    let started = Instant::now();
    loop {
        match scaler.evaluate(trigger).await {
            Ok(found) if wanted(&found) => return found,
            last if started.elapsed() > Duration::from_secs(20) => panic!("still {last:?}"),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
