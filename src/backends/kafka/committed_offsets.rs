//! What groups have committed: asked of the broker that coordinates them, many groups a request.

use std::collections::HashMap;

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all, try_join, try_join_all},
};
use kafka_protocol::{
    ResponseError,
    error::ParseResponseErrorCode,
    messages::{GroupId, OffsetFetchRequest, offset_fetch_request::OffsetFetchRequestGroup},
    protocol::StrBytes,
};
use tokio::time::Instant;

use super::{
    cluster::Cluster,
    coordinator_cache::{ByCoordinator, Coordinators},
    errors,
    protocol::{Cause, Committed, Failure, GroupOffsets},
    retry::Patience,
};
use crate::error::Result;

/// Answers stay small, and a broker serves others in between.
const GROUPS_A_REQUEST: usize = 250;
/// Since this version only settled offsets can be asked for (KIP-447, Kafka 2.5).
const STABLE: i16 = 7;
/// Since this version a request may name many groups (KIP-709, Kafka 3.0).
const MANY_OFFSETS: i16 = 8;
/// What a group has committed: by topic, partitions in ascending order.
pub type Offsets = HashMap<String, Vec<(i32, Result<i64, ResponseError>)>>;

/// Reads what groups have committed, and tells of each group as soon as it is known. A failure
/// means that no broker answers; some groups are not told of then.
pub async fn read(
    cluster: &Cluster,
    coordinators: &Coordinators,
    groups: Vec<String>,
    deadline: Instant,
    tell: &(dyn Fn(String, Result<Offsets>) + Sync),
) -> Result<(), Failure> {
    let reader = Reader {
        cluster,
        coordinators,
        tell,
    };
    reader.read(groups, Patience::until(deadline)).await
}

struct Reader<'a> {
    cluster: &'a Cluster,
    coordinators: &'a Coordinators,
    tell: &'a (dyn Fn(String, Result<Offsets>) + Sync),
}

/// Groups with the reason why another try may find their coordinator elsewhere, or ready.
type Moved = Vec<(String, Failure)>;

impl Reader<'_> {
    fn read(&self, groups: Vec<String>, patience: Patience) -> BoxFuture<'_, Result<(), Failure>> {
        let (known, unknown) = self.coordinators.sort(groups);
        let others = async move {
            let (mut found, mut moved) = (ByCoordinator::new(), Moved::new());
            for (group, coordinator) in self
                .coordinators
                .find(self.cluster, &unknown, patience.deadline)
                .await?
            {
                match coordinator {
                    Ok(broker) => found.entry(broker).or_default().push(group),
                    Err(failure) => self.sort_out(&group, Err(failure), &mut moved),
                }
            }
            let again = self.read_again(moved, patience);
            try_join(self.fetch_all(found, patience), again).await
        };
        async move {
            try_join(self.fetch_all(known, patience), others).await?;
            Ok(())
        }
        .boxed()
    }

    /// Asks for what has moved once more, unless the time is up.
    async fn read_again(&self, moved: Moved, patience: Patience) -> Result<(), Failure> {
        if moved.is_empty() {
            return Ok(());
        }
        if !patience.has_time() {
            for (group, failure) in moved {
                let error = errors::of_group(&group, &failure);
                (self.tell)(group, Err(error));
            }
            return Ok(());
        }
        self.coordinators
            .forget(moved.iter().map(|(group, _)| group));
        let patience = patience.wait().await;
        let groups = moved.into_iter().map(|(group, _)| group);
        self.read(groups.collect(), patience).await
    }

    /// Each coordinator by itself: one that does not answer holds up its own groups alone.
    async fn fetch_all(&self, groups: ByCoordinator, patience: Patience) -> Result<(), Failure> {
        let all = groups.into_iter().map(|(broker, groups)| async move {
            let moved = self.fetch(broker, groups, patience.one_try()).await;
            self.read_again(moved, patience).await
        });
        try_join_all(all).await.map(|_| ())
    }

    /// Tells of the groups of one coordinator, but for those that may be elsewhere by now.
    async fn fetch(&self, broker: i32, groups: Vec<String>, deadline: Instant) -> Moved {
        let settled = self.fetch_chunks(broker, &groups, Settled::Only, deadline);
        let (open, mut moved): (Vec<_>, Moved) = settled
            .await
            .into_iter()
            .partition(|(_, failure)| is_open(failure));
        if !open.is_empty() {
            let open: Vec<String> = open.into_iter().map(|(group, _)| group).collect();
            moved.extend(
                self.fetch_chunks(broker, &open, Settled::OrBefore, deadline)
                    .await,
            );
        }
        moved
    }

    async fn fetch_chunks(
        &self,
        broker: i32,
        groups: &[String],
        settled: Settled,
        deadline: Instant,
    ) -> Moved {
        let chunks = groups.chunks(GROUPS_A_REQUEST);
        let chunks = chunks.map(|chunk| self.fetch_chunk(broker, chunk, settled, deadline));
        join_all(chunks).await.into_iter().flatten().collect()
    }

    fn fetch_chunk<'b>(
        &'b self,
        broker: i32,
        groups: &'b [String],
        settled: Settled,
        deadline: Instant,
    ) -> BoxFuture<'b, Moved> {
        async move {
            let request = |version| offset_fetch(version, groups, settled);
            let mut moved = Moved::new();
            match self.cluster.ask(broker, request, deadline).await {
                Err(failure) => groups.iter().for_each(|group| {
                    self.sort_out(group, Err(failure.clone()), &mut moved);
                }),
                Ok(Committed::One(offsets)) => {
                    let (first, rest) = groups.split_first().expect("a request names a group");
                    self.sort_out(first, of_topics(offsets), &mut moved);
                    let rest = rest.chunks(1);
                    let rest = rest.map(|one| self.fetch_chunk(broker, one, settled, deadline));
                    moved.extend(join_all(rest).await.into_iter().flatten());
                }
                Ok(Committed::Many(offsets)) => {
                    let mut answers: HashMap<String, GroupOffsets> = offsets.into_iter().collect();
                    for group in groups {
                        let missing = || Failure::new(Cause::Garbled, "the answer lacks it");
                        let outcome = answers.remove(group).ok_or_else(missing);
                        self.sort_out(group, outcome.and_then(of_topics), &mut moved);
                    }
                }
            }
            moved
        }
        .boxed()
    }

    /// Tells of a group, unless another try may find it elsewhere.
    fn sort_out(&self, group: &str, outcome: Result<Offsets, Failure>, moved: &mut Moved) {
        match outcome {
            Err(failure) if may_pass(&failure) => moved.push((group.to_owned(), failure)),
            outcome => {
                let outcome = outcome.map_err(|failure| errors::of_group(group, &failure));
                (self.tell)(group.to_owned(), outcome);
            }
        }
    }
}

