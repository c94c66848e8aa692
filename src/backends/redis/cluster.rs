//! A cluster: one pipeline for each node. A node that fails, fails its own keys alone.

use std::{collections::BTreeSet, io, sync::Arc};

use futures_util::future::{join_all, select_ok};
use parking_lot::Mutex;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::time::{Instant, timeout_at};

use super::{
    cluster_node::{ClusterNode, SlotMap},
    command::{Command, Reply, asking_pipeline, payloads, pipeline},
    connect::RedisConnector,
    errors::{is_of_connection, no_response},
    server::RedisServer,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::HostPort,
};

/// The nodes of a cluster, each with a connection of its own. The client library's own cluster
/// connection is not used: while it recovers from the loss of one node, the requests to all nodes
/// wait.
pub struct Cluster {
    connector: RedisConnector,
    /// The addresses that the trigger names.
    seeds: Vec<HostPort>,
    slots: Mutex<Arc<SlotMap>>,
    refreshing: tokio::sync::Mutex<()>,
}

/// More nodes than this are not requested at once for the slots.
const SOURCES: usize = 3;

impl Cluster {
    /// Reads the slots from the first of the given nodes that responds.
    pub async fn open(
        connector: RedisConnector,
        seeds: &[HostPort],
        deadline: Instant,
    ) -> Result<Self> {
        let sources = seeds.iter().map(|seed| {
            let (node, connector) = (ClusterNode::new(seed.clone()), &connector);
            Box::pin(async move {
                let read = node.read_slots(connector, deadline).await;
                read.map_err(|error| connector.error(&error).at(format_args!("node {seed}")))
            })
        });
        let (slots, _) = select_ok(sources).await?;
        if slots.nodes().is_empty() {
            return Err(Error::new(
                Kind::Unreachable,
                "no node of the cluster has any slots",
                "Create the cluster (redis-cli --cluster create).",
            ));
        }
        Ok(Cluster {
            seeds: seeds.to_vec(),
            connector,
            slots: Mutex::new(Arc::new(slots)),
            refreshing: tokio::sync::Mutex::default(),
        })
    }

