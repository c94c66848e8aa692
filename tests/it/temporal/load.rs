//! Very many task queues of one namespace, under the server's default limits. The benchmark has a
//! thousand of them, and figures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream};
use tokio::time::sleep;
use tonic::Code;

use super::{needs_temporal, queue};
use testkit::{
    scaler::{self, Scaler},
    temporal::{Temporal, reported, start_one},
};

const QUEUES: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_queues_at_once_are_answered_and_the_worker_is_not_disturbed() {
    needs_temporal!();
    // One workflow waits on each queue.
    let temporal = Temporal::under_load().await;
    let starts = stream::iter(0..QUEUES).map(|i| {
        let temporal = &temporal;
        async move { temporal.start_workflows(&format!("load-{i}"), 1).await }
    });
    starts.buffer_unordered(16).collect::<Vec<()>>().await;
    let worker = Worker::start(&temporal).await;

    let stubs = temporal.stubs().await;
    let scaler = Scaler::start().await;
    let client = scaler.client().await;
    let all = (0..QUEUES).map(|i| {
        let mut trigger = queue(&temporal, &format!("load-{i}"), []);
        trigger.scaler_metadata.remove("freshFor");
        let mut client = client.clone();
        async move { scaler::evaluate(&mut client, &trigger).await }
    });
    for (i, found) in join_all(all).await.into_iter().enumerate() {
        let found = found.unwrap_or_else(|error| panic!("load-{i}: {error}"));
        if found.value != 1.0 {
            let reported = reported(&stubs, &format!("load-{i}")).await.unwrap();
            assert_eq!(found.value, reported as f64, "load-{i}");
        }
        assert!(found.active, "load-{i}");
    }

    let (worked, refused) = worker.seen();
    assert!(worked > 0 && refused == 0, "{refused} of {worked} refused");
}

/// A worker of another queue: what its calls met.
#[derive(Clone, Default)]
struct Worker {
    worked: Arc<AtomicU32>,
    refused: Arc<AtomicU32>,
}

impl Worker {
    /// Starts workflows and takes their tasks, all the time, and counts refusals.
    async fn start(temporal: &Temporal) -> Self {
        let seen = Worker::default();
        let poller = temporal.poller("busy").await;
        let stubs = temporal.stubs().await;
        let Worker { worked, refused } = seen.clone();
        tokio::spawn(async move {
            for i in 0.. {
                let id = format!("busy-{i}");
                let started = start_one(&stubs, "busy", &id).await;
                let polled = poller.try_poll(Duration::from_secs(5)).await;
                for status in [started.err(), polled.err()].into_iter().flatten() {
                    if status.code() == Code::ResourceExhausted {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                worked.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(50)).await;
            }
        });
        seen
    }

    fn seen(&self) -> (u32, u32) {
        let (worked, refused) = (&self.worked, &self.refused);
        (
            worked.load(Ordering::Relaxed),
            refused.load(Ordering::Relaxed),
        )
    }
}
