//! The engine's clock has no date: its times are shown by the date of now.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Now, by both clocks.
#[derive(Clone, Copy)]
pub struct Clock {
    pub now: Instant,
    date: SystemTime,
}

impl Clock {
    pub fn now() -> Self {
        Clock {
            now: Instant::now(),
            date: SystemTime::now(),
        }
    }

    /// A time in the past, in the format of RFC 3339, to the second.
    pub fn text(&self, at: Instant) -> String {
        let half = Duration::from_millis(500);
        // Rounded, so that equal times do not change from one second to another between two pages.
        let date = self
            .date
            .checked_sub(self.ago(at))
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let date = date.checked_add(half).unwrap_or(date);
        humantime::format_rfc3339_seconds(date).to_string()
    }

    /// So long before now, in the same format, to the millisecond.
    pub fn text_before(&self, age: Duration) -> String {
        let date = self.date.checked_sub(age);
        let date = date.unwrap_or(SystemTime::UNIX_EPOCH);
        humantime::format_rfc3339_millis(date).to_string()
    }

    /// How long ago a time was.
    pub fn ago(&self, at: Instant) -> Duration {
        self.now.saturating_duration_since(at)
    }
}
