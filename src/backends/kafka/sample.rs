//! Samples a batch: what every group has committed, and where every partition begins and ends, all
//! in flight at once; then, where the age of records is wanted, when they were written.

use futures_util::{StreamExt, future::try_join, stream::FuturesUnordered};
use tokio::time::Instant;

use super::{
    batch::LagBatch,
    client::Client,
    committed_offsets, log_offsets,
    protocol::BrokerError,
    query::{PendingQuery, QueryId},
    record_times,
    retry::Retry,
};
use crate::error::Result;

/// Reads of log offsets that are in flight at once.
const READS_AT_ONCE: usize = 8;

/// Completes the queries of a batch. An error means that no broker responds.
pub async fn sample_batch(
    client: &Client,
    queries: Vec<PendingQuery>,
    deadline: Instant,
) -> Result<()> {
    let batch = LagBatch::new(&client.history, queries);
    let retry = Retry::until(deadline);
    let offsets = async {
        let committed = committed_offsets::read(client, &batch, retry);
        try_join(committed, read_log_offsets(client, &batch, retry)).await?;
        batch.no_more_records();
        Ok::<(), BrokerError>(())
    };
    let read = try_join(offsets, record_times::read(client, &batch, retry)).await;
    read.map(|_| ()).map_err(|error| client.lost(&error))
}

/// Reads log offsets for queries as their topics become known: those with named topics at once, and
/// the others as their groups' committed offsets come in, whatever has come by then together.
async fn read_log_offsets(
    client: &Client,
    batch: &LagBatch<'_>,
    retry: Retry,
) -> Result<(), BrokerError> {
    let mut reads = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(queries) = batch.next_ready(), if reads.len() < READS_AT_ONCE => {
                // A regex needs the list of all topics, which others do not wait for.
                let (regexes, plain): (Vec<QueryId>, Vec<QueryId>) =
                    queries.into_iter().partition(|query| batch.has_regex(*query));
                for queries in [plain, regexes] {
                    if !queries.is_empty() {
                        reads.push(log_offsets::read(client, batch, queries, retry));
                    }
                }
            }
            Some(read) = reads.next() => read?,
            else => return Ok(()),
        }
    }
}
