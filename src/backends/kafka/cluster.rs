//! The brokers of a cluster, with one connection to each that is requested.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use kafka_protocol::messages::MetadataRequest;
use parking_lot::Mutex;
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, timeout_at},
};

use super::{
    config::Connection,
    errors,
    protocol::{
        self, BrokerConnection, BrokerError, ClusterMetadata, ErrorCause, Node, Request, Security,
        TopicMetadata, requests::metadata,
    },
    retry::attempt_deadline,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::HostPort,
    network::Network,
};

/// A failed attempt to connect counts for others that want a connection at the same time.
const SAME_TIME: Duration = Duration::from_millis(50);

/// The brokers of a cluster.
pub struct Cluster {
    security: Security,
    brokers: Mutex<HashMap<i32, Arc<Broker>>>,
}

/// A broker, with the address that it advertises.
struct Broker {
    id: i32,
    address: HostPort,
    state: AsyncMutex<BrokerState>,
}

/// The connection to a broker.
enum BrokerState {
    None,
    Open(Arc<BrokerConnection>),
    Failed(Instant, BrokerError),
}

impl Cluster {
    /// Discovers the brokers through those that the connection names, whichever responds first.
    pub async fn discover(
        connection: &Connection,
        network: &Network,
        deadline: Instant,
    ) -> Result<Self> {
        let shared = (connection.clone(), network.clone());
        // Reading certificates takes a while.
        let security =
            tokio::task::spawn_blocking(move || Security::new(&shared.0, shared.1)).await;
        let security = security.map_err(|error| {
            let next = "This is a defect of backlog-scaler: please report it with this text.";
            Error::new(Kind::Internal, error.to_string(), next)
        })??;
        let first = first_response(&connection.servers, &security, deadline).await;
        let (address, connection, response) =
            first.map_err(|error| errors::of_connection(&error, connection))?;
        let cluster = Cluster {
            security,
            brokers: Mutex::default(),
        };
        cluster.update_brokers(&response.brokers);
        cluster.keep_connection(&address, connection).await;
        Ok(cluster)
    }

    /// The metadata of topics; `None`: of all.
    pub async fn topics(
        &self,
        names: Option<&[&str]>,
        deadline: Instant,
    ) -> Result<Vec<TopicMetadata>, BrokerError> {
        let response = self.request_any(|_| metadata(names), deadline).await?;
        self.update_brokers(&response.brokers);
        Ok(response.topics)
    }

    /// Sends a request to a broker.
    pub async fn request<R: Request>(
        &self,
        id: i32,
        request: impl FnOnce(i16) -> R,
        deadline: Instant,
    ) -> Result<R::Response, BrokerError> {
        let broker = self.brokers.lock().get(&id).cloned();
        let unknown = || BrokerError::new(ErrorCause::Unreachable, format!("broker {id} is gone"));
        self.request_from(&*broker.ok_or_else(unknown)?, request, deadline)
            .await
    }

    /// Sends a request to one broker after the other until one responds, those with an open
    /// connection first. An error means that the cluster is lost.
    pub async fn request_any<R: Request>(
        &self,
        request: impl Fn(i16) -> R,
        deadline: Instant,
    ) -> Result<R::Response, BrokerError> {
        let mut last: Option<BrokerError> = None;
        for broker in self.candidates() {
            let attempt = attempt_deadline(deadline);
            match self.request_from(&broker, &request, attempt).await {
                Ok(response) => return Ok(response),
                Err(error) => last = Some(more_specific(last, error)),
            }
        }
        Err(last
            .unwrap_or_else(|| BrokerError::new(ErrorCause::Unreachable, "there are no brokers")))
    }

    /// Adds a broker that a response has named.
    pub fn add_broker(&self, node: &Node) {
        let id = node.id;
        if let Some(address) = address(node) {
            let mut brokers = self.brokers.lock();
            match brokers.get(&id) {
                Some(known) if known.address == address => {}
                _ => {
                    brokers.insert(id, Arc::new(Broker::new(id, address)));
                }
            }
        }
    }

    /// Takes the brokers that there are now. One that has not moved keeps its connection.
    fn update_brokers(&self, now: &[Node]) {
        let mut brokers = self.brokers.lock();
        let mut known = std::mem::take(&mut *brokers);
        for broker in now {
            let id = broker.id;
            let Some(address) = address(broker) else {
                continue;
            };
            let same = known.remove(&id).filter(|known| known.address == address);
            brokers.insert(
                id,
                same.unwrap_or_else(|| Arc::new(Broker::new(id, address))),
            );
        }
    }

