//! Parsed triggers, kept while they are in use, and the ones that were refused.

use std::{
    collections::{BTreeMap, HashMap, hash_map::RandomState},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{trigger::Trigger, trigger_key::TriggerKey};
use crate::{
    error::{Error, Kind, Result},
    metadata::TriggerRef,
};

/// What bounds the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheLimits {
    pub triggers: NonZeroUsize,
    pub triggers_per_namespace: usize,
    /// Of metadata and of what it expands to.
    pub bytes: usize,
    pub bytes_per_namespace: usize,
    /// A trigger without a request for this long is evicted.
    pub idle_after: Duration,
}

/// Refused triggers that are kept, so that KEDA's retries cost no more than a look-up.
const REFUSED: NonZeroUsize = NonZeroUsize::new(1_000).expect("is not zero");
/// A refused trigger with more metadata than this is parsed again each time.
const LARGEST_REFUSED: usize = 64 * 1024;

/// A bounded map from what KEDA sends to the parsed trigger.
///
/// A trigger that was requested again is in use, and is evicted only when it is idle: a flood of
/// triggers that are requested once evicts others of its kind, and not the ones in use with their
/// last samples.
pub(super) struct TriggerCache {
    state: Mutex<State>,
    limits: CacheLimits,
}

type Lru<V> = LruCache<TriggerKey, V, RandomState>;

struct State {
    /// Requested once so far.
    new: Lru<Entry>,
    /// Requested again.
    in_use: Lru<Entry>,
    refused: Lru<Refused>,
    bytes: usize,
    per_namespace: HashMap<String, Taken>,
}

/// What the triggers of one namespace take.
#[derive(Clone, Copy, Default)]
struct Taken {
    triggers: usize,
    bytes: usize,
}

struct Entry {
    namespace: String,
    name: String,
    trigger: Arc<Trigger>,
    bytes: usize,
    used: Instant,
}

/// A trigger whose metadata is wrong, or that may not be read.
struct Refused {
    namespace: String,
    name: String,
    /// If its metadata names a known one.
    trigger_type: Option<&'static str>,
    error: Error,
    since: Instant,
    used: Instant,
}

/// A kept trigger with what identifies it.
pub(super) struct Kept {
    pub namespace: String,
    pub name: String,
    /// The trigger, or why it was refused.
    pub trigger: Result<Arc<Trigger>>,
    /// When it was refused first, if it is.
    pub refused_since: Option<Instant>,
    /// The known trigger type that a refused one names.
    pub refused_type: Option<&'static str>,
    /// When it was requested last.
    pub used: Instant,
}

/// How much of a limit is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The setting.
    pub setting: &'static str,
    /// The namespace that it is about; `None`: the whole server.
    pub namespace: Option<String>,
    pub used: usize,
    pub limit: usize,
}

impl Usage {
    /// There is hardly room for more: nine tenths are used.
    pub fn is_near_limit(&self) -> bool {
        self.used >= self.limit / 10 * 9
    }
}

/// Grows as entries come: a sidecar with one trigger pays for one.
fn lru<V>(capacity: NonZeroUsize) -> Lru<V> {
    let mut lru = LruCache::unbounded_with_hasher(RandomState::new());
    lru.resize(capacity);
    lru
}

impl TriggerCache {
    pub fn new(limits: CacheLimits) -> Self {
        TriggerCache {
            state: Mutex::new(State {
                new: lru(limits.triggers),
                in_use: lru(limits.triggers),
                refused: lru(REFUSED),
                bytes: 0,
                per_namespace: HashMap::new(),
            }),
            limits,
        }
    }

