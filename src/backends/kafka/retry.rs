//! How long and how often something that has moved is located again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The part of the remaining time that one attempt may take, so that another is left when a broker
/// does not respond.
const ONE_ATTEMPT: f64 = 0.5;
/// The first pause, doubled each time: leaders and coordinators move within tens of milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The deadline of one attempt of those that end by `deadline`.
pub fn attempt_deadline(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now).mul_f64(ONE_ATTEMPT)
}

/// Attempts until a deadline, with growing pauses.
#[derive(Clone, Copy)]
pub struct Retry {
    pub deadline: Instant,
    pause: Duration,
}

impl Retry {
    pub fn until(deadline: Instant) -> Self {
        Retry {
            deadline,
            pause: FIRST_PAUSE,
        }
    }

    /// The deadline of the next attempt.
    pub fn attempt_deadline(&self) -> Instant {
        attempt_deadline(self.deadline)
    }

    /// Whether there is time for a pause and another attempt.
    pub fn has_time(&self) -> bool {
        self.deadline.saturating_duration_since(Instant::now()) > self.pause * 3
    }

    /// Waits before the next attempt; returns the retry for that.
    pub async fn pause(self) -> Self {
        sleep(self.pause).await;
        Retry {
            pause: self.pause * 2,
            ..self
        }
    }
}
