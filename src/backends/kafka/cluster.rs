//! The brokers of a cluster, with one connection to each that is asked.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use kafka_protocol::{
    messages::{MetadataRequest, TopicName, metadata_request::MetadataRequestTopic},
    protocol::StrBytes,
};
use parking_lot::Mutex;
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, timeout_at},
};

use super::{
    config::Connection,
    errors,
    protocol::{self, Cause, Failure, Metadata, Node, Request, Security, Topic, Wire},
};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::HostPort,
};

/// A failed connection answers for others that want one at the same time.
const SAME_TIME: Duration = Duration::from_millis(50);
/// The part of the time that one broker may take when any will do.
const ONE_TRY: f64 = 0.5;

/// The brokers of a cluster.
pub struct Cluster {
    security: Security,
    brokers: Mutex<HashMap<i32, Arc<Broker>>>,
}

/// A broker, with the address under which it wants to be reached.
struct Broker {
    id: i32,
    address: HostPort,
    link: AsyncMutex<Link>,
}

/// The connection to a broker.
enum Link {
    None,
    Open(Arc<Wire>),
    Failed(Instant, Failure),
}

impl Cluster {
    /// Finds the brokers through those that the connection names, the first that answers.
    pub async fn join(connection: &Connection, deadline: Instant) -> Result<Self> {
        let shared = connection.clone();
        // Reading certificates takes a while.
        let security = tokio::task::spawn_blocking(move || Security::new(&shared)).await;
        let security = security.map_err(|error| {
            let next = "This is a defect of backlog-scaler: please report it with this text.";
            Error::new(Kind::Internal, error.to_string(), next)
        })??;
        let first = first_answer(&connection.servers, &security, deadline).await;
        let (address, wire, answer) =
            first.map_err(|failure| errors::of_connection(&failure, connection))?;
        let cluster = Cluster {
            security,
            brokers: Mutex::default(),
        };
        cluster.learn(&answer.brokers);
        cluster.adopt(&address, wire).await;
        Ok(cluster)
    }

    /// What the cluster says of topics; `None`: of all.
    pub async fn topics(
        &self,
        names: Option<&[&str]>,
        deadline: Instant,
    ) -> Result<Vec<Topic>, Failure> {
        let answer = self.ask_any(|_| metadata(names), deadline).await?;
        self.learn(&answer.brokers);
        Ok(answer.topics)
    }

    /// Asks a broker.
    pub async fn ask<R: Request>(
        &self,
        id: i32,
        request: impl FnOnce(i16) -> R,
        deadline: Instant,
    ) -> Result<R::Answer, Failure> {
        let broker = self.brokers.lock().get(&id).cloned();
        let unknown = || Failure::new(Cause::Unreachable, format!("broker {id} is gone"));
        self.ask_broker(&*broker.ok_or_else(unknown)?, request, deadline)
            .await
    }

    /// Asks one broker after the other until one answers, those first to which there is a
    /// connection. A failure means that the cluster is lost.
    pub async fn ask_any<R: Request>(
        &self,
        request: impl Fn(i16) -> R,
        deadline: Instant,
    ) -> Result<R::Answer, Failure> {
        let mut failure: Option<Failure> = None;
        for broker in self.candidates() {
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = Instant::now() + left.mul_f64(ONE_TRY);
            match self.ask_broker(&broker, &request, patience).await {
                Ok(answer) => return Ok(answer),
                Err(found) => failure = Some(more_telling(failure, found)),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::new(Cause::Unreachable, "there are no brokers")))
    }