    /// The trigger, or the error that it was refused with.
    pub fn get(&self, key: &TriggerKey) -> Option<Result<Arc<Trigger>>> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if let Some(entry) = state.in_use.get_mut(key) {
            entry.used = now;
            return Some(Ok(entry.trigger.clone()));
        }
        if let Some((key, mut entry)) = state.new.pop_entry(key) {
            entry.used = now;
            let trigger = entry.trigger.clone();
            state.in_use.put(key, entry);
            return Some(Ok(trigger));
        }
        let refused = state.refused.get_mut(key)?;
        refused.used = now;
        Some(Err(refused.error.clone()))
    }

    /// The trigger, if it is kept; it does not count as used.
    pub fn peek(&self, key: &TriggerKey) -> Option<Arc<Trigger>> {
        let state = self.state.lock();
        let entry = state.in_use.peek(key).or_else(|| state.new.peek(key))?;
        Some(entry.trigger.clone())
    }

    /// Keeps a trigger. An error names the limit that leaves no room for it.
    pub fn put(&self, key: TriggerKey, request: &TriggerRef, trigger: Arc<Trigger>) -> Result<()> {
        let entry = Entry {
            namespace: request.namespace.clone(),
            name: request.name.clone(),
            // The metadata is in the key, and in the query with what it expands to.
            bytes: 2 * key.0.len() + trigger.bytes,
            trigger,
            used: Instant::now(),
        };
        // Dropped after the lock is released: it may close connections.
        let mut evicted = Vec::new();
        self.state
            .lock()
            .put(key, entry, &self.limits, &mut evicted)
    }

    /// Evicts a trigger.
    pub fn remove(&self, key: &TriggerKey) {
        // Dropped after the lock is released: it may close a connection.
        let _removed = {
            let mut state = self.state.lock();
            let entry = state.in_use.pop(key).or_else(|| state.new.pop(key));
            entry.map(|entry| state.removed(entry))
        };
    }

    /// Remembers that a trigger was refused. `true` if it is the first time, or was long ago.
    pub fn refuse(
        &self,
        key: TriggerKey,
        request: &TriggerRef,
        trigger_type: Option<&'static str>,
        error: Error,
    ) -> bool {
        if key.0.len() > LARGEST_REFUSED {
            return true;
        }
        let refused = Refused {
            namespace: request.namespace.clone(),
            name: request.name.clone(),
            trigger_type,
            error,
            since: Instant::now(),
            used: Instant::now(),
        };
        self.state.lock().refused.put(key, refused).is_none()
    }

    /// Evicts idle triggers.
    pub fn evict_idle(&self) {
        loop {
            let evicted = self.state.lock().pop_idle(self.limits.idle_after);
            if evicted.is_none() {
                break;
            }
        }
        let mut state = self.state.lock();
        let idle_after = self.limits.idle_after;
        while let Some((_, refused)) = state.refused.peek_lru()
            && refused.used.elapsed() >= idle_after
        {
            state.refused.pop_lru();
        }
    }

    /// The triggers, the most recently used first, then the refused ones.
    pub fn all(&self) -> Vec<Kept> {
        let state = self.state.lock();
        state.all().map(|(_, kept)| kept).collect()
    }

    /// The first trigger that is wanted, with its metadata.
    pub fn find(&self, wanted: impl Fn(&Kept) -> bool) -> Option<(Kept, BTreeMap<String, String>)> {
        let state = self.state.lock();
        let (key, kept) = state.all().find(|(_, kept)| wanted(kept))?;
        Some((kept, key.metadata()))
    }

    /// How much of the limits is used: of those of the server, and of those of namespaces where there
    /// is hardly room for more.
    pub fn usage(&self) -> Vec<Usage> {
        let state = self.state.lock();
        let (kept, limits) = (state.new.len() + state.in_use.len(), &self.limits);
        let usage = |setting, namespace: Option<&String>, used, limit| Usage {
            setting,
            namespace: namespace.cloned(),
            used,
            limit,
        };
        let of_server = [
            usage("engine.triggers", None, kept, limits.triggers.get()),
            usage("engine.triggerBytes", None, state.bytes, limits.bytes),
        ];
        let namespaces = state.per_namespace.iter();
        let of_namespaces = namespaces.flat_map(|(namespace, taken)| {
            let (triggers, bytes) = (limits.triggers_per_namespace, limits.bytes_per_namespace);
            let namespace = Some(namespace);
            [
                usage(
                    "engine.triggersPerNamespace",
                    namespace,
                    taken.triggers,
                    triggers,
                ),
                usage(
                    "engine.triggerBytesPerNamespace",
                    namespace,
                    taken.bytes,
                    bytes,
                ),
            ]
        });
        let of_namespaces = of_namespaces.filter(Usage::is_near_limit);
        of_server.into_iter().chain(of_namespaces).collect()
    }
}

impl State {
    fn all(&self) -> impl Iterator<Item = (&TriggerKey, Kept)> {
        let kept = self.in_use.iter().chain(self.new.iter());
        let kept = kept.map(|(key, entry)| {
            let kept = Kept {
                namespace: entry.namespace.clone(),
                name: entry.name.clone(),
                trigger: Ok(entry.trigger.clone()),
                refused_since: None,
                refused_type: None,
                used: entry.used,
            };
            (key, kept)
        });
        let refused = self.refused.iter().map(|(key, refused)| {
            let kept = Kept {
                namespace: refused.namespace.clone(),
                name: refused.name.clone(),
                trigger: Err(refused.error.clone()),
                refused_since: Some(refused.since),
                refused_type: refused.trigger_type,
                used: refused.used,
            };
            (key, kept)
        });
        kept.chain(refused)
    }

