//! The nodes of a cluster, and which of them has which slots.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use redis::{RedisError, Value, cluster_routing::Slot};
use tokio::time::{Instant, timeout_at};

use super::{
    command::{as_array, as_text},
    connect::{RedisConnector, login},
    errors::no_response,
    server::RedisServer,
};
use crate::metadata::values::HostPort;

/// One node. Its connection is opened when it is needed, and again when it broke.
pub struct ClusterNode {
    pub address: HostPort,
    state: Mutex<NodeState>,
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct NodeState {
    server: Option<Arc<RedisServer>>,
    /// Why the last attempt to open it failed, or its connection broke.
    error: Option<RedisError>,
}

impl ClusterNode {
    pub fn new(address: HostPort) -> Self {
        ClusterNode {
            address,
            state: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// The node's connection, opened if there is none that works.
    ///
    /// While one request tries to open a node that has failed, the others get its last error at
    /// once: a node that hangs holds up one batch at a time.
    pub async fn server(
        &self,
        connector: &RedisConnector,
        deadline: Instant,
    ) -> Result<Arc<RedisServer>, RedisError> {
        if let Some(server) = self.connected() {
            return Ok(server);
        }
        let _opening = match (self.opening.try_lock(), self.last_error()) {
            (Ok(opening), _) => opening,
            (Err(_), Some(error)) => return Err(error),
            (Err(_), None) => {
                let limit = deadline.saturating_duration_since(Instant::now());
                let opening = timeout_at(deadline, self.opening.lock()).await;
                opening.map_err(|_| no_response(limit))?
            }
        };
        if let Some(server) = self.connected() {
            return Ok(server);
        }
        let connection = &connector.connection;
        let login = login(&connection.username, &connection.password, 0);
        let opened = connector.open(&self.address, login, deadline).await;
        let opened = opened.map(Arc::new);
        let mut state = self.state.lock();
        state.error = opened.as_ref().err().cloned();
        state.server = opened.as_ref().ok().cloned();
        opened
    }

    pub fn is_connected(&self) -> bool {
        self.connected().is_some()
    }

    fn connected(&self) -> Option<Arc<RedisServer>> {
        let mut state = self.state.lock();
        if let Some(error) = state.server.as_ref()?.failure() {
            state.error = Some(error);
            state.server = None;
        }
        state.server.clone()
    }

    fn last_error(&self) -> Option<RedisError> {
        self.state.lock().error.clone()
    }

    /// Reads from this node which node has which slots.
    pub async fn read_slots(
        &self,
        connector: &RedisConnector,
        deadline: Instant,
    ) -> Result<SlotMap, RedisError> {
        let server = self.server(connector, deadline).await?;
        let mut request = redis::cmd("CLUSTER");
        request.arg("SLOTS");
        let reply = server.command(request, deadline).await?;
        SlotMap::parse(&reply, &self.address.host).ok_or_else(|| {
            let what = "CLUSTER SLOTS: the reply is not a list of slots";
            redis::ParsingError::from(what).into()
        })
    }
}

/// Which node has which slots.
#[derive(Default)]
pub struct SlotMap {
    nodes: Vec<Arc<ClusterNode>>,
    by_slot: HashMap<Slot, usize>,
}

impl SlotMap {
    /// From the reply of CLUSTER SLOTS: first slot, last slot, then the master and its replicas.
    /// A node without a host is at the `host` that replied.
    fn parse(reply: &Value, host: &str) -> Option<Self> {
        let mut map = SlotMap::default();
        for range in as_array(reply)? {
            let [first, last, master, ..] = as_array(range)? else {
                return None;
            };
            let [node_host, port, ..] = as_array(master)? else {
                return None;
            };
            let node_host = match as_text(node_host) {
                None | Some("") => host,
                // The node's host is not known yet, so its slots cannot be read.
                Some("?") => continue,
                Some(node_host) => node_host,
            };
            let address = HostPort {
                host: node_host.to_owned(),
                port: as_u16(port)?,
            };
            let index = map.index_of(address);
            let slots = (as_u16(first)?..=as_u16(last)?).filter_map(Slot::new);
            map.by_slot.extend(slots.map(|slot| (slot, index)));
        }
        Some(map)
    }

    fn index_of(&mut self, address: HostPort) -> usize {
        let known = self.nodes.iter().position(|node| node.address == address);
        known.unwrap_or_else(|| {
            self.nodes.push(Arc::new(ClusterNode::new(address)));
            self.nodes.len() - 1
        })
    }

    /// The same map with the nodes of another one, where they have the same addresses: they keep
    /// their connections.
    pub fn with_known_nodes(mut self, known: &SlotMap) -> Self {
        for node in &mut self.nodes {
            *node = known.node_at(&node.address);
        }
        self
    }

    pub fn nodes(&self) -> &[Arc<ClusterNode>] {
        &self.nodes
    }

    /// The node that has a key's slot, as an index.
    pub fn index(&self, key: &str) -> Option<usize> {
        self.by_slot.get(&Slot::for_key(key)).copied()
    }

    /// The node that has a key's slot.
    pub fn node(&self, key: &str) -> Option<&Arc<ClusterNode>> {
        self.nodes.get(self.index(key)?)
    }

    /// The node with an address, or a new one.
    pub fn node_at(&self, address: &HostPort) -> Arc<ClusterNode> {
        let known = self.nodes.iter().find(|node| node.address == *address);
        let new = || Arc::new(ClusterNode::new(address.clone()));
        known.cloned().unwrap_or_else(new)
    }
}

fn as_u16(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let master = Value::Array(vec![host, Value::Int(port)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), master])
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn every_key_has_a_node_and_a_nameless_one_is_where_the_reply_came_from() {
        let reply = Value::Array(vec![
            range(0, 8191, text("10.0.0.1"), 6379),
            range(8192, 12000, Value::Nil, 6380),
            range(12001, 16383, text("10.0.0.1"), 6379),
        ]);
        let map = SlotMap::parse(&reply, "seed").unwrap();
        let addresses = map.nodes().iter().map(|node| node.address.to_string());
        assert_eq!(
            addresses.collect::<Vec<_>>(),
            ["10.0.0.1:6379", "seed:6380"]
        );
        // The slots of "a" and "foo" are 15495 and 12182, that of "b" is 3300, of "test" 6918.
        for key in ["a", "foo", "b", "test"] {
            assert_eq!(map.index(key), Some(0), "{key}");
        }
        assert_eq!(map.index("hello{user1000}"), Some(0));
    }

    #[test]
    fn a_node_keeps_its_connection_when_the_slots_are_read_anew() {
        let reply = Value::Array(vec![range(0, 16383, text("a"), 1)]);
        let parse = || SlotMap::parse(&reply, "seed").unwrap();
        let (old, new) = (parse(), parse());
        let node = old.nodes()[0].clone();
        assert!(Arc::ptr_eq(&node, &new.with_known_nodes(&old).nodes()[0]));
    }

    #[test]
    fn what_is_no_list_of_slots_is_no_map() {
        for nonsense in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(0, 16383, text("a"), 70_000)]),
        ] {
            assert!(SlotMap::parse(&nonsense, "seed").is_none(), "{nonsense:?}");
        }
    }
}
