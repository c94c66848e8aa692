//! Samples the queries of a batch: short reads in shared pipelines, and long ones beside them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::future::{try_join, try_join_all};
use tokio::time::Instant;

use super::{
    client::{Client, of_long_read},
    command::Command,
    config::{Connection, Redis},
    entry_count::count_after,
    errors::ReadError,
    key_scan::KeyScans,
    lists::{self, KeyNames, KeyTypes},
    long_reads::{LongRead, LongReads, Permits},
    notifications,
    query::{Count, Measure, PendingQuery, Query},
    streams::{self, Outcome},
};
use crate::{
    error::Result,
    metadata::patterns::Patterns,
    network::Network,
    sampling::{Measured, PushedQueries},
};

/// A live connection with its caches and the long reads that are under way.
pub struct Session {
    reader: Arc<BatchReader>,
    long_reads: LongReads,
}

/// What long reads share with the batches.
struct BatchReader {
    client: Client,
    types: KeyTypes,
    scans: KeyScans,
    permits: Arc<Permits>,
}

/// KeyNames that a scan found: what waits, and what is taken but not finished.
type Resolved = (BTreeSet<String>, BTreeSet<String>);

/// A query of lists, with its names if it has globs.
struct ListQuery {
    query: PendingQuery,
    resolved: Option<Resolved>,
}

/// Queries that need the same servers.
#[derive(Default)]
struct QueryGroup {
    lists: Vec<ListQuery>,
    streams: Vec<PendingQuery>,
}

impl Session {
    /// Opens a connection and proves it by a command.
    pub async fn open(
        connection: &Connection,
        network: &Network,
        deadline: Instant,
    ) -> Result<Self> {
        let permits = Arc::new(Permits::default());
        let reader = BatchReader {
            client: Client::open(connection, network, deadline).await?,
            types: KeyTypes::default(),
            scans: KeyScans::new(permits.clone()),
            permits,
        };
        Ok(Session {
            reader: Arc::new(reader),
            long_reads: LongReads::default(),
        })
    }

    /// Reports the changes that the server notifies its clients of.
    pub async fn watch(&self, pushed: PushedQueries<'_, Redis>) {
        if let Some(server) = self.reader.client.single() {
            notifications::watch(server, &pushed).await;
        }
    }

    /// Samples the queries of a batch. Short reads decide whether the connection is lost; a long
    /// read that is late fails alone.
    pub async fn sample(&self, batch: Vec<PendingQuery>, deadline: Instant) -> Result<()> {
        let reader = &self.reader;
        let mut groups = HashMap::<BTreeSet<usize>, QueryGroup>::new();
        let mut scans = Vec::new();
        for query in batch {
            match reader.sort(query) {
                Sorted::Done => {}
                Sorted::Lists(nodes, query) => groups.entry(nodes).or_default().lists.push(query),
                Sorted::Stream(nodes, query) => {
                    groups.entry(nodes).or_default().streams.push(query);
                }
                Sorted::Scan(query) => scans.push(reader.clone().scan(query, deadline)),
            }
        }
        let short = async {
            if groups.is_empty() {
                return reader.client.check(deadline).await;
            }
            let reads = groups.into_values().map(|group| async {
                let counts = reader.read(group, deadline).await?;
                self.long_reads.run(counts).await
            });
            try_join_all(reads).await?;
            Ok(())
        };
        try_join(self.long_reads.run(scans), short).await?;
        Ok(())
    }
}

/// How a query is read.
enum Sorted {
    /// It has its result already.
    Done,
    /// In a pipeline, from these nodes.
    Lists(BTreeSet<usize>, ListQuery),
    /// In a pipeline, from these nodes.
    Stream(BTreeSet<usize>, PendingQuery),
    /// By scans first.
    Scan(PendingQuery),
}

impl BatchReader {
    fn sort(&self, query: PendingQuery) -> Sorted {
        let (waiting, processing) = match query.query() {
            Query::Lists {
                waiting,
                processing,
            } => (waiting, processing),
            Query::Stream { stream, .. } => {
                let nodes = self.client.nodes_of(std::iter::once(stream.as_str()));
                return Sorted::Stream(nodes, query);
            }
        };
        if waiting.globs.is_empty() && processing.globs.is_empty() {
            return self.short_lists(query, None);
        }
        let cached = (self.scans.cached(waiting), self.scans.cached(processing));
        match cached {
            (Some(Err(error)), _) | (_, Some(Err(error))) => {
                query.complete(Err(error));
                Sorted::Done
            }
            (Some(Ok(waiting)), Some(Ok(processing))) => {
                self.short_lists(query, Some((waiting, processing)))
            }
            _ => Sorted::Scan(query),
        }
    }

    fn short_lists(&self, query: PendingQuery, resolved: Option<Resolved>) -> Sorted {
        let query = ListQuery { query, resolved };
        let nodes = self.client.nodes_of(lists::keys(query.names()));
        Sorted::Lists(nodes, query)
    }

