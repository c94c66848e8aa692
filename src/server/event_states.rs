//! Which states of triggers events were written for, and how many may be: one for each change, and few
//! where changes are many. What is limited is not lost: the next call finds it still to be reported.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::kubernetes::Standing;

/// Objects that are remembered (`maxLruCacheEntries` in client-go's `tools/record/events_cache.go`).
const OBJECTS: NonZeroUsize = NonZeroUsize::new(4096).expect("is not zero");
/// Triggers of one object that are remembered while they are not well.
const TRIGGERS: usize = 100;

/// Of one object: so many at once, then one in each five minutes (`defaultSpamBurst` and
/// `defaultSpamQPS`, in the same file).
const OF_OBJECT: Limit = Limit {
    burst: 25.0,
    every: Duration::from_secs(300),
};
/// Of all objects: KEDA's own limits for its requests (`--kube-api-burst`, `--kube-api-qps`).
const OF_ALL: Limit = Limit {
    burst: 30.0,
    every: Duration::from_millis(50),
};

/// What is wrong with a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In CamelCase, for the event.
    pub reason: &'static str,
    /// Equal for texts that differ in numbers alone.
    pub class: u64,
}

/// What is to be done about a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is the one that was reported.
    None,
    /// It is to be reported.
    Trouble,
    /// That the trigger is well is to be reported, after this.
    Recovery(&'static str),
    /// It is to be reported, but not now. `is_new`: this was not said yet.
    Limited { is_new: bool },
}

/// The states that were reported.
pub struct States(Mutex<Inner>);

struct Inner {
    objects: LruCache<Arc<str>, Object>,
    all: Bucket,
}

struct Object {
    bucket: Bucket,
    /// The triggers that are not well, by their identity.
    troubled: Vec<(u64, Trouble)>,
    is_limited: bool,
}

impl States {
    pub fn new() -> Self {
        States(Mutex::new(Inner {
            objects: LruCache::new(OBJECTS),
            all: Bucket::full(OF_ALL),
        }))
    }

    /// The state of a trigger after a call, without trouble or with it.
    pub fn change(&self, standing: &Standing, trouble: Option<Trouble>) -> Change {
        let mut inner = self.0.lock();
        let Inner { objects, all } = &mut *inner;
        if trouble.is_none() && !objects.contains(&standing.uid) {
            return Change::None;
        }
        let object = objects.get_or_insert_mut(standing.uid.clone(), Object::new);
        let change = match trouble {
            Some(trouble) if object.trouble_of(standing.trigger) == Some(trouble) => Change::None,
            Some(_) => Change::Trouble,
            None => match object.over(standing) {
                Some(before) => Change::Recovery(before.reason),
                None => Change::None,
            },
        };
        if change == Change::None {
            return change;
        }
        if !Bucket::take_both(&mut object.bucket, all) {
            let is_new = !std::mem::replace(&mut object.is_limited, true);
            return Change::Limited { is_new };
        }
        object.is_limited = false;
        object.set(standing, trouble);
        change
    }

    /// What was reported of a trigger was not so.
    pub fn forget(&self, standing: &Standing) {
        if let Some(object) = self.0.lock().objects.peek_mut(&standing.uid) {
            object
                .troubled
                .retain(|(trigger, _)| *trigger != standing.trigger);
        }
    }
}

impl Object {
    fn new() -> Self {
        Object {
            bucket: Bucket::full(OF_OBJECT),
            troubled: Vec::new(),
            is_limited: false,
        }
    }

    fn trouble_of(&self, trigger: u64) -> Option<Trouble> {
        let mut troubled = self.troubled.iter();
        troubled
            .find(|(of, _)| *of == trigger)
            .map(|(_, trouble)| *trouble)
    }

    /// The trouble that is over with a trigger that is well: its own, or that of one that was replaced.
    fn over(&self, standing: &Standing) -> Option<Trouble> {
        let own = self.trouble_of(standing.trigger);
        let replaced = || {
            self.troubled
                .iter()
                .find(|(of, _)| !standing.triggers.contains(of))
        };
        own.or_else(|| replaced().map(|(_, trouble)| *trouble))
    }

    fn set(&mut self, standing: &Standing, trouble: Option<Trouble>) {
        let before = standing.trigger;
        self.troubled.retain(|(of, _)| *of != before);
        match trouble {
            Some(trouble) => {
                if self.troubled.len() >= TRIGGERS {
                    self.troubled.remove(0);
                }
                self.troubled.push((standing.trigger, trouble));
            }
            None => self
                .troubled
                .retain(|(of, _)| standing.triggers.contains(of)),
        }
    }
}

