//! A Redis Cluster.

use tokio::time::Instant;

use super::{Builder, Mode, Redis, rest};

/// Masters without replicas that share the slots equally. After the loss of one the others respond
/// CLUSTERDOWN as soon as they notice, in 2 to 4 s.
pub struct Cluster {
    pub nodes: Vec<Redis>,
}

impl Cluster {
    pub async fn start(masters: usize) -> Self {
        Self::start_with(masters, Redis::builder()).await
    }

    /// Configures every node by `node`. On return all nodes serve.
    pub async fn start_with(masters: usize, node: Builder) -> Self {
        let mut node = node.config("cluster-node-timeout 2000");
        node.mode = Mode::Cluster;
        let mut nodes: Vec<Redis> = Vec::new();
        for i in 0..masters {
            let new = node.clone().start().await;
            let first = (i * 16384 / masters).to_string();
            let last = ((i + 1) * 16384 / masters - 1).to_string();
            let epoch = (i + 1).to_string();
            new.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .await;
            new.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            if let Some(known) = nodes.first() {
                let [port, bus_port] = [new.port, new.bus_port].map(|port| port.to_string());
                known
                    .command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port])
                    .await;
            }
            nodes.push(new);
        }
        let started = Instant::now();
        for node in &nodes {
            while !node.says(&["CLUSTER", "INFO"], "cluster_state:ok").await {
                rest(started, "The nodes do not form a cluster", &nodes).await;
            }
        }
        Self { nodes }
    }

    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::address).collect()
    }

    /// The node that serves a key; waits for a cluster that is whole.
    pub async fn owner(&self, key: &str) -> &Redis {
        let started = Instant::now();
        loop {
            for node in &self.nodes {
                if node.try_command(&["EXISTS", key]).await.is_ok() {
                    return node;
                }
            }
            rest(started, "No node serves the key", &self.nodes).await;
        }
    }
}
