//! A server that is called like by KEDA, for the pages to show.

use std::time::Duration;

use backlog_scaler::keda::proto::ScaledObjectRef;
use testkit::{
    browser,
    redis::{self, Redis},
    require,
    scaler::{Scaler, with},
};
use tokio::{task::JoinHandle, time::sleep};

use super::{on_list, with_a_slip};

/// A server that KEDA calls all the time, as far as it notices.
pub struct Called {
    pub scaler: Scaler,
    pub redis: Redis,
    /// Another one, for the triggers of `mail`.
    pub other: Redis,
    triggers: Vec<ScaledObjectRef>,
    calls: Option<JoinHandle<()>>,
}

impl Drop for Called {
    fn drop(&mut self) {
        if let Some(calls) = &self.calls {
            calls.abort();
        }
    }
}

impl Called {
    pub async fn start() -> Self {
        let mut called = Called::once().await;
        called.keep_calling().await;
        called
    }

    /// The same without calls.
    pub async fn once() -> Self {
        let (redis, other, scaler) = (
            Redis::start().await,
            Redis::start().await,
            Scaler::start().await,
        );
        for (list, jobs) in [("orders", 42), ("invoices", 7), ("thumbnails", 130)] {
            redis.rpush(list, jobs).await;
        }
        other.rpush("letters", 12).await;
        let address = redis.address();
        let held = on_list("shop", "thumbnails", &address, "thumbnails");
        let triggers = vec![
            on_list("shop", "orders", &address, "orders"),
            on_list("shop", "invoices", &address, "invoices"),
            with(with(held, "scaleDownBelow", "2"), "smoothing", "max:2m"),
            on_list("reports", "nightly", &address, "empty"),
            on_list("mail", "sender", &other.address(), "letters"),
            with_a_slip("mail", "typo", &other.address()),
        ];
        Called {
            scaler,
            redis,
            other,
            triggers,
            calls: None,
        }
    }

    /// Evaluates each trigger once.
    pub async fn call(&self) {
        let mut client = self.scaler.client().await;
        for trigger in &self.triggers {
            // Some fail, which is what the page is for.
            let _ = testkit::scaler::evaluate(&mut client, trigger).await;
        }
    }

    /// Evaluates them several times a second from now on.
    pub async fn keep_calling(&mut self) {
        let (mut client, triggers) = (self.scaler.client().await, self.triggers.clone());
        self.calls = Some(tokio::spawn(async move {
            loop {
                for trigger in &triggers {
                    // As above.
                    let _ = testkit::scaler::evaluate(&mut client, trigger).await;
                }
                sleep(Duration::from_millis(300)).await;
            }
        }));
    }

    pub fn address(&self, path: &str) -> String {
        format!("http://{}{path}", self.scaler.admin)
    }
}

pub fn can_run() -> bool {
    require(redis::available(), "redis-server")
        && require(browser::available(), "chromium or axe-core")
}
