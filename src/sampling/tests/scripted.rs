//! A backend that does what a test says, for what no real server can be made to do on time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::{
    error::{Error, Kind, Result},
    metadata::{
        TriggerRef,
        problem::Problems,
        signal::{Needs, Signal},
        tls::TlsKeys,
        values::{Activation, HostPort, Target},
    },
    network::Network,
    sampling::{
        Backend, Batch, ConnectionKeys, CountRule, Engine, Evaluation, Limits, Measured,
        NamedConnection, Pace, Plan, QueriedName, Reading, Registry, Rule, TriggerKeys,
        TriggerType, TriggerTypes,
    },
    telemetry::{Budget, Telemetry},
};

/// What the test says, and what it sees.
#[derive(Clone, Default)]
pub struct Script(Arc<State>);

#[derive(Default)]
struct State {
    servers: Mutex<BTreeMap<String, Server>>,
    batches: Mutex<Vec<Vec<String>>>,
    deadlines: Mutex<Vec<Duration>>,
    connects: AtomicUsize,
    clients: AtomicUsize,
}

/// How one server behaves.
#[derive(Clone)]
pub struct Server {
    /// Refuses connections.
    pub refuses: bool,
    /// Accepts no credentials, nor the lack of them.
    pub refuses_login: bool,
    /// Breaks the connection in the middle of a batch.
    pub breaks: bool,
    /// Panics in the middle of a batch.
    pub panics: bool,
    /// Ends a batch without a result.
    pub forgets: bool,
    /// What a batch takes.
    pub takes: Duration,
    /// How long a batch goes on after all its results.
    pub lingers: Duration,
    /// What each query counts; the name `bad` fails.
    pub count: u64,
    /// How long a query waits for its turn, as the backend says; `None`: it limits nothing.
    pub expected_wait: Option<Duration>,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            refuses: false,
            refuses_login: false,
            breaks: false,
            panics: false,
            forgets: false,
            takes: Duration::from_millis(1),
            lingers: Duration::ZERO,
            count: 7,
            expected_wait: None,
        }
    }
}

impl Script {
    /// From now on, this server behaves like that.
    pub fn server(&self, name: &str, change: impl FnOnce(&mut Server)) {
        change(self.0.servers.lock().entry(name.to_owned()).or_default());
    }

    /// The queries of every batch so far.
    pub fn batches(&self) -> Vec<Vec<String>> {
        self.0.batches.lock().clone()
    }

    /// How long each batch was given.
    pub fn deadlines(&self) -> Vec<Duration> {
        self.0.deadlines.lock().clone()
    }

    /// How often a connection was tried.
    pub fn connects(&self) -> usize {
        self.0.connects.load(SeqCst)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.0.clients.load(SeqCst)
    }

    /// An engine over this script.
    pub fn engine(&self, limits: Limits) -> Arc<Engine> {
        self.engine_with(limits, &Telemetry::default())
    }

    /// An engine over this script, with its metrics.
    pub fn engine_with(&self, limits: Limits, telemetry: &Telemetry) -> Arc<Engine> {
        self.engine_of(limits, &BTreeMap::new(), telemetry)
    }

    /// An engine over this script, with named connections.
    pub fn engine_of(
        &self,
        limits: Limits,
        connections: &BTreeMap<String, NamedConnection>,
        telemetry: &Telemetry,
    ) -> Arc<Engine> {
        let registry = Registry::new(&limits, telemetry.clone());
        let registry = registry.with(Scripted(self.clone()));
        Engine::start(registry, connections, limits).expect("the connections are good")
    }

    fn behaviour(&self, name: &str) -> Server {
        self.0.servers.lock().get(name).cloned().unwrap_or_default()
    }
}

/// Evaluates the trigger of one queue of one server, as a call of KEDA does.
pub async fn evaluate(engine: &Engine, server: &str, queue: &str) -> Result<Evaluation> {
    engine.trigger(trigger(server, queue))?.evaluate().await
}

/// What KEDA would send.
pub fn trigger(server: &str, queue: &str) -> TriggerRef {
    let metadata = [
        ("backend", "scripted"),
        ("server", server),
        ("queue", queue),
    ];
    TriggerRef {
        namespace: "shop".to_owned(),
        name: "worker".to_owned(),
        metadata: metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    }
}

pub struct Scripted(pub Script);

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(pub String);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct WhereKeys {
    server: String,
}

#[derive(Deserialize, JsonSchema)]
pub struct WhatKeys {
    queue: String,
}

