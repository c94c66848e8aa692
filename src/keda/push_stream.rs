//! The stream of a push trigger: reports whether the trigger is active, as soon as that changes.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    error::Result,
    metadata::TriggerRef,
    sampling::{Engine, Subscription, Trigger},
};

/// A true is repeated this often: KEDA loses one that comes before it knows the metric's name.
const REPEAT_ACTIVE: Duration = Duration::from_secs(10);

/// A push trigger's stream. Sleeps until the engine has a change for it; its own timer is one of
/// seconds.
pub struct PushStream {
    engine: Arc<Engine>,
    request: TriggerRef,
    trigger: Arc<Trigger>,
    subscription: Subscription,
    /// What was sent last, and when.
    sent: Option<(bool, Instant)>,
    next_check: Instant,
}

impl PushStream {
    /// Subscribes to the trigger of a request.
    pub async fn open(engine: Arc<Engine>, request: TriggerRef) -> Result<Self> {
        let trigger = engine.renew(&request).await?;
        Ok(PushStream {
            subscription: trigger.subscribe(),
            next_check: Instant::now() + engine.renew_every(),
            engine,
            request,
            trigger,
            sent: None,
        })
    }

    /// Waits until there is something to report: the first state, a change, or an old true.
    ///
    /// While the backend cannot be read the state is unknown and nothing is reported; the engine
    /// logs it. An error if the trigger has no place among the others any more.
    pub async fn next_state(&mut self) -> Result<bool> {
        loop {
            tokio::select! {
                () = self.subscription.changed() => {}
                () = sleep_until(self.next_check) => self.check().await?,
            }
            if let Some(active) = self.due() {
                let now = Instant::now();
                self.sent = Some((active, now));
                self.next_check = self.next_check.min(now + REPEAT_ACTIVE);
                return Ok(active);
            }
        }
    }

    /// The state, if it is to be reported. Evaluated anew, as time alone may change it.
    fn due(&self) -> Option<bool> {
        let active = self.trigger.current()?.ok()?.reading.active;
        let due = self
            .sent
            .is_none_or(|(sent, at)| sent != active || (active && at.elapsed() >= REPEAT_ACTIVE));
        due.then_some(active)
    }

    /// Has the trigger count as in use. It may have been evicted and parsed again.
    async fn check(&mut self) -> Result<()> {
        let trigger = self.engine.renew(&self.request).await?;
        if !Arc::ptr_eq(&trigger, &self.trigger) {
            self.subscription = trigger.subscribe();
            self.trigger = trigger;
        }
        let now = Instant::now();
        self.next_check = now + self.engine.renew_every();
        if let Some((true, at)) = self.sent
            && at + REPEAT_ACTIVE > now
        {
            self.next_check = self.next_check.min(at + REPEAT_ACTIVE);
        }
        Ok(())
    }
}