    /// Keeps the first connection, if it is to an address that a broker advertises.
    async fn keep_connection(&self, address: &HostPort, connection: BrokerConnection) {
        let brokers = self.candidates();
        if let Some(broker) = brokers.iter().find(|broker| broker.address == *address) {
            *broker.state.lock().await = BrokerState::Open(Arc::new(connection));
        }
    }

    fn candidates(&self) -> Vec<Arc<Broker>> {
        let brokers = self.brokers.lock();
        let mut brokers: Vec<_> = brokers.values().cloned().collect();
        brokers.sort_by_key(|broker| (!broker.is_connected(), broker.id));
        brokers
    }

    async fn request_from<R: Request>(
        &self,
        broker: &Broker,
        request: impl FnOnce(i16) -> R,
        deadline: Instant,
    ) -> Result<R::Response, BrokerError> {
        let place = |error: BrokerError| {
            let Broker { id, address, .. } = broker;
            error.at(format_args!("broker {id} at {address}"))
        };
        let connection = timeout_at(deadline, broker.connection(&self.security)).await;
        let connection = connection
            .unwrap_or_else(|_| Err(BrokerError::timed_out()))
            .map_err(place)?;
        let requested = async {
            let version = connection.version::<R>()?;
            connection.call(&request(version), version).await
        };
        let response = timeout_at(deadline, requested).await.unwrap_or_else(|_| {
            connection.give_up();
            Err(BrokerError::timed_out())
        });
        response.map_err(place)
    }
}

impl Broker {
    fn new(id: i32, address: HostPort) -> Self {
        Broker {
            id,
            address,
            state: AsyncMutex::new(BrokerState::None),
        }
    }

    /// Whether there is a connection, as far as is known without waiting.
    fn is_connected(&self) -> bool {
        let state = self.state.try_lock();
        state.is_ok_and(
            |state| matches!(&*state, BrokerState::Open(connection) if connection.is_good()),
        )
    }

    /// The connection, opened if there is none.
    async fn connection(&self, security: &Security) -> Result<Arc<BrokerConnection>, BrokerError> {
        let mut state = self.state.lock().await;
        match &*state {
            BrokerState::Open(connection) if connection.is_good() => return Ok(connection.clone()),
            BrokerState::Failed(at, error) if at.elapsed() < SAME_TIME => return Err(error.clone()),
            _ => {}
        }
        match protocol::open(&self.address, security).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *state = BrokerState::Open(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                *state = BrokerState::Failed(Instant::now(), error.clone());
                Err(error)
            }
        }
    }
}

/// Connects to all at once, and keeps the first that responds to a request.
async fn first_response(
    servers: &[HostPort],
    security: &Security,
    deadline: Instant,
) -> Result<(HostPort, BrokerConnection, ClusterMetadata), BrokerError> {
    // One server is named by the connection already.
    let place = |server: &HostPort, error: BrokerError| match servers.len() {
        1 => error,
        _ => error.at(server),
    };
    let attempts = servers.iter().map(|server| async move {
        let requested = async {
            let connection = protocol::open(server, security).await?;
            let version = connection.version::<MetadataRequest>()?;
            let response = connection.call(&metadata(Some(&[])), version).await?;
            Ok((server.clone(), connection, response))
        };
        requested.await.map_err(|error| place(server, error))
    });
    let mut attempts: FuturesUnordered<_> = attempts.collect();
    let mut error = None;
    loop {
        match timeout_at(deadline, attempts.next()).await {
            Ok(Some(Ok(first))) => return Ok(first),
            Ok(Some(Err(found))) => error = Some(more_specific(error, found)),
            Ok(None) => break,
            Err(_) => {
                error = Some(more_specific(error, BrokerError::timed_out()));
                break;
            }
        }
    }
    Err(error.unwrap_or_else(BrokerError::timed_out))
}

fn address(node: &Node) -> Option<HostPort> {
    Some(HostPort {
        host: node.host.clone(),
        port: u16::try_from(node.port).ok()?,
    })
}

fn more_specific(before: Option<BrokerError>, now: BrokerError) -> BrokerError {
    match before {
        Some(before) if before.specificity() > now.specificity() => before,
        _ => now,
    }
}
