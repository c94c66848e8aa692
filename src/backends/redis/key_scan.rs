//! Globs: which keys match, found by SCAN (never KEYS) and remembered for a while.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::client::Client;
use crate::{
    error::{Error, Kind, Result},
    metadata::patterns::{MOST_NAMES, Patterns},
};

/// How long the keys of a glob are believed: a new list shows up this late at most.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// How many pages a scan may take on one server, at a thousand keys a page.
const MOST_PAGES: usize = 1000;
/// How long a scan may take: less than a batch may.
const LONGEST_SCAN: Duration = Duration::from_millis(1800);

/// The keys of each glob, when they were found.
#[derive(Default)]
pub struct Globs(Mutex<HashMap<String, Found>>);

/// When they were found, and which they are.
type Found = (Instant, Arc<BTreeSet<String>>);

impl Globs {
    /// All names of the patterns: the plain ones and those that match.
    pub async fn resolve(&self, client: &Client, patterns: &Patterns) -> Result<BTreeSet<String>> {
        let mut names = patterns.names.clone();
        for glob in &patterns.globs {
            names.extend(self.matches(client, glob).await?.iter().cloned());
        }
        match names.len() > MOST_NAMES {
            true => Err(too_many(&patterns.to_string())),
            false => Ok(names),
        }
    }

    async fn matches(&self, client: &Client, glob: &str) -> Result<Arc<BTreeSet<String>>> {
        if let Some((found, keys)) = self.0.lock().get(glob)
            && found.elapsed() < REMEMBERED_FOR
        {
            return Ok(keys.clone());
        }
        let keys = Arc::new(scan(client, glob).await?);
        let mut globs = self.0.lock();
        globs.retain(|_, (found, _)| found.elapsed() < REMEMBERED_FOR);
        globs.insert(glob.to_owned(), (Instant::now(), keys.clone()));
        Ok(keys)
    }
}

async fn scan(client: &Client, glob: &str) -> Result<BTreeSet<String>> {
    let started = Instant::now();
    let mut found = BTreeSet::new();
    let mut cursors = None;
    for _ in 0..MOST_PAGES {
        let (keys, next) = client.scan_page(glob, cursors).await?;
        found.extend(keys);
        if found.len() > MOST_NAMES {
            return Err(too_many(glob));
        }
        if next.iter().all(|cursor| *cursor == 0) {
            return Ok(found);
        }
        if started.elapsed() > LONGEST_SCAN {
            break;
        }
        cursors = Some(next);
    }
    Err(Error::new(
        Kind::Exhausted,
        format!("the keyspace is too large to find what matches {glob}"),
        "Name the lists, or use a range such as jobs-{0..31}; a partial sum would be wrong.",
    ))
}

fn too_many(what: &str) -> Error {
    Error::new(
        Kind::Exhausted,
        format!("more than {MOST_NAMES} keys match {what}"),
        "Use a narrower glob; a partial sum would be wrong.",
    )
}
