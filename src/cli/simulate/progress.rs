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

/// Characters of a bar.
const WIDTH: usize = 20;
/// And of a name: a line that is longer than the terminal is wide cannot be written over.
const NAME: usize = 40;

/// A line on stderr, if that is a terminal and it takes long.
pub struct Bar<'a> {
    name: &'a str,
    whole: f64,
    started: Instant,
    next: Cell<Instant>,
    shown: Cell<bool>,
}

impl<'a> Bar<'a> {
    /// Of something that is done at `whole`, in whatever unit.
    pub fn new(name: &'a str, whole: f64) -> Self {
        let started = Instant::now();
        Bar {
            name,
            whole,
            started,
            next: Cell::new(started + FIRST),
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
        let line = line(self.name, done / self.whole, clock - self.started);
        // Of no matter if nobody can see it.
        let _ = write!(stderr(), "\r{line}\x1b[K");
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if self.shown.get() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// `shop/worker: [########............] 41 %, 2 s left`, as if the rest were as fast.
fn line(name: &str, part: f64, elapsed: Duration) -> String {
    let part = part.clamp(0.0, 1.0);
    let full = (part * WIDTH as f64) as usize;
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(WIDTH - full));
    let name = match name.chars().count() {
        0..=NAME => name.to_owned(),
        // The end has the varied values.
        count => format!(
            "…{}",
            name.chars().skip(count - NAME + 1).collect::<String>()
        ),
    };
    let percent = (part * 100.0).floor();
    let rest = (part > 0.0).then(|| elapsed.as_secs_f64() * (1.0 - part) / part);
    let left = rest.map_or(String::new(), |seconds| {
        format!(", {} left", rounded(seconds))
    });
    format!("{name}: [{bar}] {percent} %{left}")
}

/// As precise as a guess is.
fn rounded(seconds: f64) -> String {
    match seconds.ceil() {
        seconds if seconds < 100.0 => format!("{seconds} s"),
        seconds if seconds < 6000.0 => format!("{} min", (seconds / 60.0).round()),
        seconds => format!("{} h", (seconds / 3600.0).round()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_bar_the_part_and_the_time_left() {
        let of = |part, seconds: f64| line("shop/worker", part, Duration::from_secs_f64(seconds));
        for (found, expected) in [
            (
                of(0.41, 1.3),
                "shop/worker: [########............] 41 %, 2 s left",
            ),
            (of(0.0, 1.0), "shop/worker: [....................] 0 %"),
            (
                of(0.5, 600.0),
                "shop/worker: [##########..........] 50 %, 10 min left",
            ),
            (
                of(0.1, 2000.0),
                "shop/worker: [##..................] 10 %, 5 h left",
            ),
            (
                of(0.999, 1.0),
                "shop/worker: [###################.] 99 %, 1 s left",
            ),
            (
                of(1.0, 5.0),
                "shop/worker: [####################] 100 %, 0 s left",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_long_name_ends_with_what_differs() {
        let name = format!("{}listLength=20", "x".repeat(100));
        let line = line(&name, 0.5, Duration::from_secs(1));
        let (name, _) = line.split_once(": [").unwrap();
        assert_eq!(name.chars().count(), NAME);
        assert!(name.starts_with("…x") && name.ends_with("xlistLength=20"));
    }
}
