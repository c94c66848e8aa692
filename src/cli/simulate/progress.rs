//! How far a simulation is, for whoever waits at a terminal.

use std::{
    cell::Cell,
    io::{IsTerminal, Write, stderr},
    time::Duration,
};

use tokio::time::Instant;

/// Nobody needs to know of what is done at once.
const FIRST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// A line on stderr, if that is a terminal and it takes long.
pub struct Bar<'a> {
    name: &'a str,
    whole: f64,
    next: Cell<Instant>,
    shown: Cell<bool>,
}

impl<'a> Bar<'a> {
    /// Of something that is done at `whole`, in whatever unit.
    pub fn new(name: &'a str, whole: f64) -> Self {
        Bar {
            name,
            whole,
            next: Cell::new(Instant::now() + FIRST),
            shown: Cell::new(false),
        }
    }

    /// So much of it is done.
    pub fn show(&self, done: f64) {
        let clock = Instant::now();
        if clock < self.next.get() || !stderr().is_terminal() {
            return;
        }
        self.next.set(clock + EVERY);
        self.shown.set(true);
        let part = done / self.whole * 100.0;
        // Of no matter if nobody can see it.
        let _ = write!(stderr(), "\r{}: {part:.0} %", self.name);
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if self.shown.get() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
