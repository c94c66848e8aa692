//! A cluster: one pipeline a node, whichever slots it has.

use std::collections::HashMap;

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{
    ErrorKind, Pipeline, RedisError, ServerErrorKind, Value,
    cluster_async::ClusterConnection,
    cluster_routing::{RoutingInfo, SingleNodeRoutingInfo, Slot},
};

use super::client::{Command, Reply, scan};

/// A connection to all nodes. The client library follows redirections and finds new nodes; the map
/// here only decides which commands travel together.
pub struct Cluster {
    connection: ClusterConnection,
    masters: Mutex<Masters>,
}

#[derive(Clone, Default)]
struct Masters {
    nodes: Vec<(String, u16)>,
    by_slot: HashMap<Slot, usize>,
}

/// CLUSTER SLOTS: first slot, last slot, then the master and its replicas.
type SlotRange = (u16, u16, (String, u16));

impl Cluster {
    pub async fn open(connection: ClusterConnection) -> Result<Self, RedisError> {
        let cluster = Cluster {
            connection,
            masters: Mutex::default(),
        };
        cluster.refresh().await?;
        Ok(cluster)
    }

    /// Learns anew which master has which slots.
    async fn refresh(&self) -> Result<(), RedisError> {
        let mut cmd = redis::cmd("CLUSTER");
        cmd.arg("SLOTS");
        let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
        let value = self.connection.clone().route_command(cmd, any).await?;
        *self.masters.lock() = Masters::from_slots(value)?;
        Ok(())
    }

    pub async fn run(&self, commands: &[Command<'_>]) -> Result<Vec<Reply>, RedisError> {
        let mut replies: Vec<Option<Reply>> = Vec::new();
        replies.resize_with(commands.len(), || None);
        let groups = self.masters.lock().group(commands);
        let runs = groups.into_iter().map(|(node, indexes)| async move {
            let outcome = self.run_on(node, &indexes, commands).await;
            (indexes, outcome)
        });
        for (indexes, outcome) in join_all(runs).await {
            match outcome {
                Ok(values) => {
                    for (index, value) in indexes.into_iter().zip(values) {
                        replies[index] = Some(value.extract_error());
                    }
                }
                // The node is gone or the slots have moved: its keys are asked one by one, which
                // follows redirections, and fail by themselves.
                Err(error) => {
                    for index in indexes {
                        replies[index] = Some(Err(error.clone()));
                    }
                }
            }
        }
        let replies = replies
            .into_iter()
            .map(|reply| reply.unwrap_or_else(|| Err(no_reply())));
        self.follow(commands, replies.collect()).await
    }

    async fn run_on(
        &self,
        (host, port): (String, u16),
        indexes: &[usize],
        commands: &[Command<'_>],
    ) -> Result<Vec<Value>, RedisError> {
        let mut pipeline = Pipeline::with_capacity(indexes.len());
        for &index in indexes {
            pipeline.add_command(commands[index].cmd());
        }
        let route = SingleNodeRoutingInfo::ByAddress { host, port };
        self.connection
            .clone()
            .route_pipeline(pipeline, 0, indexes.len(), route)
            .await
    }

    /// Asks again what was redirected or could not be sent, and learns the new map.
    async fn follow(
        &self,
        commands: &[Command<'_>],
        mut replies: Vec<Reply>,
    ) -> Result<Vec<Reply>, RedisError> {
        let moved: Vec<usize> = (0..replies.len())
            .filter(|&index| replies[index].as_ref().is_err_and(has_moved))
            .collect();
        if moved.is_empty() {
            return Ok(replies);
        }
        let refreshed = self.refresh().await;
        let again = moved.iter().map(|&index| {
            let mut connection = self.connection.clone();
            async move {
                let reply = commands[index]
                    .cmd()
                    .query_async::<Value>(&mut connection)
                    .await;
                (index, reply)
            }
        });
        for (index, reply) in join_all(again).await {
            replies[index] = reply;
        }
        // With no node left to say who has what, the connection as a whole is lost.
        match refreshed {
            Err(error) if replies.iter().all(Result::is_err) => Err(error),
            _ => Ok(replies),
        }
    }

    pub async fn scan_page(
        &self,
        glob: &str,
        cursors: Option<Vec<u64>>,
    ) -> Result<(Vec<String>, Vec<u64>), RedisError> {
        let nodes = self.masters.lock().nodes.clone();
        let first = cursors.is_none();
        let cursors = cursors.unwrap_or_else(|| vec![0; nodes.len()]);
        if cursors.len() != nodes.len() {
            let what = "the cluster's nodes changed during a scan";
            return Err((ErrorKind::ClusterConnectionNotFound, what).into());
        }
        let pages = nodes
            .into_iter()
            .zip(cursors)
            .map(|((host, port), cursor)| async move {
                if cursor == 0 && !first {
                    return Ok((0, Vec::new()));
                }
                let route = SingleNodeRoutingInfo::ByAddress { host, port };
                let route = RoutingInfo::SingleNode(route);
                let value = self
                    .connection
                    .clone()
                    .route_command(scan(glob, cursor), route)
                    .await?;
                let page: (u64, Vec<String>) = redis::from_redis_value(value)?;
                Ok::<_, RedisError>(page)
            });
        let pages: Result<Vec<_>, _> = join_all(pages).await.into_iter().collect();
        let (cursors, keys): (Vec<u64>, Vec<Vec<String>>) = pages?.into_iter().unzip();
        Ok((keys.concat(), cursors))
    }
}

impl Masters {
    fn from_slots(value: Value) -> Result<Self, RedisError> {
        let ranges: Vec<Vec<Value>> = redis::from_redis_value(value)?;
        let mut masters = Masters::default();
        for range in ranges {
            let (first, last, node) = slot_range(range)?;
            let position = masters.nodes.iter().position(|known| *known == node);
            let index = position.unwrap_or_else(|| {
                masters.nodes.push(node);
                masters.nodes.len() - 1
            });
            let slots = (first..=last).filter_map(Slot::new);
            masters.by_slot.extend(slots.map(|slot| (slot, index)));
        }
        Ok(masters)
    }

    /// Which commands go to which node. Those of a slot that nobody has go to the first, whose
    /// answer says what is wrong.
    fn group(&self, commands: &[Command<'_>]) -> Vec<((String, u16), Vec<usize>)> {
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (index, command) in commands.iter().enumerate() {
            let node = self.by_slot.get(&Slot::for_key(command.key)).copied();
            if let Some(group) = groups.get_mut(node.unwrap_or(0)) {
                group.push(index);
            }
        }
        let groups = self.nodes.iter().cloned().zip(groups);
        groups.filter(|(_, indexes)| !indexes.is_empty()).collect()
    }
}

fn slot_range(range: Vec<Value>) -> Result<SlotRange, RedisError> {
    let mut parts = range.into_iter();
    let mut next = || parts.next().unwrap_or(Value::Nil);
    let (first, last) = (
        redis::from_redis_value(next())?,
        redis::from_redis_value(next())?,
    );
    let master: Vec<Value> = redis::from_redis_value(next())?;
    let mut master = master.into_iter();
    let mut next = || master.next().unwrap_or(Value::Nil);
    let node = (
        redis::from_redis_value(next())?,
        redis::from_redis_value(next())?,
    );
    Ok((first, last, node))
}

/// Whether asking again, by way of the library's own routing, may help.
fn has_moved(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain
        ),
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => !error.is_timeout(),
        _ => false,
    }
}

fn no_reply() -> RedisError {
    (
        ErrorKind::ClusterConnectionNotFound,
        "no node has this key's slot",
    )
        .into()
}
