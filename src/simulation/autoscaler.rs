//! KEDA's loop and the HPA for one ScaledObject, on a clock and with calls of their caller: the
//! simulation's, or those of a real scaler.

use std::time::Duration;

use super::{
    MetricTarget, STEP,
    hpa::{Hpa, HpaController, Milli, Scale},
    keda::{Keda, Observed, ScaledObject},
};
use crate::{
    error::{Error, Kind, Result},
    sampling::Reading,
};

/// Decides the replicas of one ScaledObject, as KEDA's loop and the HPA do together.
///
/// Time is a [`Duration`] since the creation of the ScaledObject, and never goes back. At a time that
/// is due for both, [`Self::poll`] comes before [`Self::sync`].
pub struct Autoscaler {
    targets: Vec<MetricTarget>,
    keda: Keda,
    hpa: Hpa,
    /// What the HPA's metrics led to last.
    wanted: Option<u32>,
    polls: Periodic,
    syncs: Periodic,
    /// KEDA's polls request the triggers even while the HPA does.
    needs_polls: bool,
}

impl Autoscaler {
    /// With the target of each trigger.
    ///
    /// An error of kind [`Kind::Invalid`] if KEDA would refuse the ScaledObject, if there is no
    /// trigger, or if a target is not above 0.
    pub fn new(
        scaled_object: ScaledObject,
        controller: HpaController,
        targets: Vec<MetricTarget>,
    ) -> Result<Self> {
        scaled_object.check()?;
        check_targets(&targets)?;
        let (min, max) = (scaled_object.hpa_min(), scaled_object.max_replica_count);
        Ok(Autoscaler {
            hpa: Hpa::new(min, max, scaled_object.behavior.clone(), controller),
            wanted: None,
            polls: Periodic::new(Duration::ZERO, scaled_object.polling_interval),
            syncs: Periodic::new(controller.first_sync, controller.sync_period),
            needs_polls: scaled_object.needs_polls(),
            keda: Keda::new(scaled_object, targets.len()),
            targets,
        })
    }

    /// Whether a poll or a sync is due.
    pub fn is_due(&self, now: Duration) -> bool {
        self.polls.next <= now || self.syncs.next <= now
    }

    /// The replicas that the metrics led to in the HPA's last sync, before windows, policies and
    /// bounds. `None`: it was off, or its metrics failed.
    pub fn wanted(&self) -> Option<u32> {
        self.wanted
    }

    /// KEDA's poll, if it is due: the replicas that KEDA sets itself, if any. `evaluate` calls every
    /// trigger, and is called only if KEDA would call them.
    pub fn poll(
        &mut self,
        now: Duration,
        scale: Scale,
        evaluate: impl FnOnce() -> Vec<Result<Reading>>,
    ) -> Option<u32> {
        let is_idle = !self.needs_polls && self.hpa.is_scaling_active();
        if !self.polls.is_due(now) || is_idle {
            return None;
        }
        let observed = observe(&mut self.keda, &self.targets, &evaluate(), scale);
        self.keda.request_scale(&observed, scale.replicas, now)
    }

    /// The HPA's sync, if it is due: the replicas that it sets, which may be those that there are.
    pub fn sync(
        &mut self,
        now: Duration,
        scale: Scale,
        evaluate: impl FnOnce() -> Vec<Result<Reading>>,
    ) -> Option<u32> {
        if !self.syncs.is_due(now) {
            return None;
        }
        let (keda, targets) = (&mut self.keda, &self.targets);
        let synced = self.hpa.sync(scale, now, || {
            let observed = observe(keda, targets, &evaluate(), scale);
            observed.iter().map(|observed| observed.metric).collect()
        });
        self.wanted = synced.wanted;
        Some(synced.replicas)
    }
}

/// There is a trigger, and every target is above 0.
pub(super) fn check_targets(targets: &[MetricTarget]) -> Result<()> {
    let invalid = |what: String, next| Err(Error::new(Kind::Invalid, what, next));
    if targets.is_empty() {
        return invalid("there is no trigger".to_owned(), "Add one.");
    }
    for target in targets {
        if Milli::of(target.number()) == Milli(0) {
            let what = format!("a target is {}", target.number());
            return invalid(what, "It must be above 0, and is rounded to thousandths.");
        }
    }
    Ok(())
}

fn observe(
    keda: &mut Keda,
    targets: &[MetricTarget],
    results: &[Result<Reading>],
    scale: Scale,
) -> Vec<Observed> {
    let each = targets.iter().zip(results).enumerate();
    let each = each.map(|(at, (target, result))| keda.observe(at, *target, result, scale));
    each.collect()
}

/// What happens at an interval.
pub(super) struct Periodic {
    next: Duration,
    interval: Duration,
}

impl Periodic {
    pub fn new(first: Duration, interval: Duration) -> Self {
        Periodic {
            next: first,
            interval: interval.max(STEP),
        }
    }

    /// Counts as done, if it is due. What is late by more than an interval is left out.
    pub fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.next <= now;
        while self.next <= now {
            self.next = self.next.saturating_add(self.interval);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_real_clock_may_skip_whole_intervals() {
        let mut polls = Periodic::new(Duration::ZERO, seconds(30));
        let due = [0, 29, 30, 100, 101, 119, 120].map(|now| polls.is_due(seconds(now)));
        assert_eq!(due, [true, false, true, true, false, false, true]);
    }

    #[test]
    fn from_zero_it_is_keda_and_above_the_hpa() {
        let targets = vec![MetricTarget::AverageValue(10.0)];
        let scaled_object = ScaledObject::default();
        let autoscaler = Autoscaler::new(scaled_object, HpaController::default(), targets);
        let mut autoscaler = autoscaler.unwrap();
        let backlog = |value| {
            move || {
                let active = value > 0.0;
                vec![Ok(Reading { value, active })]
            }
        };
        let scale = |replicas| Scale {
            replicas,
            ready_pods: replicas,
        };
        let none = scale(0);
        assert!(autoscaler.is_due(seconds(0)));
        assert_eq!(autoscaler.poll(seconds(0), none, backlog(0.0)), None);
        assert_eq!(autoscaler.sync(seconds(0), none, backlog(0.0)), Some(0));
        assert!(!autoscaler.is_due(seconds(14)));
        assert_eq!(autoscaler.poll(seconds(30), none, backlog(40.0)), Some(1));
        let synced = autoscaler.sync(seconds(30), scale(1), backlog(40.0));
        assert_eq!((synced, autoscaler.wanted()), (Some(4), Some(4)));
    }
}
