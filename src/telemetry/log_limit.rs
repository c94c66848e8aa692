//! Log lines that callers can cause at will: a few at once, then counted and summarised.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lines that are written in each interval.
const LINES: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(60);

/// Lets through some lines of one kind in each minute.
#[derive(Default)]
pub struct LogLimit(Mutex<Window>);

#[derive(Default)]
struct Window {
    started: Option<Instant>,
    written: u32,
    suppressed: u64,
}

impl LogLimit {
    /// Writes a line, unless there were too many lately. `write` gets the number of lines that were
    /// left out since the last one.
    pub fn warn(&self, write: impl FnOnce(u64)) {
        let suppressed = {
            let mut window = self.0.lock();
            let over = |started: Instant| started.elapsed() >= INTERVAL;
            if window.started.is_none_or(over) {
                window.started = Some(Instant::now());
                window.written = 0;
            }
            if window.written == LINES {
                window.suppressed += 1;
                return;
            }
            window.written += 1;
            std::mem::take(&mut window.suppressed)
        };
        write(suppressed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_reported_with_the_next_line() {
        let limit = LogLimit::default();
        let mut lines = Vec::new();
        for _ in 0..1000 {
            limit.warn(|suppressed| lines.push(suppressed));
        }
        assert_eq!(lines, vec![0; 20]);
        tokio::time::sleep(INTERVAL).await;
        limit.warn(|suppressed| lines.push(suppressed));
        assert_eq!(lines.last(), Some(&980));
    }
}
