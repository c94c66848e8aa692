//! Many callers at once, of whom none may get an error.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use backlog_scaler::keda::{
    STALE,
    proto::{GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient},
};
use parking_lot::Mutex;
use tokio::{task::JoinSet, time::sleep};
use tonic::{Status, transport::Channel};

use crate::cluster::SOON;

/// Each has a connection of its own.
pub const CALLERS: usize = 50;

/// Between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(100);

/// Callers of some triggers of the object `worker`, until it is dropped.
pub struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    callers: Vec<Caller>,
    /// Calls that got an older value, as a newer one could not be read.
    stale: AtomicUsize,
    errors: Mutex<Vec<Status>>,
    is_ended: AtomicBool,
}

#[derive(Default)]
struct Caller {
    calls: AtomicUsize,
    /// The bits of the last value.
    value: AtomicU64,
}

impl Load {
    /// The callers share the triggers evenly; each calls one trigger again and again.
    pub async fn start(address: &str, namespace: &str, triggers: &[Vec<(String, String)>]) -> Self {
        let shared = Arc::new(Shared {
            callers: (0..CALLERS).map(|_| Caller::default()).collect(),
            ..Shared::default()
        });
        let mut callers = JoinSet::new();
        for (i, trigger) in (0..CALLERS).zip(triggers.iter().cycle()) {
            let client = ExternalScalerClient::connect(format!("http://{address}")).await;
            let trigger = ScaledObjectRef {
                name: "worker".to_owned(),
                namespace: namespace.to_owned(),
                scaler_metadata: trigger.iter().cloned().collect::<BTreeMap<_, _>>(),
            };
            let shared = shared.clone();
            let client = client.expect("it serves");
            callers.spawn(async move { shared.call(i, client, trigger).await });
        }
        Load { shared, callers }
    }

    /// Waits until every caller has made so many calls more.
    pub async fn more(&self, calls: usize) {
        let callers = &self.shared.callers;
        let before: Vec<_> = callers.iter().map(|c| c.calls.load(Relaxed)).collect();
        self.until(&format!("{calls} calls more"), |i, caller| {
            caller.calls.load(Relaxed) >= before[i] + calls
        })
        .await;
    }

    /// Waits until every caller has got this value in its last call.
    pub async fn all_get(&self, value: f64) {
        self.until(&format!("the value {value}"), |_, caller| {
            f64::from_bits(caller.value.load(Relaxed)) == value
        })
        .await;
    }

    async fn until(&self, what: &str, condition: impl Fn(usize, &Caller) -> bool) {
        let begun = Instant::now();
        let is_missing = |(i, caller): &(usize, &Caller)| !condition(*i, caller);
        while self
            .shared
            .callers
            .iter()
            .enumerate()
            .any(|c| is_missing(&c))
        {
            self.must_be_well();
            let missing = self.shared.callers.iter().enumerate().filter(is_missing);
            assert!(
                begun.elapsed() < SOON,
                "{} callers without {what}",
                missing.count()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Panics if a call has failed.
    pub fn must_be_well(&self) {
        let errors = self.shared.errors.lock();
        assert!(errors.is_empty(), "{errors:?}");
    }

    /// How many calls got an older value, as a newer one could not be read.
    pub fn stale(&self) -> usize {
        self.shared.stale.load(Relaxed)
    }

    /// Ends the callers; how many calls they made. Panics if one has failed.
    pub async fn end(mut self) -> usize {
        self.shared.is_ended.store(true, Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("no caller panics");
        }
        self.must_be_well();
        let callers = self.shared.callers.iter();
        callers.map(|caller| caller.calls.load(Relaxed)).sum()
    }
}

impl Shared {
    async fn call(&self, i: usize, mut client: ExternalScalerClient<Channel>, of: ScaledObjectRef) {
        let request = GetMetricsRequest {
            scaled_object_ref: Some(of),
            metric_name: String::new(),
        };
        while !self.is_ended.load(Relaxed) {
            match client.get_metrics(request.clone()).await {
                Ok(response) => {
                    let is_stale = response.metadata().contains_key(STALE);
                    self.stale.fetch_add(usize::from(is_stale), Relaxed);
                    let value = response.get_ref().metric_values[0].metric_value_float;
                    let caller = &self.callers[i];
                    caller.value.store(value.to_bits(), Relaxed);
                    caller.calls.fetch_add(1, Relaxed);
                }
                Err(error) => return self.errors.lock().push(error),
            }
            sleep(PAUSE).await;
        }
    }
}