    /// A broker that nobody has told us of yet.
    pub fn meet(&self, node: &Node) {
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

    /// The brokers that there are now. Who has not moved keeps the connection.
    fn learn(&self, now: &[Node]) {
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

    /// Keeps the first connection, if it is to where a broker wants to be reached.
    async fn adopt(&self, address: &HostPort, wire: Wire) {
        let brokers = self.candidates();
        if let Some(broker) = brokers.iter().find(|broker| broker.address == *address) {
            *broker.link.lock().await = Link::Open(Arc::new(wire));
        }
    }

    fn candidates(&self) -> Vec<Arc<Broker>> {
        let brokers = self.brokers.lock();
        let mut brokers: Vec<_> = brokers.values().cloned().collect();
        brokers.sort_by_key(|broker| (!broker.is_linked(), broker.id));
        brokers
    }

    async fn ask_broker<R: Request>(
        &self,
        broker: &Broker,
        request: impl FnOnce(i16) -> R,
        deadline: Instant,
    ) -> Result<R::Answer, Failure> {
        let place = |failure: Failure| {
            let Broker { id, address, .. } = broker;
            failure.at(format_args!("broker {id} at {address}"))
        };
        let wire = timeout_at(deadline, broker.wire(&self.security)).await;
        let wire = wire
            .unwrap_or_else(|_| Err(Failure::late()))
            .map_err(place)?;
        let asked = async {
            let version = wire.version::<R>()?;
            wire.call(&request(version), version).await
        };
        let answer = timeout_at(deadline, asked).await.unwrap_or_else(|_| {
            wire.give_up();
            Err(Failure::late())
        });
        answer.map_err(place)
    }
}

impl Broker {
    fn new(id: i32, address: HostPort) -> Self {
        Broker {
            id,
            address,
            link: AsyncMutex::new(Link::None),
        }
    }

    /// Whether there is a connection, as far as can be told without waiting.
    fn is_linked(&self) -> bool {
        let link = self.link.try_lock();
        link.is_ok_and(|link| matches!(&*link, Link::Open(wire) if wire.is_good()))
    }

    /// The connection, opened if there is none.
    async fn wire(&self, security: &Security) -> Result<Arc<Wire>, Failure> {
        let mut link = self.link.lock().await;
        match &*link {
            Link::Open(wire) if wire.is_good() => return Ok(wire.clone()),
            Link::Failed(at, failure) if at.elapsed() < SAME_TIME => return Err(failure.clone()),
            _ => {}
        }
        match protocol::open(&self.address, security).await {
            Ok(wire) => {
                let wire = Arc::new(wire);
                *link = Link::Open(wire.clone());
                Ok(wire)
            }
            Err(failure) => {
                *link = Link::Failed(Instant::now(), failure.clone());
                Err(failure)
            }
        }
    }
}

/// Connects to all at once, and stays with the first that answers a request.
async fn first_answer(
    servers: &[HostPort],
    security: &Security,
    deadline: Instant,
) -> Result<(HostPort, Wire, Metadata), Failure> {
    // One server is named by the connection already.
    let place = |server: &HostPort, failure: Failure| match servers.len() {
        1 => failure,
        _ => failure.at(server),
    };
    let tries = servers.iter().map(|server| async move {
        let asked = async {
            let wire = protocol::open(server, security).await?;
            let version = wire.version::<MetadataRequest>()?;
            let answer = wire.call(&metadata(Some(&[])), version).await?;
            Ok((server.clone(), wire, answer))
        };
        asked.await.map_err(|failure| place(server, failure))
    });
    let mut tries: FuturesUnordered<_> = tries.collect();
    let mut failure = None;
    loop {
        match timeout_at(deadline, tries.next()).await {
            Ok(Some(Ok(first))) => return Ok(first),
            Ok(Some(Err(found))) => failure = Some(more_telling(failure, found)),
            Ok(None) => break,
            Err(_) => {
                failure = Some(more_telling(failure, Failure::late()));
                break;
            }
        }
    }
    Err(failure.unwrap_or_else(Failure::late))
}

fn metadata(names: Option<&[&str]>) -> MetadataRequest {
    let topic = |name: &&str| {
        let name = TopicName(StrBytes::from_string((*name).to_owned()));
        MetadataRequestTopic::default().with_name(Some(name))
    };
    MetadataRequest::default()
        .with_topics(names.map(|names| names.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(false)
}

fn address(node: &Node) -> Option<HostPort> {
    Some(HostPort {
        host: node.host.clone(),
        port: u16::try_from(node.port).ok()?,
    })
}

fn more_telling(before: Option<Failure>, now: Failure) -> Failure {
    match before {
        Some(before) if before.tells() > now.tells() => before,
        _ => now,
    }
}
