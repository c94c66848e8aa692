//! Which share of its requests the server refuses.
//!
//! A server whose limit others use up refuses a request now and then, however few are sent, so a
//! single refusal says little.

use std::time::Duration;

use tokio::time::Instant;

/// The responses since a time.
pub struct Responses {
    since: Instant,
    all: u32,
    refused: u32,
}

/// The share of refusals that does not matter: each refused request is sent again soon.
const TOLERATED: f64 = 0.1;
/// A share is of the responses of this time at least,
const WINDOW: Duration = Duration::from_secs(1);
/// and of so many.
const FEW: u32 = 10;

impl Responses {
    pub fn since(now: Instant) -> Self {
        Responses {
            since: now,
            all: 0,
            refused: 0,
        }
    }

    /// Counts a response. Returns the share of refusals if it is known and too large.
    pub fn record(&mut self, refused: bool, now: Instant) -> Option<f64> {
        self.all += 1;
        self.refused += u32::from(refused);
        let share = f64::from(self.refused) / f64::from(self.all);
        let is_over = now.saturating_duration_since(self.since) >= WINDOW && self.all >= FEW;
        // No need to wait for the end where most are refused.
        let is_plain = self.refused >= FEW && share > 0.5;
        if !is_over && !is_plain {
            return None;
        }
        *self = Responses::since(now);
        (share > TOLERATED).then_some(share)
    }
}
