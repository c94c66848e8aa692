//! The triggers of a slot that remember its samples (`activityHold`, `smoothing`): every one counts,
//! also one that was read ahead, for a stream, or for another trigger of the same query.

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{backend::Backend, batch::Measured, shaper::Shaper, signal_rule::SignalRule};

/// The observers of one slot. Nothing is allocated or locked before there is one.
pub(super) struct SampleObservers<B: Backend>(OnceLock<Box<Mutex<Vec<Observer<B>>>>>);

struct Observer<B: Backend> {
    rule: Arc<SignalRule<B::Rule>>,
    /// Weak: an evicted trigger is removed when the next sample arrives.
    shaper: Weak<Shaper>,
}

impl<B: Backend> Default for SampleObservers<B> {
    fn default() -> Self {
        SampleObservers(OnceLock::new())
    }
}

impl<B: Backend> SampleObservers<B> {
    /// Adds a trigger.
    pub fn add(&self, rule: &Arc<SignalRule<B::Rule>>, shaper: &Arc<Shaper>) {
        let mut observers = self.0.get_or_init(Box::default).lock();
        if observers.len() == observers.capacity() {
            // No sample may arrive for long, while triggers come and are evicted.
            observers.retain(|observer| observer.shaper.strong_count() > 0);
            let live = observers.len();
            observers.reserve(live + 1);
        }
        observers.push(Observer {
            rule: rule.clone(),
            shaper: Arc::downgrade(shaper),
        });
    }

    /// Reports a sample to the triggers.
    pub fn observe(&self, measured: &Measured<B::Sample>) {
        let Some(observers) = self.0.get() else {
            return;
        };
        let now = Instant::now();
        observers.lock().retain(|Observer { rule, shaper }| {
            let Some(shaper) = shaper.upgrade() else {
                return false;
            };
            let (sample, at) = (&measured.sample, measured.at);
            let judged = match shaper.remembers_values() {
                true => rule.judge(sample, at, now),
                false => rule.activity(sample, at, now),
            };
            if let Ok(observation) = &judged {
                shaper.saw_value(observation.reading.value, at);
            }
            // Where a value is not known, the activity may be.
            let activity = judged.or_else(|_| rule.activity(sample, at, now));
            if activity.is_ok_and(|activity| activity.reading.active) {
                shaper.saw_work(at);
            }
            true
        });
    }
}
