//! Metrics per trigger, written from the engine when `/metrics` is scraped: a trigger that is evicted
//! takes its series with it, and their number is bounded by how many triggers are kept.
//!
//! With ten thousand triggers the page has 70,000 lines. So they are written in pieces, each when the
//! reader takes it, and the labels of a trigger are put into text once.

use std::{
    collections::{HashSet, hash_map::RandomState},
    fmt::Write,
    hash::BuildHasher,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    backend::Reading, engine::Engine, evaluation::Evaluation, trigger::Trigger, trigger_cache::Kept,
};
use crate::{
    error::{Error, Kind},
    telemetry::{Descriptor, Escaped, Exposition},
};

/// Series of one piece: some 64 KiB.
const PIECE: usize = 256;

/// The lines of every trigger, in pieces.
pub fn trigger_metrics(
    engine: &Engine,
    exposition: Exposition,
) -> impl Iterator<Item = String> + Send + use<> {
    let all: Arc<[Series]> = series(engine.triggers()).into();
    let gauges = all.clone();
    let gauges = GAUGES
        .into_iter()
        .flat_map(move |gauge| gauge.pieces(&gauges, exposition));
    gauges.chain(error_pieces(all, exposition))
}

/// One trigger's series.
struct Series {
    /// All labels, as text. The namespace's is not `namespace`, which Prometheus gives to every target
    /// that it finds in Kubernetes; `backend` is the trigger type, under the name of the key that
    /// users write it in; `trigger` distinguishes those of one ScaledObject that measure the same.
    labels: Box<str>,
    state: Result<State, Error>,
    used: Instant,
}

/// What is known of a trigger that was not refused.
struct State {
    trigger: Arc<Trigger>,
    /// The evaluation of the last good sample.
    last: Option<Evaluation>,
}

/// The triggers by their labels. Refused triggers of one ScaledObject share theirs.
fn series(kept: Vec<Kept>) -> Vec<Series> {
    let (hashes, mut seen) = (RandomState::new(), HashSet::new());
    let series = kept.into_iter().map(|kept| Series {
        labels: labels(&kept).into(),
        state: kept.trigger.map(|trigger| State {
            last: trigger.last(),
            trigger,
        }),
        used: kept.used,
    });
    series
        .filter(|series| seen.insert(hashes.hash_one(&series.labels)))
        .collect()
}

fn labels(kept: &Kept) -> String {
    let trigger = kept.trigger.as_ref().ok();
    let fingerprint = trigger.map_or(String::new(), |t| format!("{:08x}", t.fingerprint));
    format!(
        "scaled_object_namespace=\"{}\",scaled_object=\"{}\",metric=\"{}\",backend=\"{}\",\
         trigger=\"{fingerprint}\"",
        Escaped(&kept.namespace),
        Escaped(&kept.name),
        Escaped(trigger.map_or("", |t| &t.metric_name)),
        trigger.map_or("", |t| t.trigger_type),
    )
}

/// A gauge that every trigger has, once it has a value.
#[derive(Clone, Copy)]
struct Gauge {
    name: &'static str,
    help: &'static str,
    unit: Option<&'static str>,
    value: fn(&Series) -> Option<f64>,
}

