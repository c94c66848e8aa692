//! Reports the states of triggers as events for their objects, so that `kubectl describe` shows them.
//!
//! A call that changes a state leaves the event in a queue and goes on; one task writes them. What does
//! not fit, or cannot be written, is lost and counted.

use std::{collections::HashMap, hash::Hasher, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::warn;

use super::event_states::{Change, States, Trouble};
use crate::{
    error::{Error, Kind, Result},
    kubernetes::{Event, EventWriter, Kubernetes, Standing},
    metadata::TriggerRef,
    sampling::{StateObserver, TriggerState},
    telemetry::LogLimit,
};

/// Events that wait (`maxQueuedEvents` of client-go's `tools/events/event_broadcaster.go`).
const QUEUE: usize = 1000;

/// Namespaces whose failures are remembered.
const FAILURES: usize = 1000;

/// Gets the states of triggers.
pub struct Events {
    kubernetes: Arc<Kubernetes>,
    states: Arc<States>,
    queue: mpsc::Sender<Queued>,
}

struct Queued {
    event: Event,
    standing: Standing,
    /// What was sent, where it is to be compared with the trigger's environment.
    to_check: Option<TriggerRef>,
}

impl Events {
    /// Starts the task that writes; it ends with this.
    pub fn start(kubernetes: Arc<Kubernetes>) -> Arc<Self> {
        let (queue, queued) = mpsc::channel(QUEUE);
        let states = Arc::new(States::new());
        let task = Writing {
            writer: kubernetes.event_writer(),
            kubernetes: kubernetes.clone(),
            states: states.clone(),
            failures: Mutex::default(),
            log: LogLimit::default(),
        };
        tokio::spawn(task.run(queued));
        Arc::new(Events {
            kubernetes,
            states,
            queue,
        })
    }

    fn report(&self, trigger: &TriggerRef, standing: Standing, event: Event) {
        let to_check = standing.has_environment.then(|| trigger.clone());
        let queued = Queued {
            event,
            standing,
            to_check,
        };
        if self.queue.try_send(queued).is_err() {
            self.kubernetes.metrics().count_event("dropped");
        }
    }
}

impl StateObserver for Events {
    fn observe(&self, trigger: &TriggerRef, state: TriggerState<'_>) -> bool {
        let TriggerRef {
            namespace,
            name,
            metadata,
        } = trigger;
        if is_no_news(state) {
            return false;
        }
        // Only an object that has such a trigger gets events: a caller may claim any name.
        let Some(standing) = self.kubernetes.standing(namespace, name, metadata) else {
            return false;
        };
        let described = describe(state);
        let trouble = described.as_ref().map(|(trouble, _)| *trouble);
        let of = |reason, class, text: &str| Event {
            object: standing.object.clone(),
            uid: standing.uid.clone(),
            is_warning: trouble.is_some(),
            reason,
            note: format!("triggers[{}]: {text}", standing.index),
            class,
        };
        let event = match (self.states.change(&standing, trouble), described, state) {
            (Change::Trouble, Some((trouble, text)), _) => of(trouble.reason, trouble.class, &text),
            (Change::Recovery(before), _, TriggerState::Well { metric_name }) => {
                let text = format!("metric {metric_name} is read (before: {before})");
                of("TriggerRecovered", class(&text), &text)
            }
            (Change::Limited { is_new }, ..) => {
                if is_new {
                    self.kubernetes.metrics().count_event("limited");
                }
                return false;
            }
            _ => return true,
        };
        self.report(trigger, standing, event);
        true
    }
}

/// Too little history is no trouble, and no sign of health.
fn is_no_news(state: TriggerState<'_>) -> bool {
    matches!(
        state,
        TriggerState::Stale(error) | TriggerState::Unread(error) | TriggerState::Refused(error)
            if error.kind() == Kind::Undetermined
    )
}

/// The trouble and its text; `None`: all is well.
fn describe(state: TriggerState<'_>) -> Option<(Trouble, String)> {
    let (reason, text) = match state {
        TriggerState::Well { .. } => return None,
        TriggerState::Refused(error) => (of_refusal(error.kind()), error.to_string()),
        TriggerState::Unread(error) => (of_reading(error.kind()), error.to_string()),
        TriggerState::Stale(error) => {
            let text = format!("{} The last good value is used for now.", sentence(error));
            (of_reading(error.kind()), text)
        }
    };
    let class = class(&text);
    Some((Trouble { reason, class }, text))
}

fn sentence(error: &Error) -> String {
    let mut text = error.to_string();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

fn of_refusal(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid | Kind::NotAllowed | Kind::NotFound | Kind::Exhausted => "TriggerRefused",
        Kind::Unreadable
        | Kind::Undetermined
        | Kind::Unauthorized
        | Kind::Unreachable
        | Kind::TimedOut
        | Kind::Internal => "AuthenticationUnreadable",
    }
}

fn of_reading(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid | Kind::NotAllowed => "TriggerRefused",
        Kind::Unauthorized => "AccessRefused",
        Kind::Unreachable | Kind::TimedOut => "BackendUnreachable",
        Kind::NotFound
        | Kind::Unreadable
        | Kind::Undetermined
        | Kind::Exhausted
        | Kind::Internal => "BackendUnreadable",
    }
}