    /// Reads lists and streams at once; neither waits for the other. Returns what is to be counted
    /// in many round trips.
    async fn read(self: &Arc<Self>, group: QueryGroup, deadline: Instant) -> Result<Vec<LongRead>> {
        let lists = self.read_lists(group.lists, deadline);
        let streams = self.read_streams(group.streams, deadline);
        let ((), counts) = try_join(lists, streams).await?;
        Ok(counts)
    }

    async fn read_lists(&self, queries: Vec<ListQuery>, deadline: Instant) -> Result<()> {
        let at = Instant::now();
        let names: Vec<KeyNames> = queries.iter().map(ListQuery::names).collect();
        let counts = lists::count(&self.client, &self.types, &names, deadline).await?;
        for (query, count) in queries.into_iter().zip(counts) {
            complete(query.query, at, count);
        }
        Ok(())
    }

    async fn read_streams(
        self: &Arc<Self>,
        queries: Vec<PendingQuery>,
        deadline: Instant,
    ) -> Result<Vec<LongRead>> {
        let at = Instant::now();
        let commands = queries.iter().flat_map(|query| {
            let (stream, measure) = stream(query);
            streams::commands(stream, measure)
        });
        let commands: Vec<Command> = commands.collect();
        let mut replies = self.client.run(&commands, deadline).await?.into_iter();
        let (mut groupless, mut counts) = (Vec::new(), Vec::<LongRead>::new());
        for query in queries {
            let (stream, measure) = stream(&query);
            match streams::outcome(&self.client, stream, measure, &mut replies) {
                Outcome::Known(waiting) => complete(query, at, waiting.map(waiting_only)),
                Outcome::NoGroup => groupless.push(query),
                Outcome::Uncounted { after } => {
                    counts.push(Box::pin(self.clone().count(query, after, at, deadline)));
                }
            }
        }
        self.read_groupless(groupless, at, deadline).await?;
        Ok(counts)
    }

    /// Pending entries of a group that does not exist: what that means depends on whether the stream exists.
    async fn read_groupless(
        &self,
        queries: Vec<PendingQuery>,
        at: Instant,
        deadline: Instant,
    ) -> Result<()> {
        let commands = queries
            .iter()
            .map(|query| Command::new("TYPE", stream(query).0));
        let commands: Vec<Command> = commands.collect();
        let replies = self.client.run(&commands, deadline).await?;
        for (query, reply) in queries.into_iter().zip(replies) {
            let (stream, measure) = stream(&query);
            let group = match measure {
                Measure::Pending { group } | Measure::Lag { group } => group,
                Measure::Length => "",
            };
            let type_name = lists::type_name(&self.client, &Command::new("TYPE", stream), &reply);
            let waiting = type_name.and_then(|name| streams::without_group(stream, group, name));
            complete(query, at, waiting.map(waiting_only));
        }
        Ok(())
    }

    fn scan(self: Arc<Self>, query: PendingQuery, deadline: Instant) -> LongRead {
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
        let (waiting, processing) = patterns(query);
        let resolve = |patterns| self.scans.resolve(&self.client, patterns, scan_deadline);
        let (waiting, processing) = try_join(resolve(waiting), resolve(processing)).await?;
        let at = Instant::now();
        let names = [(&waiting, &processing)];
        let counts = lists::count(&self.client, &self.types, &names, deadline).await;
        let count = counts.map_err(of_long_read)?.into_iter().next();
        let count = count.unwrap_or_else(|| Ok(Count::default()));
        Ok((at, count.map_err(ReadError::OfQuery)?))
    }

    /// `at` is when the group was read.
    async fn count(
        self: Arc<Self>,
        query: PendingQuery,
        after: String,
        at: Instant,
        deadline: Instant,
    ) -> Result<()> {
        let stream = stream(&query).0;
        let counted = count_after(&self.client, &self.permits, stream, &after, deadline).await;
        match counted {
            Ok(waiting) => complete(query, at, Ok(waiting_only(waiting))),
            Err(ReadError::OfQuery(error)) => query.complete(Err(error)),
            Err(ReadError::OfConnection(error)) => return Err(error),
        }
        Ok(())
    }
}

impl ListQuery {
    fn names(&self) -> KeyNames<'_> {
        match &self.resolved {
            Some((waiting, processing)) => (waiting, processing),
            None => {
                let (waiting, processing) = patterns(&self.query);
                (&waiting.names, &processing.names)
            }
        }
    }
}

fn complete(query: PendingQuery, at: Instant, count: Result<Count>) {
    query.complete(count.map(|sample| Measured { sample, at }));
}

fn waiting_only(waiting: u64) -> Count {
    Count {
        waiting,
        processing: 0,
    }
}

fn patterns(query: &PendingQuery) -> (&Patterns, &Patterns) {
    match query.query() {
        Query::Lists {
            waiting,
            processing,
        } => (waiting, processing),
        Query::Stream { .. } => unreachable!("only called for lists"),
    }
}

fn stream(query: &PendingQuery) -> (&str, &Measure) {
    match query.query() {
        Query::Stream { stream, measure } => (stream, measure),
        Query::Lists { .. } => unreachable!("only called for streams"),
    }
}
