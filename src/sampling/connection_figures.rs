//! What one connection has done and how it is, for people. Metrics are by name, which connections may
//! share.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{error::Error, telemetry::Budget};

/// Counts of one connection since it was first requested.
pub(super) struct Counts {
    batches: AtomicU64,
    queries: AtomicU64,
    /// The time of all batches.
    micros: AtomicU64,
    look_ahead: AtomicU64,
    look_ahead_hits: AtomicU64,
    connects: AtomicU64,
    last_batch: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    health: Health,
    since: Instant,
    last_error: Option<(Error, Instant)>,
    budget: Option<Budget>,
}

/// Whether a connection is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing was read yet, or it is being opened for the first time.
    Unused,
    /// It serves.
    Up,
    /// It cannot be opened, or broke, with this error.
    Lost(Error),
}

/// What one connection has done and how it is.
#[derive(Clone, Debug)]
pub struct ConnectionFigures {
    pub health: Health,
    /// Since when it has been up or not.
    pub since: Instant,
    /// The last error, also after it was opened again.
    pub last_error: Option<(Error, Instant)>,
    /// Reads, of one or many queries each.
    pub batches: u64,
    /// Queries of all batches.
    pub queries: u64,
    /// Queries of the last batch.
    pub last_batch: usize,
    /// What a batch takes on average.
    pub batch_time: Option<Duration>,
    /// Queries that a batch took along before they were requested.
    pub look_ahead: u64,
    /// Those of them that were requested while they were fresh.
    pub look_ahead_hits: u64,
    /// How often it was opened after the first time.
    pub reconnects: u64,
    /// What the backend allows itself, if it limits its own rate.
    pub budget: Option<Budget>,
}

impl Default for Counts {
    fn default() -> Self {
        Counts {
            batches: AtomicU64::default(),
            queries: AtomicU64::default(),
            micros: AtomicU64::default(),
            look_ahead: AtomicU64::default(),
            look_ahead_hits: AtomicU64::default(),
            connects: AtomicU64::default(),
            last_batch: AtomicUsize::default(),
            state: Mutex::new(State {
                health: Health::Unused,
                since: Instant::now(),
                last_error: None,
                budget: None,
            }),
        }
    }
}

impl Counts {
    /// A batch has ended.
    pub fn batch(&self, size: usize, elapsed: Duration) {
        self.batches.fetch_add(1, Relaxed);
        self.queries.fetch_add(size as u64, Relaxed);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
        self.last_batch.store(size, Relaxed);
    }

    /// A batch takes along queries that are expected.
    pub fn looked_ahead(&self, queries: usize) {
        self.look_ahead.fetch_add(queries as u64, Relaxed);
    }

    /// One of them was requested while it was fresh.
    pub fn look_ahead_hit(&self) {
        self.look_ahead_hits.fetch_add(1, Relaxed);
    }

    /// The connection was opened.
    pub fn opened(&self) {
        self.connects.fetch_add(1, Relaxed);
        self.state.lock().set(Health::Up);
    }

    /// The connection cannot be opened, or broke.
    pub fn lost(&self, error: &Error) {
        let mut state = self.state.lock();
        state.last_error = Some((error.clone(), Instant::now()));
        state.set(Health::Lost(error.clone()));
    }

    /// What the backend allows itself from now on.
    pub fn set_budget(&self, budget: Option<Budget>) {
        self.state.lock().budget = budget;
    }

    /// All figures.
    pub fn figures(&self) -> ConnectionFigures {
        let state = self.state.lock();
        let batches = self.batches.load(Relaxed);
        let micros = self.micros.load(Relaxed).checked_div(batches);
        ConnectionFigures {
            health: state.health.clone(),
            since: state.since,
            last_error: state.last_error.clone(),
            batches,
            queries: self.queries.load(Relaxed),
            last_batch: self.last_batch.load(Relaxed),
            batch_time: micros.map(Duration::from_micros),
            look_ahead: self.look_ahead.load(Relaxed),
            look_ahead_hits: self.look_ahead_hits.load(Relaxed),
            reconnects: self.connects.load(Relaxed).saturating_sub(1),
            budget: state.budget,
        }
    }
}

impl State {
    fn set(&mut self, health: Health) {
        if std::mem::discriminant(&self.health) != std::mem::discriminant(&health) {
            self.since = Instant::now();
        }
        self.health = health;
    }
}
