//! Responses that several queries share for a short while: one request for all of them.
//!
//! Not moka: its clock cannot be paused in tests, and it brings a dozen crates for these lines.

use std::{hash::Hash, num::NonZeroUsize, sync::Arc, time::Duration};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A bounded map of values that expire. The least recently used is evicted first.
pub struct TtlCache<K: Eq + Hash, V, E> {
    ttl: Duration,
    cells: Mutex<LruCache<K, Cell<V, E>>>,
}

type Cell<V, E> = Arc<CellState<V, E>>;

struct CellState<V, E> {
    value: Mutex<Option<(Instant, V)>>,
    /// Held by the one request that is in flight.
    read: tokio::sync::Mutex<LastRead<E>>,
}

/// The outcome of the last request, for those who waited for it.
struct LastRead<E> {
    ended: Instant,
    error: Option<E>,
}

impl<V: Clone, E> CellState<V, E> {
    fn fresh(&self, ttl: Duration) -> Option<V> {
        let value = self.value.lock();
        let (at, value) = value.as_ref()?;
        (at.elapsed() < ttl).then(|| value.clone())
    }

    fn set(&self, value: V) {
        *self.value.lock() = Some((Instant::now(), value));
    }
}

impl<K: Clone + Eq + Hash, V: Clone, E: Clone> TtlCache<K, V, E> {
    /// A value is used for `ttl`; at most `capacity` keys are kept.
    pub fn new(ttl: Duration, capacity: NonZeroUsize) -> Self {
        // Grows as keys come, so that an empty cache costs nothing.
        let mut cells = LruCache::unbounded();
        cells.resize(capacity);
        TtlCache {
            ttl,
            cells: Mutex::new(cells),
        }
    }

    /// The value, if it is fresh.
    pub fn get(&self, key: &K) -> Option<V> {
        self.cells.lock().get(key)?.fresh(self.ttl)
    }

    /// The fresh value, or the outcome of the request that is in flight, or else of a new one by
    /// `read`. Errors go to the callers that waited for them, and are not kept.
    pub async fn get_or_read(
        &self,
        key: &K,
        read: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let cell = self.cell(key);
        if let Some(value) = cell.fresh(self.ttl) {
            return Ok(value);
        }
        let started = Instant::now();
        let waited = cell.read.try_lock().is_err();
        let mut last = cell.read.lock().await;
        if let Some(value) = cell.fresh(self.ttl) {
            return Ok(value);
        }
        if waited
            && last.ended >= started
            && let Some(error) = &last.error
        {
            return Err(error.clone());
        }
        let outcome = read.await;
        last.ended = Instant::now();
        last.error = outcome.as_ref().err().cloned();
        if let Ok(value) = &outcome {
            cell.set(value.clone());
        }
        outcome
    }

    /// Stores a value that was read by other means.
    pub fn insert(&self, key: &K, value: V) {
        self.cell(key).set(value);
    }

    /// Drops a value that turned out to be wrong.
    pub fn remove(&self, key: &K) {
        self.cells.lock().pop(key);
    }

    fn cell(&self, key: &K) -> Cell<V, E> {
        let mut cells = self.cells.lock();
        let new = || {
            Arc::new(CellState {
                value: Mutex::new(None),
                read: tokio::sync::Mutex::new(LastRead {
                    ended: Instant::now(),
                    error: None,
                }),
            })
        };
        cells.get_or_insert(key.clone(), new).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    const TTL: Duration = Duration::from_secs(2);

    fn cache(capacity: usize) -> TtlCache<&'static str, u32, u32> {
        TtlCache::new(TTL, NonZeroUsize::new(capacity).expect("is not zero"))
    }

    /// Counts requests, each of which takes 50 ms.
    async fn count(requests: &AtomicU32) -> u32 {
        sleep(Duration::from_millis(50)).await;
        requests.fetch_add(1, Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_serves_all_callers_until_its_value_expires() {
        let (cache, requests) = (cache(10), AtomicU32::new(0));
        let read = || async { Ok(count(&requests).await) };
        let all = join_all((0..10).map(|_| cache.get_or_read(&"v1", read()))).await;
        assert!(all.iter().all(|value| *value == Ok(0)));
        assert_eq!(cache.get(&"v1"), Some(0));
        sleep(Duration::from_secs(3)).await;
        assert_eq!(cache.get(&"v1"), None);
        assert_eq!(cache.get_or_read(&"v1", read()).await, Ok(1));
        assert_eq!(cache.get_or_read(&"v2", read()).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_goes_to_all_who_waited_and_the_next_caller_tries_again() {
        let (cache, requests) = (cache(10), AtomicU32::new(0));
        let fail = || async { Err(count(&requests).await) };
        let all = join_all((0..10).map(|_| cache.get_or_read(&"v1", fail()))).await;
        assert!(all.iter().all(|value| *value == Err(0)));
        assert_eq!(cache.get_or_read(&"v1", fail()).await, Err(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_is_cancelled_leaves_the_request_to_the_next() {
        let (cache, requests) = (cache(10), AtomicU32::new(0));
        let read = || async { Ok(count(&requests).await) };
        let first =
            tokio::time::timeout(Duration::from_millis(10), cache.get_or_read(&"v1", read()));
        let (first, second) = tokio::join!(first, cache.get_or_read(&"v1", read()));
        assert!(first.is_err());
        assert_eq!(second, Ok(0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_keys_is_bounded_and_a_key_can_be_dropped() {
        let cache = cache(2);
        for (number, key) in ["a", "b", "c"].into_iter().enumerate() {
            cache.insert(&key, number as u32);
        }
        assert_eq!((cache.get(&"a"), cache.get(&"c")), (None, Some(2)));
        cache.remove(&"c");
        assert_eq!(cache.get(&"c"), None);
    }
}