    fn put(
        &mut self,
        key: TriggerKey,
        entry: Entry,
        limits: &CacheLimits,
        evicted: &mut Vec<Entry>,
    ) -> Result<()> {
        // Two requests may have parsed it at the same time.
        if self.in_use.contains(&key) || self.new.contains(&key) {
            return Ok(());
        }
        while let Some(setting) = self.limit_of_namespace(&entry, limits) {
            let one = self.pop_new_of(&entry.namespace);
            let one = one.or_else(|| self.pop_idle(limits.idle_after));
            evicted.push(one.ok_or_else(|| {
                let Taken { triggers, bytes } = self.usage_of(&entry.namespace);
                let namespace = &entry.namespace;
                let what = format!(
                    "namespace {namespace} has {triggers} triggers in use, of {bytes} bytes"
                );
                full(&what, setting)
            })?);
        }
        while self.new.len() + self.in_use.len() >= limits.triggers.get() {
            let one = self.pop_for_new(limits.idle_after);
            evicted.push(one.ok_or_else(|| {
                let what = format!("{} triggers are in use", limits.triggers);
                full(&what, "engine.triggers")
            })?);
        }
        while self.bytes + entry.bytes > limits.bytes {
            let one = self.pop_for_new(limits.idle_after);
            evicted.push(one.ok_or_else(|| {
                let what = format!("triggers in use take {} bytes of memory", self.bytes);
                full(&what, "engine.triggerBytes")
            })?);
        }
        self.bytes += entry.bytes;
        let usage = self.per_namespace.entry(entry.namespace.clone());
        let usage = usage.or_default();
        usage.triggers += 1;
        usage.bytes += entry.bytes;
        self.new.put(key, entry);
        Ok(())
    }

    /// The setting that leaves no room for another trigger in its namespace.
    fn limit_of_namespace(&self, entry: &Entry, limits: &CacheLimits) -> Option<&'static str> {
        let usage = self.usage_of(&entry.namespace);
        if usage.triggers >= limits.triggers_per_namespace {
            Some("engine.triggersPerNamespace")
        } else if usage.bytes + entry.bytes > limits.bytes_per_namespace {
            Some("engine.triggerBytesPerNamespace")
        } else {
            None
        }
    }

    fn usage_of(&self, namespace: &str) -> Taken {
        let usage = self.per_namespace.get(namespace);
        usage.copied().unwrap_or_default()
    }

    /// The oldest trigger of a namespace that was requested once.
    fn pop_new_of(&mut self, namespace: &str) -> Option<Entry> {
        let mut oldest_first = self.new.iter().rev();
        let (key, _) = oldest_first.find(|(_, entry)| entry.namespace == namespace)?;
        let key = TriggerKey(key.0.clone());
        let entry = self.new.pop(&key)?;
        Some(self.removed(entry))
    }

    /// Makes room for a new trigger: the oldest of those that were requested once, or an idle one.
    fn pop_for_new(&mut self, idle_after: Duration) -> Option<Entry> {
        let oldest = self.new.pop_lru();
        let oldest = oldest.map(|(_, entry)| self.removed(entry));
        oldest.or_else(|| self.pop_idle(idle_after))
    }

    fn pop_idle(&mut self, idle_after: Duration) -> Option<Entry> {
        let is_idle = |lru: &Lru<Entry>| {
            let (_, oldest) = lru.peek_lru()?;
            Some(oldest.used.elapsed() >= idle_after)
        };
        let popped = if is_idle(&self.new) == Some(true) {
            self.new.pop_lru()
        } else if is_idle(&self.in_use) == Some(true) {
            self.in_use.pop_lru()
        } else {
            None
        };
        popped.map(|(_, entry)| self.removed(entry))
    }

    fn removed(&mut self, entry: Entry) -> Entry {
        self.bytes -= entry.bytes;
        if let Some(usage) = self.per_namespace.get_mut(&entry.namespace) {
            usage.triggers -= 1;
            usage.bytes -= entry.bytes;
            if usage.triggers == 0 {
                self.per_namespace.remove(&entry.namespace);
            }
        }
        entry
    }
}

fn full(what: &str, setting: &str) -> Error {
    Error::new(
        Kind::Exhausted,
        format!("{what}, and there is no room for another"),
        format!("Raise {setting}, or remove triggers."),
    )
}
