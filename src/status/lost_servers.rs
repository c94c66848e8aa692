//! Lost connections, by server and error, with the triggers that they affect.
//!
//! A server that is down is one thing to look at, with however many logins and databases it is used.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::{
    convert::{instance, status_of},
    model::TriggerStatus,
    snapshot::Snapshot,
};
use crate::{
    error::{Error, Kind},
    sampling::{Health, Inspected, InspectedConnection},
};

/// Lost connections to one server, with an equal error.
pub struct LostServer<'a> {
    /// The first connection, by address and name.
    pub first: &'a InspectedConnection,
    pub error: &'a Error,
    pub connections: usize,
    /// All connections have one id.
    pub has_one_id: bool,
    pub since: Instant,
    /// Those of their triggers that are stale or fail.
    pub affected: Vec<&'a Inspected>,
}

/// What makes two lost connections one thing to look at: backend, server, and the error without the
/// connection that it names.
type Cause<'a> = (&'static str, &'a str, Kind, &'a str, &'a str);

/// All lost servers of a snapshot, and which of them a connection belongs to.
pub struct LostServers<'a> {
    pub servers: Vec<LostServer<'a>>,
    by_instance: HashMap<usize, usize>,
}

impl<'a> LostServers<'a> {
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let mut by_cause = BTreeMap::<Cause<'_>, Vec<(&InspectedConnection, &Error)>>::new();
        for found in &snapshot.connections {
            if let Health::Lost(error) = &found.figures.health {
                let cause = cause(found, error);
                by_cause.entry(cause).or_default().push((found, error));
            }
        }
        let mut lost = LostServers {
            servers: Vec::new(),
            by_instance: HashMap::new(),
        };
        for connections in by_cause.into_values() {
            lost.add(connections);
        }
        for found in &snapshot.triggers {
            let is_affected = status_of(found) >= TriggerStatus::Stale;
            if let Some(server) = lost.server_of(found).filter(|_| is_affected) {
                lost.servers[server].affected.push(found);
            }
        }
        lost
    }

    fn add(&mut self, mut connections: Vec<(&'a InspectedConnection, &'a Error)>) {
        connections.sort_by_key(|(found, _)| (&found.address, &found.named));
        let Some(&(first, error)) = connections.first() else {
            return;
        };
        let server = self.servers.len();
        let instances = connections
            .iter()
            .map(|(found, _)| (found.instance, server));
        self.by_instance.extend(instances);
        let since = connections.iter().map(|(found, _)| found.figures.since);
        self.servers.push(LostServer {
            first,
            error,
            connections: connections.len(),
            has_one_id: connections.iter().all(|(found, _)| found.id == first.id),
            since: since.min().unwrap_or(first.figures.since),
            affected: Vec::new(),
        });
    }

    /// The lost server that a trigger measures, by its place.
    pub fn server_of(&self, found: &Inspected) -> Option<usize> {
        self.by_instance.get(&instance(found)?).copied()
    }
}

/// The errors of connections begin with the connection's name, which has login and database.
fn cause<'a>(found: &'a InspectedConnection, error: &'a Error) -> Cause<'a> {
    let what = error.what();
    let what = what.strip_prefix(&found.address).unwrap_or(what);
    (
        found.backend,
        &found.server,
        error.kind(),
        what,
        error.next(),
    )
}