impl ConnectionKeys<Scripted> for WhereKeys {
    fn check(self, _: TlsKeys) -> Result<Name, Problems> {
        Ok(Name(self.server))
    }
}

impl TriggerKeys<Scripted> for WhatKeys {
    fn check(self, needs: Needs) -> Result<Plan<Scripted>, Problems> {
        needs.supports("a queue", &[Signal::Backlog, Signal::Age])?;
        Ok(Plan {
            readable_name: self.queue.clone(),
            query: Name(self.queue),
            rule: ScriptedRule(CountRule {
                activation: Activation(0),
            }),
            target: Target(5),
        })
    }
}

/// Counts; a count is as many seconds of age as well, and a thousandth of it is in flight.
pub struct ScriptedRule(pub CountRule);

/// A count of which no age is known.
pub const OF_NO_AGE: u64 = 404;

impl Rule<u64> for ScriptedRule {
    fn judge(&self, sample: &u64, measured_at: Instant, now: Instant) -> Reading {
        self.0.judge(sample, measured_at, now)
    }

    fn age(&self, sample: &u64, _: Instant) -> Result<Duration> {
        match *sample {
            OF_NO_AGE => Err(Error::new(Kind::Undetermined, "no age yet", "Wait.")),
            seconds => Ok(Duration::from_secs(seconds)),
        }
    }

    fn in_flight(&self, sample: &u64) -> u64 {
        sample / 1_000
    }
}

pub struct Client {
    server: String,
    script: Script,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.script.0.clients.fetch_sub(1, SeqCst);
    }
}

fn failure(what: &str) -> Error {
    Error::new(Kind::Unreachable, what, "Wait.")
}

impl TriggerTypes for Scripted {
    fn trigger_types() -> Vec<TriggerType<Self>> {
        vec![TriggerType::of::<WhereKeys, WhatKeys>("scripted")]
    }
}

impl Backend for Scripted {
    const NAME: &'static str = "scripted";

    type Connection = Name;
    type Query = Name;
    type Sample = u64;
    type Rule = ScriptedRule;
    type Client = Client;

    fn pace(&self, call_timeout: Duration) -> Pace {
        Pace {
            batch_timeout: Duration::from_secs(20),
            look_ahead: 1000,
            push_interval: Duration::from_millis(100),
            ..Pace::within(call_timeout)
        }
    }

    fn query_bytes(query: &Name) -> usize {
        query.0.len()
    }

    fn server(connection: &Name) -> String {
        connection.0.clone()
    }

    fn recipients(connection: &Name) -> Vec<HostPort> {
        let address = format!("{}:1", connection.0);
        vec![address.parse().expect("is an address")]
    }

    fn names(query: &Name) -> Vec<QueriedName<'_>> {
        vec![QueriedName::Exact(&query.0)]
    }

    async fn connect(&self, connection: &Name, _: &Network, _: Instant) -> Result<Client> {
        let Scripted(script) = self;
        script.0.connects.fetch_add(1, SeqCst);
        let behaviour = script.behaviour(&connection.0);
        if behaviour.refuses {
            return Err(failure("refused"));
        }
        if behaviour.refuses_login {
            let next = "Check the password.";
            return Err(Error::new(Kind::Unauthorized, "no password", next));
        }
        script.0.clients.fetch_add(1, SeqCst);
        Ok(Client {
            server: connection.0.clone(),
            script: script.clone(),
        })
    }

    fn budget(client: &Client) -> Option<Budget> {
        let expected_wait = client.script.behaviour(&client.server).expected_wait?;
        Some(Budget {
            allowed: 10.0,
            expected_wait,
            ..Budget::default()
        })
    }

    async fn sample(&self, client: &Client, batch: Batch<Self>, deadline: Instant) -> Result<()> {
        let at = Instant::now();
        let queries = batch.iter().map(|query| query.query().0.clone());
        self.0.0.batches.lock().push(queries.collect());
        let server = self.0.behaviour(&client.server);
        self.0.0.deadlines.lock().push(deadline.duration_since(at));
        sleep(server.takes).await;
        // The server may have changed its ways meanwhile.
        let server = self.0.behaviour(&client.server);
        assert!(!server.panics, "as scripted");
        let poison = batch.iter().any(|query| query.query().0 == "poison");
        if server.breaks || poison {
            return Err(failure("broken"));
        }
        for query in batch.into_iter().filter(|_| !server.forgets) {
            let bad = query.query().0 == "bad";
            let sample = server.count;
            query.complete(match bad {
                true => Err(failure("bad queue")),
                false => Ok(Measured { sample, at }),
            });
        }
        sleep(server.lingers).await;
        Ok(())
    }
}