/// Equal for texts that differ in numbers alone, such as the age of a sample.
fn class(text: &str) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    let mut in_number = false;
    for byte in text.bytes() {
        let is_digit = byte.is_ascii_digit();
        match is_digit {
            true if in_number => {}
            true => hasher.write_u8(b'0'),
            false => hasher.write_u8(byte),
        }
        in_number = is_digit;
    }
    hasher.finish()
}

/// The task that writes.
struct Writing {
    kubernetes: Arc<Kubernetes>,
    states: Arc<States>,
    writer: EventWriter,
    /// The last failure in each namespace; the log has it.
    failures: Mutex<HashMap<String, Kind>>,
    log: LogLimit,
}

impl Writing {
    async fn run(self, mut queue: mpsc::Receiver<Queued>) {
        while let Some(queued) = queue.recv().await {
            let outcome = self.write(&queued).await;
            self.kubernetes.metrics().count_event(outcome);
        }
    }

    /// The outcome, as a label.
    async fn write(&self, queued: &Queued) -> &'static str {
        if let Some(TriggerRef {
            namespace,
            name,
            metadata,
        }) = &queued.to_check
            && !self
                .kubernetes
                .sent_by_keda(namespace, name, metadata)
                .await
        {
            self.states.forget(&queued.standing);
            return "not_theirs";
        }
        let namespace = queued.standing.object.namespace.as_deref();
        let written = self.writer.write(&queued.event).await;
        self.remember(namespace.unwrap_or_default(), &written);
        written.map_or_else(|error| error.kind().label(), |()| "written")
    }

    /// Logs a failure the first time.
    fn remember(&self, namespace: &str, written: &Result<()>) {
        let mut failures = self.failures.lock();
        let Err(error) = written else {
            failures.remove(namespace);
            return;
        };
        if failures.get(namespace) == Some(&error.kind()) {
            return;
        }
        if failures.len() >= FAILURES {
            failures.clear();
        }
        failures.insert(namespace.to_owned(), error.kind());
        drop(failures);
        self.log.warn(|suppressed| {
            warn!(
                suppressed,
                "an event cannot be written, and is lost: {error}"
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_numbers_alone_are_of_one_class() {
        let old =
            |age| format!("redis 127.0.0.1:6379: refused (the last good sample is {age}s old)");
        assert_eq!(class(&old(9)), class(&old(61)));
        assert_ne!(class(&old(9)), class("redis 127.0.0.1:6379: refused"));
        assert_ne!(class("a"), class("a1"));
    }

    #[test]
    fn a_state_has_a_reason_and_our_text() {
        let error = |kind| Error::new(kind, "redis 10.0.0.7:6379: refused", "Check the address.");
        for (kind, refused, read) in [
            (Kind::Invalid, "TriggerRefused", "TriggerRefused"),
            (
                Kind::Unauthorized,
                "AuthenticationUnreadable",
                "AccessRefused",
            ),
            (
                Kind::Unreachable,
                "AuthenticationUnreadable",
                "BackendUnreachable",
            ),
            (Kind::NotFound, "TriggerRefused", "BackendUnreadable"),
        ] {
            let error = error(kind);
            let (trouble, text) = describe(TriggerState::Refused(&error)).unwrap();
            assert_eq!((trouble.reason, text), (refused, error.to_string()));
            let (unread, _) = describe(TriggerState::Unread(&error)).unwrap();
            assert_eq!(unread.reason, read);
            let (stale, text) = describe(TriggerState::Stale(&error)).unwrap();
            let expected = "redis 10.0.0.7:6379: refused. Check the address. The last good value is \
                            used for now.";
            assert_eq!((stale.reason, text.as_str()), (read, expected));
            assert_ne!(stale.class, unread.class, "a value, or none");
        }
        assert!(describe(TriggerState::Well { metric_name: "m" }).is_none());
        assert!(is_no_news(TriggerState::Unread(&error(Kind::Undetermined))));
    }
}
