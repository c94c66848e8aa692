//! How long to look for what has moved.

use std::time::Duration;

use tokio::time::Instant;

/// The part of the time that is left that one try may take.
const ONE_TRY: f64 = 0.6;

/// How often what has moved is looked for: the first pause doubles until the time is up.
#[derive(Clone, Copy)]
pub struct Patience {
    pub deadline: Instant,
    pause: Duration,
}

impl Patience {
    pub fn until(deadline: Instant) -> Self {
        Patience {
            deadline,
            pause: Duration::from_millis(50),
        }
    }

    /// How long one try may take, so that another is left when nobody answers.
    pub fn one_try(&self) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Instant::now() + left.mul_f64(ONE_TRY)
    }

    /// Whether there is time for another try.
    pub fn has_time(&self) -> bool {
        self.deadline.saturating_duration_since(Instant::now()) > self.pause * 3
    }

    /// Waits before the next try; returns the patience that is left for it.
    pub async fn wait(self) -> Self {
        tokio::time::sleep(self.pause).await;
        Patience {
            pause: self.pause * 2,
            ..self
        }
    }
}
