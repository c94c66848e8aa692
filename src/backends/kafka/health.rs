//! What librdkafka says of its brokers: the reason behind a request that fails.

use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::{Notify, watch};
use tracing::debug;

use super::native::{Failure, Listener};

/// The troubles of one handle. A request that cannot be sent says no more than "transport" or
/// "timed out"; why is told apart from it, and kept here.
pub struct Health {
    /// The most telling trouble since the brokers were last known to be well.
    reason: Mutex<Option<Failure>>,
    /// Counts how often every broker was found down at once, or refused our login.
    falls: watch::Sender<u64>,
    /// A token is wanted.
    token: Notify,
}

impl Health {
    pub fn new() -> Self {
        Health {
            reason: Mutex::default(),
            falls: watch::Sender::new(0),
            token: Notify::new(),
        }
    }

    /// Waits until no broker is left, counted from the call.
    pub fn fall(&self) -> impl Future<Output = Failure> + use<'_> {
        let mut falls = self.falls.subscribe();
        async move {
            // The sender lives as long as self.
            let _ = falls.changed().await;
            self.reason().unwrap_or_else(|| Failure {
                code: Code::AllBrokersDown,
                text: "no broker can be reached".to_owned(),
            })
        }
    }

    /// Why brokers cannot be reached, as far as is known.
    pub fn reason(&self) -> Option<Failure> {
        self.reason.lock().clone()
    }

    /// A request went through.
    pub fn well(&self) {
        *self.reason.lock() = None;
    }

    /// Keeps a trouble, unless one is known that says more.
    fn explain(&self, failure: Failure) {
        let mut reason = self.reason.lock();
        let before = reason.as_ref().map_or(0, |before| telling(before.code));
        if telling(failure.code) >= before.max(1) {
            *reason = Some(failure);
        }
    }

    /// Waits until librdkafka wants a token.
    pub async fn token_wanted(&self) {
        self.token.notified().await;
    }
}

impl Listener for Health {
    fn trouble(&self, failure: Failure) {
        debug!(code = ?failure.code, "librdkafka: {}", failure.text);
        let fallen = matches!(failure.code, Code::AllBrokersDown | Code::Authentication);
        self.explain(failure);
        if fallen {
            self.falls.send_modify(|falls| *falls += 1);
        }
    }

    fn log(&self, level: i32, facility: &str, line: &str) {
        debug!(level, facility, "librdkafka: {line}");
        // A broker that hangs up is no error to librdkafka, though it may be the whole reason.
        if facility == "FAIL" {
            // `[thrd:…]: ` comes first.
            let text = line.split_once("]: ").map_or(line, |(_, text)| text);
            self.explain(Failure {
                code: Code::BrokerTransportFailure,
                text: text.to_owned(),
            });
        }
    }

    fn token_wanted(&self) {
        self.token.notify_one();
    }
}

/// How much a trouble explains; 0: nothing.
fn telling(code: Code) -> u8 {
    match code {
        Code::Authentication => 4,
        Code::SSL => 3,
        Code::Resolve => 2,
        Code::BrokerTransportFailure => 1,
        _ => 0,
    }
}
