//! Reads a batch: the offsets of every group, and the ends of every partition by the broker that
//! leads it, all under way at once.

use futures_util::{FutureExt, StreamExt, TryStreamExt, future::try_join};
use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    PendingQuery,
    batch::Board,
    client::Client,
    committed_offsets::{self, Offsets},
    log_offsets,
    protocol::Failure,
    query::Topics,
};
use crate::error::Result;

/// Reads of ends that are under way at once, for groups that have answered together.
const AT_ONCE: usize = 8;

/// Answers the queries of a batch within `limit`. An error means that no broker answers.
pub async fn answer(client: &Client, asks: Vec<PendingQuery>, deadline: Instant) -> Result<()> {
    let (of_group, named): (Vec<_>, Vec<_>) = asks
        .into_iter()
        .partition(|ask| matches!(ask.query().topics, Topics::OfGroup));
    let named = answer_named(client, named, deadline);
    let all = try_join(named, answer_of_group(client, of_group, deadline)).await;
    all.map(|_| ()).map_err(|failure| client.lost(&failure))
}

/// Topics are known beforehand: offsets of groups and ends of partitions go out together.
async fn answer_named(
    client: &Client,
    asks: Vec<PendingQuery>,
    deadline: Instant,
) -> Result<(), Failure> {
    if asks.is_empty() {
        return Ok(());
    }
    let board = Board::new(&client.progress, asks);
    let tell = |group: String, offsets| board.tell_group(&group, offsets);
    let Client {
        cluster,
        coordinators,
        ..
    } = client;
    let groups = committed_offsets::read(cluster, coordinators, board.groups(), deadline, &tell);
    try_join(groups, log_offsets::read(client, &board, deadline)).await?;
    Ok(())
}

/// Topics are those in which the group has offsets: ends are read as groups answer, of whatever
/// has answered by then together.
async fn answer_of_group(
    client: &Client,
    asks: Vec<PendingQuery>,
    deadline: Instant,
) -> Result<(), Failure> {
    if asks.is_empty() {
        return Ok(());
    }
    let mut waiting = HashMap::<String, Vec<PendingQuery>>::new();
    for ask in asks {
        let group = ask.query().group.clone();
        waiting.entry(group).or_default().push(ask);
    }
    let groups: Vec<String> = waiting.keys().cloned().collect();
    let waiting = Mutex::new(waiting);
    // Room for every group, which is told of once.
    let (teller, told) = mpsc::channel(groups.len());
    let groups = async move {
        let tell = |group, offsets| {
            // The other half of this function listens until we are done.
            let _ = teller.try_send((group, offsets));
        };
        committed_offsets::read(
            &client.cluster,
            &client.coordinators,
            groups,
            deadline,
            &tell,
        )
        .await
    };
    let known = ReceiverStream::new(told).ready_chunks(1000);
    let rest = known.map(|groups: Vec<(String, Result<Offsets>)>| {
        let asks = groups
            .iter()
            .flat_map(|(group, _)| waiting.lock().remove(group));
        let board = Board::new(&client.progress, asks.flatten().collect());
        for (group, offsets) in groups {
            board.tell_group(&group, offsets);
        }
        async move { log_offsets::read(client, &board, deadline).await }.boxed()
    });
    let rest = rest.buffer_unordered(AT_ONCE).try_collect::<()>();
    try_join(groups, rest).await?;
    Ok(())
}
