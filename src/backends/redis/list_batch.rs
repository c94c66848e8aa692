//! Lists of a batch: the keys of all queries together, after the scans that some need.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::try_join;
use tokio::time::Instant;

use super::{
    batch_reader::{BatchReader, complete},
    client::of_long_read,
    due_sets::{ages, check_units},
    errors::ReadError,
    key_names::KeyNames,
    lists::{Key, Length, lengths},
    long_reads::LongRead,
    paused_queues::PausedQueues,
    query::{Count, Lists, PendingQuery, Query},
    unix_time::UnixTime,
};
use crate::error::Result;

/// Names that a scan found: what waits, and what is taken but not finished.
pub type Resolved = (BTreeSet<String>, BTreeSet<String>);

/// A query of lists, with its names if it has globs.
pub struct ListQuery {
    pub query: PendingQuery,
    pub resolved: Option<Resolved>,
}

impl ListQuery {
    fn names(&self) -> KeyNames<'_> {
        let lists = lists(&self.query);
        match &self.resolved {
            Some((waiting, processing)) => KeyNames::new(lists, waiting, processing),
            None => KeyNames::new(lists, &lists.waiting.names, &lists.processing.names),
        }
    }

    /// Every key of the query.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let names = self.names();
        names.keys().map(|key| key.name).chain(names.paused_by())
    }

    fn has_times(&self) -> bool {
        lists(&self.query).have_times()
    }
}

impl BatchReader {
    /// Reads lists. Those with times take one more round trip, and the others do not wait for it.
    pub async fn read_lists(&self, queries: Vec<ListQuery>, deadline: Instant) -> Result<()> {
        let (with_times, plain): (Vec<_>, Vec<_>) =
            queries.into_iter().partition(ListQuery::has_times);
        let with_times = self.read_listed(with_times, deadline);
        try_join(self.read_listed(plain, deadline), with_times).await?;
        Ok(())
    }

    async fn read_listed(&self, queries: Vec<ListQuery>, deadline: Instant) -> Result<()> {
        let at = Instant::now();
        let names: Vec<KeyNames> = queries.iter().map(ListQuery::names).collect();
        let counts = self.count(&names, deadline).await?;
        for (query, count) in queries.into_iter().zip(counts) {
            complete(query.query, at, count);
        }
        Ok(())
    }

    /// Finds the keys of a query by scans, and reads their lengths.
    pub fn scan(self: Arc<Self>, query: PendingQuery, deadline: Instant) -> LongRead {
        Box::pin(async move {
            let started = Instant::now();
            // What is left is for the lengths of the keys.
            let scan_deadline = started + deadline.saturating_duration_since(started) * 7 / 8;
            let outcome = self.scan_and_count(&query, scan_deadline, deadline).await;
            match outcome {
                Ok((at, count)) => complete(query, at, Ok(count)),
                Err(ReadError::OfQuery(error)) => query.complete(Err(error)),
                Err(ReadError::OfConnection(error)) => return Err(error),
            }
            Ok(())
        })
    }

    async fn scan_and_count(
        &self,
        query: &PendingQuery,
        scan_deadline: Instant,
        deadline: Instant,
    ) -> Result<(Instant, Count), ReadError> {
        let lists = lists(query);
        let resolve = |patterns| self.scans.resolve(&self.client, patterns, scan_deadline);
        let (waiting, processing) =
            try_join(resolve(&lists.waiting), resolve(&lists.processing)).await?;
        let at = Instant::now();
        let names = [KeyNames::new(lists, &waiting, &processing)];
        let counts = self.count(&names, deadline).await;
        let count = counts.map_err(of_long_read)?.into_iter().next();
        let count = count.unwrap_or_else(|| Ok(Count::default()));
        Ok((at, count.map_err(ReadError::OfQuery)?))
    }

    /// Reads the keys of all queries together, and returns each query's sums. A key of several
    /// queries is read for each of them: that is rare, and avoiding it would cost every other key
    /// more. `Err` means that the connection is lost.
    ///
    /// What is due is so by our own clock. Scores are written by clients and compared with the
    /// clocks of other clients (the schedulers of BullMQ, Sidekiq, RQ and Celery); Redis' own clock
    /// has no part in it, and its TIME would cost a round trip before the count and one more right.
    async fn count(
        &self,
        queries: &[KeyNames<'_>],
        deadline: Instant,
    ) -> Result<Vec<Result<Count>>> {
        let client = &self.client;
        let now = UnixTime::now();
        let keys: Vec<Key> = queries.iter().flat_map(|names| names.keys()).collect();
        let lengths = lengths(client, &self.types, &keys, now, deadline);
        let paused = PausedQueues::read(client, queries, deadline);
        let (mut lengths, paused) = try_join(lengths, paused).await?;
        paused.empty(queries, &mut lengths);
        let with_age = with_age(queries, &lengths);
        let units = check_units(client, &keys, &mut lengths, now, deadline);
        let ages = ages(client, &keys, &with_age, now, deadline);
        let ((), ages) = try_join(units, ages).await?;
        let mut first = 0;
        let counts = queries.iter().map(|names| {
            let (waiting, processing) = names.counts();
            let own = first..first + waiting + processing;
            let count = names.sum(&lengths[own.clone()], &ages, first);
            first = own.end;
            count
        });
        Ok(counts.collect())
    }
}

/// The indexes of the keys whose oldest member is needed.
fn with_age(queries: &[KeyNames<'_>], lengths: &[Result<Length>]) -> Vec<usize> {
    let mut first = 0;
    let mut indexes = Vec::new();
    for names in queries {
        let (waiting, processing) = names.counts();
        if names.needs_age() {
            let is_due = |index: &usize| matches!(&lengths[*index], Ok(length) if length.due && length.entries > 0);
            indexes.extend((first..first + waiting).filter(is_due));
        }
        first += waiting + processing;
    }
    indexes
}

/// The keys of a query, by their patterns.
pub fn lists(query: &PendingQuery) -> &Lists {
    match query.query() {
        Query::Lists(lists) => lists,
        Query::Stream { .. } => unreachable!("only called for lists"),
    }
}