    /// The nodes that have these keys.
    pub fn nodes_of<'a>(&self, keys: impl Iterator<Item = &'a str>) -> BTreeSet<usize> {
        let slots = self.slots.lock().clone();
        keys.filter_map(|key| slots.index(key)).collect()
    }

    /// The address of the node that has a key.
    pub fn address_of(&self, key: &str) -> Option<HostPort> {
        let slots = self.slots.lock().clone();
        slots.node(key).map(|node| node.address.clone())
    }

    /// Runs the commands in one round trip for each node, and those that were redirected or could
    /// not be sent in a second one. `Err` means that no node responds.
    ///
    /// A node gets half of the time, so that the other half is left for the second attempt.
    pub async fn run(
        &self,
        commands: &[Command<'_>],
        deadline: Instant,
    ) -> Result<Vec<Reply>, RedisError> {
        let slots = self.slots.lock().clone();
        let mut pipelines = NodePipelines::default();
        for (index, command) in commands.iter().enumerate() {
            if let Some(node) = slots.node(command.key) {
                pipelines.add(node, false, index);
            }
        }
        let mut replies = vec![Err(no_node()); commands.len()];
        self.run_on(pipelines, commands, &mut replies, half_way(deadline))
            .await;
        let failed = |reply: &Reply| reply.as_ref().is_err_and(is_of_connection);
        let moved = |reply: &Reply| reply.as_ref().is_err_and(is_redirection);
        if !replies.iter().any(|reply| failed(reply) || moved(reply)) {
            return Ok(replies);
        }
        let refreshed = self.refresh(&slots, half_way(deadline)).await;
        if let Err(error) = refreshed
            && replies.iter().all(failed)
        {
            return Err(error);
        }
        let slots = self.slots.lock().clone();
        let mut pipelines = NodePipelines::default();
        for (index, command) in commands.iter().enumerate() {
            let Err(error) = &replies[index] else {
                continue;
            };
            if let Some((node, asking)) = second_node(error, command.key, &slots) {
                pipelines.add(&node, asking, index);
            }
        }
        self.run_on(pipelines, commands, &mut replies, deadline)
            .await;
        Ok(replies)
    }

    /// Every node that has keys, with its connection. Read anew, so that no node is missed that got
    /// its slots since.
    pub async fn masters(
        &self,
        deadline: Instant,
    ) -> Result<Vec<(HostPort, Result<Arc<RedisServer>, RedisError>)>, RedisError> {
        let slots = self.slots.lock().clone();
        self.refresh(&slots, half_way(deadline)).await?;
        let slots = self.slots.lock().clone();
        let servers = slots.nodes().iter().map(|node| async {
            let server = node.server(&self.connector, half_way(deadline)).await;
            (node.address.clone(), server)
        });
        Ok(join_all(servers).await)
    }

    /// Runs all pipelines at once.
    async fn run_on(
        &self,
        pipelines: NodePipelines,
        commands: &[Command<'_>],
        replies: &mut [Reply],
        deadline: Instant,
    ) {
        let runs = pipelines.0.into_iter().map(|pipeline| async move {
            let outcome = self.run_one(&pipeline, commands, deadline).await;
            (outcome, pipeline.commands)
        });
        for (outcome, indexes) in join_all(runs).await {
            match outcome {
                Ok(values) => {
                    for (index, value) in indexes.into_iter().zip(values) {
                        replies[index] = value;
                    }
                }
                Err(error) => {
                    for index in indexes {
                        replies[index] = Err(error.clone());
                    }
                }
            }
        }
    }

    async fn run_one(
        &self,
        NodePipeline {
            node,
            asking,
            commands: indexes,
        }: &NodePipeline,
        commands: &[Command<'_>],
        deadline: Instant,
    ) -> Result<Vec<Reply>, RedisError> {
        let server = node.server(&self.connector, deadline).await?;
        let commands = indexes.iter().map(|&index| &commands[index]);
        server.expect_payloads(payloads(commands.clone()));
        if !asking {
            return server.run(&pipeline(commands), deadline).await;
        }
        let replies = server.run(&asking_pipeline(commands), deadline).await?;
        // Every second reply is that of the command, after that of ASKING.
        Ok(replies.into_iter().skip(1).step_by(2).collect())
    }

    /// Reads the slots anew, unless another request has done so since `known`.
    async fn refresh(&self, known: &Arc<SlotMap>, deadline: Instant) -> Result<(), RedisError> {
        let limit = deadline.saturating_duration_since(Instant::now());
        let refreshing = timeout_at(deadline, self.refreshing.lock()).await;
        let _refreshing = refreshing.map_err(|_| no_response(limit))?;
        let current = self.slots.lock().clone();
        if !Arc::ptr_eq(known, &current) {
            return Ok(());
        }
        let healthy = current.nodes().iter().filter(|node| node.is_connected());
        let mut sources: Vec<_> = healthy.take(SOURCES).cloned().collect();
        if sources.is_empty() {
            let seeds = self.seeds.iter().cloned();
            sources.extend(seeds.map(|seed| Arc::new(ClusterNode::new(seed))));
        }
        let reads = sources
            .iter()
            .map(|node| Box::pin(node.read_slots(&self.connector, deadline)));
        let (slots, _) = select_ok(reads).await?;
        *self.slots.lock() = Arc::new(slots.with_known_nodes(&current));
        Ok(())
    }
}

/// Which commands go to which node.
#[derive(Default)]
struct NodePipelines(Vec<NodePipeline>);

struct NodePipeline {
    node: Arc<ClusterNode>,
    /// Their slots are still on their way to the node.
    asking: bool,
    /// By index.
    commands: Vec<usize>,
}

impl NodePipelines {
    fn add(&mut self, node: &Arc<ClusterNode>, asking: bool, command: usize) {
        let same = |pipeline: &&mut NodePipeline| {
            pipeline.asking == asking && pipeline.node.address == node.address
        };
        match self.0.iter_mut().find(same) {
            Some(pipeline) => pipeline.commands.push(command),
            None => self.0.push(NodePipeline {
                node: node.clone(),
                asking,
                commands: vec![command],
            }),
        }
    }
}

/// The node for the second attempt of a command, and whether the slot is still on its way to it.
/// `None`: a second attempt cannot help.
fn second_node(error: &RedisError, key: &str, slots: &SlotMap) -> Option<(Arc<ClusterNode>, bool)> {
    let redirected = || {
        let address = error.redirect_node()?.0.parse().ok()?;
        Some(slots.node_at(&address))
    };
    let owner = || slots.node(key).cloned();
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::Ask) => Some((redirected()?, true)),
        ErrorKind::Server(ServerErrorKind::Moved) => Some((redirected().or_else(owner)?, false)),
        ErrorKind::Io if !error.is_timeout() => Some((owner()?, false)),
        _ => None,
    }
}

fn is_redirection(error: &RedisError) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask)
    )
}

/// Half of the time until a deadline.
fn half_way(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

fn no_node() -> RedisError {
    let what = "no node of the cluster has this key's slot";
    io::Error::new(io::ErrorKind::NotConnected, what).into()
}
