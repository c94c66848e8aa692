//! The shaping of one trigger, with what it remembers. It is shared with the trigger's query slot,
//! which reports work, and with its streams.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use super::{
    backend::Reading,
    evaluation::{Evaluation, Shaped},
    replicas::TargetReplicas,
    shaping::{Memory, Shaping},
    signal_rule::Observation,
    window::Window,
};
use crate::{
    error::{Error, Result},
    metadata::shaping::OnOutage,
};

/// The shaping of one trigger.
///
/// Its memory ends with the trigger: at a restart, and when the trigger is evicted.
pub(super) struct Shaper {
    shaping: Shaping,
    since: Instant,
    // Locked within the lock of a slot, so nothing that locks a slot is called under it.
    state: Mutex<State>,
    /// Knows the real replicas, where anybody does.
    replicas: OnceLock<Arc<dyn TargetReplicas>>,
}

/// How long the first calls of a trigger wait for the real replicas, so that a restart of this server
/// is no reason to go down. The backend's first sample may take as long.
const FIRST_REPLICAS: Duration = Duration::from_millis(500);

struct State {
    memory: Memory,
    /// The value that the last call got in place of a sample.
    replacement: Option<Reading>,
}

/// What an evaluation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A call of KEDA: its value is the one that replicas are held from.
    Call,
    /// A stream, which reports the activity alone.
    Stream,
}

impl Shaper {
    pub fn new(shaping: Shaping) -> Self {
        Shaper {
            since: Instant::now(),
            state: Mutex::new(State {
                memory: shaping.empty_memory(),
                replacement: None,
            }),
            shaping,
            replicas: OnceLock::new(),
        }
    }

    /// The keys of the trigger that it applies.
    pub fn keys(&self) -> Vec<&'static str> {
        let shaping = &self.shaping;
        let keys = [
            ("smoothing", shaping.smoothing.is_some()),
            (
                "minimumWhileInFlight",
                shaping.in_flight_per_replica.is_some(),
            ),
            ("scaleDownBelow", shaping.scale_down_below.is_some()),
            ("activityHold", shaping.activity_hold.is_some()),
            ("onOutage", shaping.on_outage != OnOutage::Error),
        ];
        let given = keys.into_iter().filter(|(_, given)| *given);
        given.map(|(key, _)| key).collect()
    }

    /// Has `scaleDownBelow`, if the trigger has it, hold the replicas that are known there.
    pub fn follow_replicas(&self, replicas: impl FnOnce() -> Arc<dyn TargetReplicas>) {
        if self.shaping.scale_down_below.is_some() {
            self.replicas.get_or_init(replicas);
        }
    }

    /// Returns once it is known how many replicas there are, or cannot be; soon in any case.
    pub async fn replicas_known(&self) {
        if let Some(replicas) = self.replicas.get()
            && self.since.elapsed() < FIRST_REPLICAS
        {
            // Late: the trigger begins without them.
            let _ = timeout_at(self.since + FIRST_REPLICAS, replicas.known()).await;
        }
    }

    /// The state, with the replicas that there really are, where that is known.
    fn state(&self) -> MutexGuard<'_, State> {
        let known = self.replicas.get().and_then(|replicas| replicas.now());
        let mut state = self.state.lock();
        if let Some(known) = known {
            state.memory.replicas = f64::from(known);
        }
        state
    }

    /// Whether it remembers anything of samples.
    pub fn remembers_samples(&self) -> bool {
        self.shaping.activity_hold.is_some() || self.remembers_values()
    }

    /// How many bytes of memory the values of samples may take.
    pub fn bytes(&self) -> usize {
        match self.remembers_values() {
            true => Window::BYTES,
            false => 0,
        }
    }

    /// Whether it remembers the values of samples.
    pub fn remembers_values(&self) -> bool {
        self.shaping.smoothing.is_some()
    }

    /// The value of a sample.
    pub fn saw_value(&self, value: f64, measured_at: Instant) {
        if let Some(values) = &mut self.state.lock().memory.values {
            values.add(value, measured_at);
        }
    }

    /// A sample showed work.
    pub fn saw_work(&self, measured_at: Instant) {
        let memory = &mut self.state.lock().memory;
        memory.last_work = memory.last_work.max(Some(measured_at));
    }

    /// Whether the trigger is active with this observation.
    pub fn is_active(&self, raw: Observation, now: Instant) -> bool {
        let memory = &self.state.lock().memory;
        self.shaping.shape(raw, memory, now).reading.active
    }

    /// Shapes an evaluation.
    pub fn shape(&self, raw: Evaluation, purpose: Purpose) -> Evaluation {
        let mut state = self.state();
        state.replacement = None;
        let (evaluation, replicas) = self.apply(raw, &state.memory);
        if purpose == Purpose::Call {
            state.memory.replicas = replicas;
        }
        evaluation
    }

    /// What a call gets in place of an error. `hold` gives the evaluation of the last good sample,
    /// or the error back; `last` the same without counting it as used.
    pub fn on_outage(
        &self,
        error: Error,
        purpose: Purpose,
        hold: impl FnOnce(Error) -> Result<Evaluation>,
        last: impl FnOnce() -> Option<Evaluation>,
    ) -> Result<Evaluation> {
        match self.shaping.on_outage {
            OnOutage::Error => {
                self.state.lock().replacement = None;
                Err(error)
            }
            OnOutage::Hold => {
                let mut held = self.shape(hold(error)?, purpose);
                if let Some(shaped) = &mut held.shaped {
                    shaped.by.push("onOutage");
                }
                Ok(held)
            }
            OnOutage::Value(number) => {
                let last = last();
                let reading = Reading {
                    value: number as f64,
                    active: number > 0,
                };
                self.state.lock().replacement = Some(reading);
                Ok(Evaluation {
                    reading,
                    in_flight: 0,
                    most_consumers: None,
                    arrivals: None,
                    shaped: Some(Shaped {
                        raw_value: last.as_ref().map(|last| last.reading.value),
                        by: vec!["onOutage"],
                    }),
                    age: last.map_or(self.since.elapsed(), |last| last.age),
                    stale: Some(error),
                })
            }
        }
    }

    /// The same evaluation as a call would get, without an effect on later ones.
    pub fn preview(&self, raw: Evaluation) -> Evaluation {
        self.apply(raw, &self.state().memory).0
    }

    /// The value that the last call got in place of a sample.
    pub fn replacement(&self) -> Option<Reading> {
        self.state.lock().replacement
    }

    /// The shaped evaluation, and the replicas that its value leads to.
    fn apply(&self, raw: Evaluation, memory: &Memory) -> (Evaluation, f64) {
        let observation = Observation {
            reading: raw.reading,
            in_flight: raw.in_flight,
        };
        let shaped = self.shaping.shape(observation, memory, Instant::now());
        let keys = [
            ("smoothing", shaped.smoothed),
            ("minimumWhileInFlight", shaped.holds_in_flight),
            ("scaleDownBelow", shaped.holds_replicas),
            ("activityHold", shaped.holds_activity),
        ];
        let by = keys.into_iter().filter(|(_, holds)| *holds);
        let evaluation = Evaluation {
            reading: shaped.reading,
            shaped: Some(Shaped {
                raw_value: Some(raw.reading.value),
                by: by.map(|(key, _)| key).collect(),
            }),
            ..raw
        };
        (evaluation, shaped.replicas)
    }
}
