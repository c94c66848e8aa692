//! KEDA's calls: each trigger every 30 s by the operator and every 15 s by the HPA controller, spread
//! evenly, and each call to a replica by chance: KEDA's client takes them in turn, but the calls of all
//! triggers together, so that one trigger meets any of them.

use std::{sync::Arc, time::Duration};

use backlog_scaler::{metadata::TriggerRef, sampling::Engine};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// What a trigger is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Kafka,
    Temporal,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Redis, Kind::Kafka, Kind::Temporal];

    fn of(trigger: usize) -> Self {
        match trigger % 10 {
            0..7 => Kind::Redis,
            7..9 => Kind::Kafka,
            _ => Kind::Temporal,
        }
    }
}

/// Periods, in milliseconds.
const OPERATOR: usize = 30_000;
const HPA: usize = 15_000;

/// One poll: of which trigger, and by whom.
#[derive(Clone, Copy)]
struct Poll {
    trigger: u32,
    /// The operator's: IsActive as well.
    activity: bool,
}

/// The calls from a time on.
pub struct Calls {
    triggers: Vec<TriggerRef>,
    engines: Vec<Arc<Engine>>,
    /// The polls of each millisecond of the operator's period.
    polls: Vec<Vec<Poll>>,
    start: Instant,
    passed: Duration,
    chance: u64,
}

/// What was called, and by kind how many polls there were and found a fresh sample.
#[derive(Default)]
pub struct Made {
    pub calls: usize,
    pub polls: [usize; 3],
    pub fresh: [usize; 3],
}

impl Calls {
    pub fn new(triggers: usize, engines: Vec<Arc<Engine>>) -> Self {
        let mut polls = vec![Vec::new(); OPERATOR];
        for trigger in 0..triggers {
            let poll = |activity| Poll {
                trigger: trigger as u32,
                activity,
            };
            // Multiples of primes: spread evenly, and in no order.
            polls[trigger * 7919 % OPERATOR].push(poll(true));
            let hpa = trigger * 104_729 % HPA;
            polls[hpa].push(poll(false));
            polls[hpa + HPA].push(poll(false));
        }
        Calls {
            triggers: (0..triggers).map(reference).collect(),
            engines,
            polls,
            start: Instant::now(),
            passed: Duration::ZERO,
            chance: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// Makes the calls of the next so many seconds.
    pub async fn run(&mut self, length: Duration) -> Made {
        let mut made = Made::default();
        let mut waiting = JoinSet::new();
        let until = self.passed + length;
        while self.passed < until {
            sleep_until(self.start + self.passed).await;
            let now = self.passed.as_millis() as usize % OPERATOR;
            for poll in std::mem::take(&mut self.polls[now]).iter() {
                self.poll(*poll, &mut made, &mut waiting);
                self.polls[now].push(*poll);
            }
            while let Some(ended) = waiting.try_join_next() {
                ended.expect("no panic");
            }
            self.passed += Duration::from_millis(1);
        }
        while let Some(ended) = waiting.join_next().await {
            ended.expect("no panic");
        }
        made
    }

    /// A number by chance (xorshift), the same in each run.
    fn next_chance(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance >> 16
    }

    fn poll(&mut self, poll: Poll, made: &mut Made, waiting: &mut JoinSet<()>) {
        let kind = Kind::of(poll.trigger as usize);
        for _ in 0..1 + usize::from(poll.activity) {
            let replica = self.next_chance() as usize % self.engines.len();
            let engine = &self.engines[replica];
            let reference = self.triggers[poll.trigger as usize].clone();
            let trigger = engine.trigger(reference).expect("is valid");
            made.calls += 1;
            made.polls[kind as usize] += 1;
            let evaluation = trigger.last();
            if evaluation.is_some_and(|last| last.age < trigger.freshness.fresh_for) {
                made.fresh[kind as usize] += 1;
            }
            waiting.spawn(async move {
                trigger.evaluate().await.expect("the queue is read");
            });
        }
    }
}

fn reference(trigger: usize) -> TriggerRef {
    let backend = match Kind::of(trigger) {
        Kind::Redis => "redis",
        Kind::Kafka => "kafka",
        Kind::Temporal => "temporal",
    };
    let queue = format!("jobs-{trigger}");
    let metadata = [
        ("scalerAddress", "backlog-scaler.keda:9090"),
        ("backend", backend),
        ("address", "queues.shop.svc:6379"),
        ("queue", &queue),
    ];
    TriggerRef {
        namespace: format!("team-{}", trigger % 50),
        name: format!("worker-{trigger}"),
        metadata: metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    }
}
