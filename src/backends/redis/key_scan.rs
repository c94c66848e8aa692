//! Globs: which keys match, found by SCAN (never KEYS) and cached for a while.

use std::{collections::BTreeSet, num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use redis::Value;
use tokio::time::Instant;

use super::{
    client::{Client, Keyspace},
    command::{as_array, as_text},
    errors::{ReadError, rounded, unexpected_reply},
    long_reads::Permits,
};
use crate::{
    backends::ttl_cache::TtlCache,
    error::{Error, Kind, Result},
    metadata::patterns::{MOST_NAMES, Patterns},
};

/// How long the keys of a glob are used: a new list shows up this late at most. A keyspace that is
/// too large is not scanned again either in this time.
const CACHED_FOR: Duration = Duration::from_secs(10);
/// Globs whose keys are cached.
const CACHED: NonZeroUsize = NonZeroUsize::new(1000).expect("is not zero");

/// The keys of each glob, or why there are too many.
pub struct KeyScans {
    found: TtlCache<String, Result<FoundKeys>, ReadError>,
    permits: Arc<Permits>,
}

type FoundKeys = Arc<BTreeSet<String>>;

impl KeyScans {
    pub fn new(permits: Arc<Permits>) -> Self {
        KeyScans {
            found: TtlCache::new(CACHED_FOR, CACHED),
            permits,
        }
    }

    /// All names of the patterns, if no scan is needed.
    pub fn cached(&self, patterns: &Patterns) -> Option<Result<BTreeSet<String>>> {
        let found = patterns.globs.iter().map(|glob| self.found.get(glob));
        let found: Option<Vec<Result<FoundKeys>>> = found.collect();
        Some(all_names(patterns, found?))
    }

    /// All names of the patterns: the plain ones and those that match.
    pub async fn resolve(
        &self,
        client: &Client,
        patterns: &Patterns,
        deadline: Instant,
    ) -> Result<BTreeSet<String>, ReadError> {
        let found = patterns.globs.iter().map(|glob| {
            let scan = self.scan(client, glob, deadline);
            self.found.get_or_read(glob, scan)
        });
        let found = try_join_all(found).await?;
        all_names(patterns, found).map_err(ReadError::OfQuery)
    }

    /// Scans every server, all at once. The inner error says that there are too many keys.
    async fn scan(
        &self,
        client: &Client,
        glob: &str,
        deadline: Instant,
    ) -> Result<Result<FoundKeys>, ReadError> {
        let _permit = self.permits.acquire(deadline).await?;
        let keyspaces = client.keyspaces(deadline).await?;
        let scans = keyspaces.iter().map(|keyspace| {
            let scan = Scan {
                client,
                keyspace,
                glob,
                started: Instant::now(),
                deadline,
            };
            scan.run()
        });
        let mut keys = BTreeSet::new();
        for found in try_join_all(scans).await? {
            match found {
                Ok(found) => keys.extend(found),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(match keys.len() > MOST_NAMES {
            true => Err(too_many(glob)),
            false => Ok(Arc::new(keys)),
        })
    }
}

/// The plain names and those found for each glob.
fn all_names(patterns: &Patterns, found: Vec<Result<FoundKeys>>) -> Result<BTreeSet<String>> {
    let mut names = patterns.names.clone();
    for keys in found {
        names.extend(keys?.iter().cloned());
    }
    match names.len() > MOST_NAMES {
        true => Err(too_many(&patterns.to_string())),
        false => Ok(names),
    }
}

/// A scan of one server.
struct Scan<'a> {
    client: &'a Client,
    keyspace: &'a Keyspace,
    glob: &'a str,
    started: Instant,
    deadline: Instant,
}

impl Scan<'_> {
    /// Page by page. The inner error says that there are too many keys.
    async fn run(self) -> Result<Result<BTreeSet<String>>, ReadError> {
        let server = &self.keyspace.server;
        let mut found = BTreeSet::new();
        let mut cursor = 0;
        let mut pages = 0;
        loop {
            let page = server.scan_page(self.glob, cursor, self.deadline).await;
            let page = match page {
                Ok(page) => page,
                Err(error) if error.is_timeout() && pages > 0 => {
                    return Ok(Err(self.too_large(pages)));
                }
                Err(error) => {
                    return Err(self.client.scan_error(&error, self.keyspace, self.glob));
                }
            };
            let (next, keys) = self.page(&page).map_err(ReadError::OfQuery)?;
            found.extend(keys);
            pages += 1;
            if found.len() > MOST_NAMES {
                return Ok(Err(too_many(self.glob)));
            }
            if next == 0 {
                return Ok(Ok(found));
            }
            if Instant::now() >= self.deadline {
                return Ok(Err(self.too_large(pages)));
            }
            cursor = next;
        }
    }

    /// The next cursor and the keys of a page.
    fn page(&self, reply: &Value) -> Result<(u64, Vec<String>)> {
        let parsed = || {
            let [cursor, keys] = as_array(reply)? else {
                return None;
            };
            Some((as_text(cursor)?.parse().ok()?, as_array(keys)?))
        };
        let expected = "a cursor and keys";
        let unexpected = || unexpected_reply("SCAN", self.glob, expected, reply);
        let (cursor, keys) = parsed().ok_or_else(unexpected)?;
        let keys: Option<Vec<String>> = keys.iter().map(|key| Some(as_text(key)?.into())).collect();
        Ok((cursor, keys.ok_or_else(|| not_text(self.glob))?))
    }

    fn too_large(&self, pages: usize) -> Error {
        let limit = rounded(self.deadline.saturating_duration_since(self.started));
        Error::new(
            Kind::TimedOut,
            format!(
                "the keyspace is too large to find all that match {} within {limit:?} \
                 ({pages} pages were read)",
                self.glob
            ),
            "Name the lists, or use a range such as jobs-{0..31}; a partial sum would be wrong.",
        )
    }
}

fn too_many(what: &str) -> Error {
    Error::new(
        Kind::Exhausted,
        format!("more than {MOST_NAMES} keys match {what}"),
        "Use a narrower glob; a partial sum would be wrong.",
    )
}

fn not_text(glob: &str) -> Error {
    Error::new(
        Kind::Unreadable,
        format!("a key that matches {glob} is not text (UTF-8)"),
        "Use a narrower glob, or name the lists.",
    )
}