/// Which offsets a coordinator may answer.
///
/// Since Kafka 4.0 it answers from what its followers are known to have, too. One that has just
/// taken over does not know that yet: for a moment it answers old offsets, or none, without an
/// error. Asked for settled offsets only (`require_stable`, KIP-447), it answers when it knows.
#[derive(Clone, Copy)]
enum Settled {
    /// An open transaction that is about to commit offsets makes them an error.
    Only,
    /// Those before the open transaction.
    OrBefore,
}

/// Whether a transaction is about to commit offsets of the group.
fn is_open(failure: &Failure) -> bool {
    failure.error() == Some(ResponseError::UnstableOffsetCommit)
}

/// Whether another try may succeed: the coordinator moves, or has died and another takes over.
fn may_pass(failure: &Failure) -> bool {
    match failure.cause {
        Cause::Answered(error) => error.is_retriable(),
        Cause::Late | Cause::HungUp | Cause::Unreachable | Cause::Unresolved => true,
        Cause::Garbled | Cause::IsTls | Cause::IsPlain | Cause::Tls | Cause::Login => false,
    }
}

/// Asks for all that groups have committed, in whatever topic. An older broker takes one group a
/// request, which is the first then.
fn offset_fetch(version: i16, groups: &[String], settled: Settled) -> OffsetFetchRequest {
    let mut ids = groups
        .iter()
        .map(|group| GroupId(StrBytes::from_string(group.clone())));
    let stable = matches!(settled, Settled::Only) && version >= STABLE;
    let request = OffsetFetchRequest::default().with_require_stable(stable);
    match version >= MANY_OFFSETS {
        true => {
            let group = |id| {
                OffsetFetchRequestGroup::default()
                    .with_group_id(id)
                    .with_topics(None)
            };
            request.with_groups(ids.map(group).collect())
        }
        false => request
            .with_group_id(ids.next().unwrap_or_default())
            .with_topics(None),
    }
}

fn of_topics(group: GroupOffsets) -> Result<Offsets, Failure> {
    if let Some(failure) = Failure::of_code(group.error) {
        return Err(failure);
    }
    let mut offsets = Offsets::with_capacity(group.topics.len());
    for (topic, found) in group.topics {
        let mut partitions = Vec::with_capacity(found.len());
        for one in found {
            let offset = match one.error.err() {
                None => Ok(one.offset),
                Some(open @ ResponseError::UnstableOffsetCommit) => {
                    return Err(Failure::answered(open));
                }
                Some(error) => Err(error),
            };
            partitions.push((one.partition, offset));
        }
        partitions.sort_unstable_by_key(|(partition, _)| *partition);
        offsets.insert(topic, partitions);
    }
    Ok(offsets)
}
