//! A template for a new backend, complete and small: copy it, then follow the checklist in
//! CONTRIBUTING.md. It is built and run by the unit tests alone.
//!
//! The system it reads is made up: a server that takes lines over TCP. `COUNT name` returns a
//! number, or `ERR text`. A real backend splits this file into those that every backend has:
//! `config`, `keys`, `query`, `client`, `sample`, `errors`, and a README.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::{
    error::{Error, Kind, Result},
    metadata::{
        problem::{Problem, Problems},
        signal::{Needs, Signal},
        tls::TlsKeys,
        values::{Activation, HostPort, Target},
    },
    network::Network,
    sampling::{
        Backend, Batch, ConnectionKeys, CountRule, Measured, Pace, Plan, QueriedName, TriggerKeys,
        TriggerType, TriggerTypes,
    },
};

// config.rs: the connection, and its declared keys -------------------------------------------------

/// Address and credentials. Equal values are one connection, so a list is sorted first.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Connection {
    address: HostPort,
}

impl fmt::Display for Connection {
    /// `name user@host:port`: part of errors, log lines and metrics, so without a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template {}", self.address)
    }
}

/// The doc comment of a field is its text in the reference: what it means, and its unit.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AddressKeys {
    /// The server as `host:port`.
    address: String,
}

impl ConnectionKeys<Template> for AddressKeys {
    fn check(self, tls: TlsKeys) -> Result<Connection, Problems> {
        // All problems at once: `keep` collects them.
        let mut problems = Problems::default();
        let address = HostPort::parse(&self.address, "template.shop:7000")
            .map_err(|reason| Problem::value("address", &self.address, reason));
        let address = problems.keep(address);
        if problems.keep(tls.check(false)).flatten().is_some() {
            problems.push(Problem::key("tls", "is not supported by this server"));
        }
        problems.into_result()?;
        let address = address.expect("a missing address is a problem");
        Ok(Connection { address })
    }
}

// keys.rs: the trigger's own keys, as KEDA's scaler names them -------------------------------------

/// How many entries are waiting in a queue.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct QueueKeys {
    /// The queue. A missing one counts 0.
    queue: String,
    /// The wanted number of entries per replica.
    #[serde(default = "five")]
    length: Target,
    /// The trigger is active above this many entries.
    #[serde(default)]
    activation_length: Activation,
}

fn five() -> Target {
    Target(5)
}

impl TriggerKeys<Template> for QueueKeys {
    fn check(self, needs: Needs) -> Result<Plan<Template>, Problems> {
        needs.supports("a queue", &[Signal::Backlog])?;
        needs.no_in_flight("is not known of a queue")?;
        Ok(Plan {
            readable_name: format!("template-{}", self.queue),
            query: Query { queue: self.queue },
            // A rule of your own implements `Rule`: a pure function of the sample and two times.
            rule: CountRule {
                activation: self.activation_length,
            },
            target: self.length,
        })
    }
}

// query.rs: what is measured, without thresholds: triggers that differ in them share one read ------

#[derive(Clone, PartialEq, Eq, Hash)]
struct Query {
    queue: String,
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "length of queue {}", self.queue)
    }
}

// client.rs: one open connection -------------------------------------------------------------------

struct Client(Mutex<BufReader<TcpStream>>);

impl Client {
    async fn connect(
        connection: &Connection,
        network: &Network,
        deadline: Instant,
    ) -> Result<Self> {
        let opening = network.connect(&connection.address);
        let opened = timeout_at(deadline, opening).await;
        let stream = opened.map_err(|_| late())?.map_err(lost)?;
        let client = Client(Mutex::new(BufReader::new(stream)));
        // Proves the connection: a wrong protocol or login must fail here, not in every query.
        client.count(&["health"], deadline).await?;
        Ok(client)
    }

    /// The replies to `COUNT` of many queues, in one round trip. A real client bounds what it reads.
    async fn count(&self, queues: &[&str], deadline: Instant) -> Result<Vec<String>> {
        let exchange = async {
            let mut stream = self.0.lock().await;
            let requests: String = queues.iter().map(|q| format!("COUNT {q}\n")).collect();
            stream.write_all(requests.as_bytes()).await.map_err(lost)?;
            let mut replies = Vec::with_capacity(queues.len());
            for _ in queues {
                let mut reply = String::new();
                if stream.read_line(&mut reply).await.map_err(lost)? == 0 {
                    return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
                }
                replies.push(reply);
            }
            Ok(replies)
        };
        timeout_at(deadline, exchange).await.map_err(|_| late())?
    }
}

// sample.rs: one batch -----------------------------------------------------------------------------

async fn sample(client: &Client, batch: Batch<Template>, deadline: Instant) -> Result<()> {
    // When the request is sent: the age of the sample counts from here.
    let at = Instant::now();
    let queues: Vec<&str> = batch.iter().map(|q| q.query().queue.as_str()).collect();
    // `?` ends the batch: only for an error that means the connection is lost.
    let replies = client.count(&queues, deadline).await?;
    for (query, reply) in batch.into_iter().zip(replies) {
        query.complete(length(&reply).map(|sample| Measured { sample, at }));
    }
    Ok(())
}

/// Anything that is not a number is an error of this query, never 0.
fn length(reply: &str) -> Result<u64> {
    reply.trim().parse().map_err(|_| {
        let what = format!("the server replied {:?}", reply.trim());
        Error::new(Kind::Unreadable, what, "Check the queue's name.")
    })
}

// errors.rs: what happened, and what to do. The engine adds connection and query -------------------

fn lost(error: std::io::Error) -> Error {
    let next = "Check that the server runs, and address.";
    Error::new(Kind::Unreachable, error.to_string(), next).caused_by(error)
}

fn late() -> Error {
    let next = "Check that the server responds.";
    Error::new(Kind::TimedOut, "no reply in time", next)
}

// mod.rs: the pieces together; one line in `backends/mod.rs` registers it --------------------------

struct Template;

impl TriggerTypes for Template {
    fn trigger_types() -> Vec<TriggerType<Self>> {
        vec![TriggerType::of::<AddressKeys, QueueKeys>("template")]
    }
}

impl Backend for Template {
    const NAME: &'static str = "template";
    type Connection = Connection;
    type Query = Query;
    type Sample = u64;
    type Rule = CountRule;
    type Client = Client;

    fn pace(&self, call_timeout: Duration) -> Pace {
        Pace::within(call_timeout)
    }

    fn query_bytes(query: &Query) -> usize {
        query.queue.len()
    }

    fn server(connection: &Connection) -> String {
        connection.address.to_string()
    }

    fn recipients(connection: &Connection) -> Vec<HostPort> {
        vec![connection.address.clone()]
    }

    fn names(query: &Query) -> Vec<QueriedName<'_>> {
        vec![QueriedName::Exact(&query.queue)]
    }

    async fn connect(
        &self,
        connection: &Connection,
        network: &Network,
        deadline: Instant,
    ) -> Result<Client> {
        Client::connect(connection, network, deadline).await
    }

    async fn sample(&self, client: &Client, batch: Batch<Self>, deadline: Instant) -> Result<()> {
        sample(client, batch, deadline).await
    }
}

mod tests;