/// How many tokens a bucket holds, and when one is added.
#[derive(Clone, Copy)]
struct Limit {
    burst: f64,
    every: Duration,
}

struct Bucket {
    limit: Limit,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(limit: Limit) -> Self {
        Bucket {
            limit,
            tokens: limit.burst,
            at: Instant::now(),
        }
    }

    /// Takes a token from each, or from none.
    fn take_both(one: &mut Bucket, other: &mut Bucket) -> bool {
        one.fill();
        other.fill();
        let may = one.tokens >= 1.0 && other.tokens >= 1.0;
        if may {
            one.tokens -= 1.0;
            other.tokens -= 1.0;
        }
        may
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let more = (now - self.at).div_duration_f64(self.limit.every);
        self.tokens = (self.tokens + more).min(self.limit.burst);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::{ObjectId, Resource};

    fn standing(uid: &str, trigger: u64, triggers: &[u64]) -> Standing {
        Standing {
            object: ObjectId::new(Resource::ScaledObjects, Some("shop"), "worker").unwrap(),
            uid: uid.into(),
            index: 0,
            trigger,
            triggers: triggers.to_vec(),
            has_environment: false,
        }
    }

    const REFUSED: Option<Trouble> = Some(Trouble {
        reason: "TriggerRefused",
        class: 1,
    });
    const UNREACHABLE: Option<Trouble> = Some(Trouble {
        reason: "BackendUnreachable",
        class: 2,
    });

    #[tokio::test(start_paused = true)]
    async fn each_change_is_reported_once() {
        let states = States::new();
        let (one, other) = (standing("a", 1, &[1, 2]), standing("a", 2, &[1, 2]));
        for (given, of, trouble, then) in [
            ("well from the beginning", &one, None, Change::None),
            ("refused", &one, REFUSED, Change::Trouble),
            ("still refused", &one, REFUSED, Change::None),
            ("another trigger", &other, REFUSED, Change::Trouble),
            ("another trouble", &one, UNREACHABLE, Change::Trouble),
            ("well", &one, None, Change::Recovery("BackendUnreachable")),
            ("still well", &one, None, Change::None),
            (
                "the other one",
                &other,
                None,
                Change::Recovery("TriggerRefused"),
            ),
        ] {
            assert_eq!(states.change(of, trouble), then, "{given}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trigger_that_replaces_a_refused_one_reports_that_it_is_well() {
        let states = States::new();
        states.change(&standing("a", 1, &[1]), REFUSED);
        let corrected = standing("a", 2, &[2]);
        let recovery = Change::Recovery("TriggerRefused");
        assert_eq!(states.change(&corrected, None), recovery);
        assert_eq!(states.change(&corrected, None), Change::None);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_to_and_fro_are_few_and_the_last_one_is_reported_in_the_end() {
        let states = States::new();
        let one = standing("a", 1, &[1]);
        let (mut reported, mut limited) = (0, 0);
        for second in 0..3600 {
            let trouble = UNREACHABLE.filter(|_| second % 2 == 0);
            match states.change(&one, trouble) {
                Change::Trouble | Change::Recovery(_) => reported += 1,
                Change::Limited { is_new: true } => limited += 1,
                Change::Limited { is_new: false } | Change::None => {}
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // The twelfth comes with the end of the hour.
        assert_eq!(reported, 25 + 11, "a burst, then one in five minutes");
        assert!((1..=13).contains(&limited), "{limited}");
        tokio::time::advance(Duration::from_secs(300)).await;
        let trouble = states.change(&one, UNREACHABLE);
        let well = states.change(&one, None);
        assert!(
            trouble != well,
            "one of them is news: {trouble:?}, {well:?}"
        );
        assert_eq!(
            states.change(&standing("b", 1, &[1]), REFUSED),
            Change::Trouble
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_all_is_reported_little_by_little() {
        let states = States::new();
        let all: Vec<_> = (0..1000)
            .map(|i| standing(&i.to_string(), 1, &[1]))
            .collect();
        let report = || {
            let changes = all.iter().map(|one| states.change(one, UNREACHABLE));
            changes.filter(|change| *change == Change::Trouble).count()
        };
        assert_eq!(report(), 30);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(report(), 20);
        let mut seconds = 1;
        while report() > 0 {
            tokio::time::advance(Duration::from_secs(1)).await;
            seconds += 1;
        }
        assert!(seconds <= 60, "{seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let states = States::new();
        for trigger in 0..1000 {
            states.change(&standing("a", trigger, &[trigger]), REFUSED);
            tokio::time::advance(OF_OBJECT.every).await;
        }
        let inner = states.0.lock();
        assert_eq!(inner.objects.peek("a").unwrap().troubled.len(), TRIGGERS);
    }
}