const GAUGES: [Gauge; 8] = [
    Gauge {
        name: "trigger_up",
        help: "Whether the last call got a sample that is not stale",
        unit: None,
        value: |series| {
            let up = series.state.as_ref().map(|s| s.trigger.outcomes.up());
            Some(flag(up.unwrap_or(false)))
        },
    },
    Gauge {
        name: "trigger_target",
        help: "The wanted backlog per replica, or the wanted time in seconds",
        unit: None,
        value: |series| Some(series.state.as_ref().ok()?.trigger.target),
    },
    Gauge {
        name: "trigger_value",
        help: "The metric's value: how much work is waiting, or a time in seconds",
        unit: None,
        value: |series| Some(series.reading()?.value),
    },
    Gauge {
        name: "trigger_raw_value",
        help: "The value of the sample, for triggers with keys that may change it",
        unit: None,
        value: |series| series.last()?.shaped.as_ref()?.raw_value,
    },
    Gauge {
        name: "trigger_active",
        help: "Whether the value is above the activation threshold, or a key holds the trigger active",
        unit: None,
        value: |series| Some(flag(series.reading()?.active)),
    },
    Gauge {
        name: "trigger_sample_age",
        help: "Time since the request of the last good sample was sent",
        unit: Some("seconds"),
        value: |series| Some(series.last()?.age.as_secs_f64()),
    },
    Gauge {
        name: "trigger_last_success_timestamp",
        help: "When the request of the last good sample was sent, in Unix time",
        unit: Some("seconds"),
        value: |series| Some(timestamp(series.last()?.age)),
    },
    Gauge {
        name: "trigger_last_request_timestamp",
        help: "When the trigger was requested last, in Unix time",
        unit: Some("seconds"),
        value: |series| Some(timestamp(series.used.elapsed())),
    },
];

impl Series {
    fn last(&self) -> Option<&Evaluation> {
        self.state.as_ref().ok()?.last.as_ref()
    }

    /// What KEDA gets.
    fn reading(&self) -> Option<Reading> {
        let replacement = self.state.as_ref().ok()?.trigger.replacement();
        replacement.or_else(|| Some(self.last()?.reading))
    }

    /// The errors of its calls, by kind. A refused trigger has one, which is why it is refused.
    fn errors(&self) -> Vec<(Kind, u64)> {
        match &self.state {
            Ok(state) => state.trigger.outcomes.errors().collect(),
            Err(error) => vec![(error.kind(), 1)],
        }
    }
}

impl Gauge {
    fn pieces(
        self,
        all: &Arc<[Series]>,
        exposition: Exposition,
    ) -> impl Iterator<Item = String> + Send + use<> {
        // A family without a sample is noise, and an error to some readers.
        let has_values = all.iter().any(|series| (self.value)(series).is_some());
        let descriptor = Descriptor {
            name: self.name,
            help: self.help,
            unit: self.unit,
            kind: "gauge",
        };
        let name = descriptor.series_name();
        let head = has_values.then(|| exposition.describe(&descriptor));
        let lines = pieces(all.clone(), move |series, page| {
            if let Some(value) = (self.value)(series) {
                let _ = writeln!(page, "{name}{{{}}} {value}", series.labels);
            }
        });
        head.into_iter().chain(lines)
    }
}

fn error_pieces(
    all: Arc<[Series]>,
    exposition: Exposition,
) -> impl Iterator<Item = String> + Send + use<> {
    let has_errors = all.iter().any(|series| !series.errors().is_empty());
    let descriptor = Descriptor {
        name: "trigger_errors",
        help: "Calls that met an error, by its kind; a stale sample may have been used",
        unit: None,
        kind: "counter",
    };
    let name = descriptor.series_name();
    let head = has_errors.then(|| exposition.describe(&descriptor));
    let lines = pieces(all, move |series, page| {
        for (kind, count) in series.errors() {
            let (labels, kind) = (&series.labels, kind.label());
            let _ = writeln!(page, "{name}{{{labels},kind=\"{kind}\"}} {count}");
        }
    });
    head.into_iter().chain(lines)
}

/// The lines of some series at a time. Each is written when it is taken.
fn pieces(
    all: Arc<[Series]>,
    write: impl Fn(&Series, &mut String) + Send,
) -> impl Iterator<Item = String> + Send {
    (0..all.len()).step_by(PIECE).map(move |first| {
        let mut page = String::new();
        let last = all.len().min(first + PIECE);
        for series in &all[first..last] {
            write(series, &mut page);
        }
        page
    })
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// The Unix time so long ago, in seconds.
fn timestamp(ago: Duration) -> f64 {
    let then = SystemTime::now().checked_sub(ago);
    let since = then.and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs_f64()
}
