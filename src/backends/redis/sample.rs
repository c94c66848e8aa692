//! Samples the queries of a batch: short reads in shared pipelines, and long ones beside them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::future::{try_join, try_join_all};
use tokio::time::Instant;

use super::{
    batch_reader::BatchReader,
    client::Client,
    config::{Connection, Redis},
    list_batch::{ListQuery, Resolved},
    long_reads::{LongRead, LongReads},
    notifications,
    query::{PendingQuery, Query},
    read_rates::GroupRates,
};
use crate::{error::Result, network::Network, sampling::PushedQueries};

/// A live connection with its caches and the long reads that are under way.
pub struct Session {
    reader: Arc<BatchReader>,
    long_reads: LongReads,
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
        rates: Arc<GroupRates>,
        deadline: Instant,
    ) -> Result<Self> {
        let client = Client::open(connection, network, deadline).await?;
        Ok(Session {
            reader: Arc::new(BatchReader::new(client, rates)),
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
            match sort(reader, query) {
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
                let counts = read(reader, group, deadline).await?;
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

fn sort(reader: &BatchReader, query: PendingQuery) -> Sorted {
    let lists = match query.query() {
        Query::Lists(lists) => lists,
        Query::Stream { stream, .. } => {
            let nodes = reader.client.nodes_of(std::iter::once(stream.as_str()));
            return Sorted::Stream(nodes, query);
        }
    };
    let (waiting, processing) = (&lists.waiting, &lists.processing);
    if waiting.globs.is_empty() && processing.globs.is_empty() {
        return short_lists(reader, query, None);
    }
    let scans = &reader.scans;
    match (scans.cached(waiting), scans.cached(processing)) {
        (Some(Err(error)), _) | (_, Some(Err(error))) => {
            query.complete(Err(error));
            Sorted::Done
        }
        (Some(Ok(waiting)), Some(Ok(processing))) => {
            short_lists(reader, query, Some((waiting, processing)))
        }
        _ => Sorted::Scan(query),
    }
}

fn short_lists(reader: &BatchReader, query: PendingQuery, resolved: Option<Resolved>) -> Sorted {
    let query = ListQuery { query, resolved };
    Sorted::Lists(reader.client.nodes_of(query.keys()), query)
}

/// Reads lists and streams at once; neither waits for the other. Returns what is to be counted in
/// many round trips.
async fn read(
    reader: &Arc<BatchReader>,
    group: QueryGroup,
    deadline: Instant,
) -> Result<Vec<LongRead>> {
    let lists = reader.read_lists(group.lists, deadline);
    let streams = reader.read_streams(group.streams, deadline);
    let ((), counts) = try_join(lists, streams).await?;
    Ok(counts)
}
