//! Reads that take many round trips: scans, and counts of a stream's entries. They run beside the
//! batches, so that a batch ends with its short reads and the next one can start.

use std::pin::Pin;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use super::errors::{ReadError, rounded};
use crate::error::{Error, Kind, Result};

/// A read that completes its query by itself and ends by its own deadline. `Err` means that the
/// connection is lost.
pub type LongRead = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// The long reads of a connection. One batch at a time drives them all: the last that brought some.
/// They are dropped with the connection.
pub struct LongReads {
    running: Mutex<FuturesUnordered<LongRead>>,
    driver: watch::Sender<u64>,
}

impl Default for LongReads {
    fn default() -> Self {
        LongReads {
            running: Mutex::default(),
            driver: watch::Sender::new(0),
        }
    }
}

impl LongReads {
    /// Starts these reads and drives all that run, until they have ended or a later call takes over.
    pub async fn run(&self, new: Vec<LongRead>) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        self.driver.send_modify(|driver| *driver += 1);
        let mut driver = self.driver.subscribe();
        let mut running = self.running.lock().await;
        running.extend(new);
        loop {
            tokio::select! {
                _ = driver.changed() => return Ok(()),
                ended = running.next() => match ended {
                    Some(Ok(())) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
            }
        }
    }
}

/// Long reads of one connection that use the server at the same time; the others wait, so that short
/// reads do not.
const AT_ONCE: usize = 4;

/// Bounds the number of long reads that use the server.
pub struct Permits(Semaphore);

impl Default for Permits {
    fn default() -> Self {
        Permits(Semaphore::new(AT_ONCE))
    }
}

impl Permits {
    /// Waits until the server may be used.
    pub async fn acquire(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, ReadError> {
        let limit = deadline.saturating_duration_since(Instant::now());
        match timeout_at(deadline, self.0.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => unreachable!("the semaphore is never closed"),
            Err(_) => Err(ReadError::OfQuery(Error::new(
                Kind::TimedOut,
                format!(
                    "{AT_ONCE} other scans of this connection took more than {:?}",
                    rounded(limit)
                ),
                "Use fewer globs, or name the lists.",
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::time::sleep;

    use super::*;

    fn read(duration: u64, outcome: Result<()>) -> LongRead {
        Box::pin(async move {
            sleep(Duration::from_secs(duration)).await;
            outcome
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_free_as_soon_as_a_later_one_drives() {
        let reads = LongReads::default();
        let started = Instant::now();
        let first = async {
            reads.run(vec![read(10, Ok(()))]).await.unwrap();
            started.elapsed().as_secs()
        };
        let second = async {
            sleep(Duration::from_secs(1)).await;
            reads.run(vec![read(2, Ok(()))]).await.unwrap();
            started.elapsed().as_secs()
        };
        // The second waits for both.
        assert_eq!(tokio::join!(first, second), (1, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_reported_by_the_batch_that_drives() {
        let reads = LongReads::default();
        let lost = Error::new(Kind::Unreachable, "gone", "");
        let first = reads.run(vec![read(2, Err(lost.clone()))]);
        let second = async {
            sleep(Duration::from_secs(1)).await;
            reads.run(vec![read(9, Ok(()))]).await
        };
        assert_eq!(tokio::join!(first, second), (Ok(()), Err(lost)));
    }

    #[tokio::test(start_paused = true)]
    async fn reads_wait_for_a_permit_until_their_deadline() {
        let permits = Arc::new(Permits::default());
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(permits.acquire(deadline).await.unwrap());
        }
        let Err(ReadError::OfQuery(error)) = permits.acquire(deadline).await else {
            panic!("there is no permit left");
        };
        assert_eq!(error.kind(), Kind::TimedOut);
        held.pop();
        assert!(permits.acquire(deadline).await.is_ok());
    }
}
