//! Answers that several queries share: one call for all who ask at about the same time.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Result;

type Cell<V> = Arc<tokio::sync::Mutex<Option<(Instant, V)>>>;

/// Answers by what was asked, each kept for a short while.
pub struct Shared<K, V> {
    keep: Duration,
    cells: Mutex<HashMap<K, Cell<V>>>,
}

/// Beyond this many, what is no longer fresh is dropped.
const KEPT: usize = 1000;

impl<K: Clone + Eq + Hash, V: Clone> Shared<K, V> {
    /// `keep`: how old an answer may be for another query.
    pub fn new(keep: Duration) -> Self {
        Shared {
            keep,
            cells: Mutex::default(),
        }
    }

    /// A fresh answer, or the one that is under way, or else a new one by `read`.
    pub async fn get<E>(&self, key: &K, read: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        let cell = self.cell(key);
        // Whoever waits here finds the answer of the one before.
        let mut cell = cell.lock().await;
        if let Some((at, value)) = &*cell
            && at.elapsed() < self.keep
        {
            return Ok(value.clone());
        }
        let value = read.await?;
        *cell = Some((Instant::now(), value.clone()));
        Ok(value)
    }

    fn cell(&self, key: &K) -> Cell<V> {
        let mut cells = self.cells.lock();
        if cells.len() >= KEPT {
            cells.retain(|_, cell| match cell.try_lock() {
                Ok(cell) => cell
                    .as_ref()
                    .is_some_and(|(at, _)| at.elapsed() < self.keep),
                // Somebody reads it now.
                Err(_) => true,
            });
        }
        cells.entry(key.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_call_serves_all_who_ask_meanwhile() {
        let shared = Shared::new(Duration::from_secs(2));
        let calls = AtomicU32::new(0);
        let read = || async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<u32, Infallible>(calls.fetch_add(1, Ordering::Relaxed))
        };
        let all = futures_util::future::join_all((0..10).map(|_| shared.get(&"v1", read()))).await;
        assert!(all.iter().all(|answer| *answer == Ok(0)));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(shared.get(&"v1", read()).await, Ok(1));
        assert_eq!(shared.get(&"v2", read()).await, Ok(2));
    }
}
