//! The JSON of `/api/v1/`. Names and meanings are stable: what is here stays, and more may come.
//! `docs/reference/api.md` shows them, and `docs/reference/api.schema.json` is generated from here.

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;

/// `/api/v1/overview`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// Of the program.
    pub version: &'static str,
    /// When this was true (RFC 3339), as all times here.
    pub at: String,
    /// Triggers by their status.
    pub triggers: Counts,
    /// Connections by their health.
    pub connections: ConnectionCounts,
    /// How much of the limits is used.
    pub limits: Vec<Limit>,
    /// What needs attention: the most urgent kind first, of each the newest first, five at most.
    pub attention: Vec<Attention>,
    /// How many more there are of kinds that have more.
    pub more_attention: Vec<MoreAttention>,
}

/// How many triggers have which status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub all: usize,
    pub good: usize,
    pub stale: usize,
    pub failing: usize,
    pub refused: usize,
    pub waiting: usize,
}

/// How many connections have which health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionCounts {
    pub all: usize,
    pub up: usize,
    pub lost: usize,
    pub unused: usize,
}

/// A limit of the settings, and how much of it is used.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// The setting, such as `engine.triggers`.
    pub setting: &'static str,
    /// The namespace that it is about; null: the whole server.
    pub namespace: Option<String>,
    pub used: usize,
    pub limit: usize,
}

/// One thing that needs a person.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attention {
    pub about: About,
    /// The id of the trigger or connection, or of the first of several; null for a limit.
    pub id: Option<String>,
    /// What it is about, such as `shop/worker` or `redis redis.shop:6379`; the first of several.
    pub name: String,
    /// How many triggers are affected. Those of one namespace with an equal error are one entry.
    pub triggers: usize,
    /// How many connections are; 0 for a trigger or a limit. Those to one server with an equal error
    /// are one entry, whatever their logins and databases.
    pub connections: usize,
    /// The first three of the triggers, by namespace and object.
    pub affected: Vec<Affected>,
    /// The query of `/api/v1/triggers` that lists the triggers; null for a limit.
    pub query: Option<String>,
    /// Since when, where that is known; of several, since the first of them.
    pub since: Option<String>,
    pub error: ErrorText,
}

/// A trigger that something affects.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Affected {
    pub id: String,
    pub namespace: String,
    /// The name of the ScaledObject or ScaledJob.
    pub object: String,
    /// What it measures, such as `length of jobs`; null of a refused trigger.
    pub measures: Option<String>,
}

/// Entries that are left out of `attention`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MoreAttention {
    pub about: About,
    /// How many.
    pub entries: usize,
}

/// What a thing that needs a person is about, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum About {
    /// A connection that cannot be opened, or broke: all its queues are affected.
    Connection,
    /// A trigger whose calls fail, on a connection that is up.
    Failing,
    /// A trigger that is refused for its metadata, or may not be read.
    Refused,
    /// A trigger that gets old samples, on a connection that is up.
    Stale,
    /// A connection whose requests wait for their turn within the backend's budget.
    Budget,
    /// A limit of which nine tenths are used.
    Limit,
}

/// An error in its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorText {
    /// Its kind, as in the metrics: `unreachable`.
    pub kind: &'static str,
    /// What happened, and where.
    pub what: String,
    /// What to do next; may be empty.
    pub next: String,
    /// The path of the help on errors of this kind, on this server.
    pub help: String,
}

/// `/api/v1/triggers`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Triggers {
    pub at: String,
    /// How many the query selects, on all pages.
    pub selected: usize,
    /// How many there are.
    pub all: usize,
    /// From 1 on.
    pub page: usize,
    pub pages: usize,
    pub triggers: Vec<Trigger>,
}

/// One trigger.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// The same after a restart and on another replica. Triggers that differ in secrets alone share it.
    pub id: String,
    pub namespace: String,
    /// The name of the ScaledObject or ScaledJob.
    pub object: String,
    pub status: TriggerStatus,
    /// Since when it has this status, with this kind of error.
    pub since: String,
    /// When KEDA requested it last.
    pub requested: String,
    /// Why it is stale, failing or refused.
    pub error: Option<ErrorText>,
    /// What follows is null of a refused trigger.
    pub metric: Option<String>,
    /// The trigger type, as in `backend: redis-streams`.
    pub backend: Option<&'static str>,
    pub connection: Option<ConnectionRef>,
    /// What it measures there, such as `list jobs`.
    pub measures: Option<String>,
    /// `backlog`, `age` or `drainTime`; the last two are in seconds.
    pub signal: Option<String>,
    /// What KEDA gets for the last good sample, also while no newer one can be had; null before the
    /// first.
    pub value: Option<f64>,
    /// What the sample says, before shaping.
    pub measured: Option<f64>,
    /// The wanted value per replica.
    pub target: Option<f64>,
    /// The replicas that the value leads to, without minimum and maximum.
    pub replicas: Option<f64>,
    pub active: Option<bool>,
    /// Of the last good sample.
    pub age_seconds: Option<f64>,
    /// When the last good sample was measured, to the millisecond.
    pub measured_at: Option<String>,
    /// What was added to what it measures, where the last good sample says it.
    pub arrivals: Option<Arrivals>,
    /// The keys that may change its value.
    pub shaping: Vec<&'static str>,
}

/// What was added to a queue, whether or not it was completed since.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Arrivals {
    /// Items since the queue began: the ends of a topic's partitions, the entries of a stream. Null:
    /// the backend measures the rate.
    pub total: Option<u64>,
    /// Of how many parts, such as partitions, the total is the sum. Two totals compare if this is the
    /// same; one that falls began anew.
    pub parts: Option<usize>,
    /// Items per second, as the backend itself measures: Temporal over 30 s. Null: it counts.
    pub per_second: Option<f64>,
}

/// How the last evaluation of a trigger ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TriggerStatus {
    Good,
    /// KEDA has only asked for its metric so far.
    Waiting,
    /// An old sample was used, because of the error.
    Stale,
    /// KEDA got the error.
    Failing,
    /// The trigger cannot be used as it is.
    Refused,
}

/// A connection that is referred to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRef {
    pub id: String,
    /// The backend with its address, and the user where there is one.
    pub address: String,
    /// Its name in the settings.
    pub named: Option<String>,
}

/// `/api/v1/triggers/ID`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriggerDetail {
    pub at: String,
    pub trigger: Trigger,
    /// The last error, also after it has recovered.
    pub last_error: Option<PastError>,
    /// The last four different errors, the newest first: fewer if many triggers have errors, and the
    /// newest alone without `admin.history`.
    pub last_errors: Vec<MetError>,
    /// Calls that met an error, by its kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// By the minute, over the last hour; empty without `admin.history`.
    pub hour: Vec<Point>,
    /// By half hours, over the last day, to three digits; empty if less is kept.
    pub day: Vec<Point>,
    /// The last different replies to KEDA, the oldest first.
    pub replies: Vec<Reply>,
    pub metadata: Vec<MetadataKey>,
    /// Commands to look further.
    pub commands: Vec<Command>,
}

/// An error of the past.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastError {
    pub at: String,
    pub error: ErrorText,
}

/// An error that calls of a trigger met.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetError {
    /// When a call met it first.
    pub first: String,
    /// When a call met it last.
    pub last: String,
    /// How many calls did.
    pub calls: u64,
    pub error: ErrorText,
}

/// The highest values of a minute or half hour.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// How many seconds before `at` it began.
    pub seconds_ago: u64,
    /// Of samples; null: there was none.
    pub measured: Option<f64>,
    /// Of replies to KEDA; null: there was none, or errors alone.
    pub value: Option<f64>,
}

/// What KEDA got for a while.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    pub since: String,
    pub until: String,
    /// Null: an error.
    pub value: Option<f64>,
    pub active: bool,
    /// The kind of the error, or of the one for which the value was an old one.
    pub error: Option<&'static str>,
}

/// A key of a trigger's metadata.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataKey {
    pub name: String,
    /// Null: it is not shown.
    pub value: Option<String>,
    /// Why it is not shown.
    pub hidden: Option<&'static str>,
}

/// A command for a shell.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// What it shows.
    pub shows: &'static str,
    pub command: String,
}

/// `/api/v1/connections`, and `/api/v1/connections/ID`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    pub at: String,
    pub connections: Vec<Connection>,
}

/// One connection.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// The same after a restart. Connections that differ in credentials alone share it.
    pub id: String,
    /// `redis`, `kafka` or `temporal`.
    pub backend: &'static str,
    /// The backend with its address, and the user where there is one.
    pub address: String,
    /// Its name in the settings; null: it is in the metadata of triggers.
    pub named: Option<String>,
    pub health: ConnectionHealth,
    pub since: String,
    /// Why it is lost.
    pub error: Option<ErrorText>,
    /// The last error, also after it was opened again.
    pub last_error: Option<PastError>,
    /// Triggers that use it.
    pub triggers: usize,
    /// Different queries of these triggers.
    pub shared_queries: usize,
    /// Reads, of one or many queries each.
    pub batches: u64,
    /// Queries of all batches.
    pub queries: u64,
    /// Queries of the last batch.
    pub last_batch: usize,
    /// What a batch takes on average.
    pub batch_seconds: Option<f64>,
    /// Queries that a batch took along before they were requested.
    pub look_ahead: u64,
    /// Those of them that were requested while they were fresh.
    pub look_ahead_hits: u64,
    /// How often it was opened after the first time.
    pub reconnects: u64,
    /// Queries that wait for a batch.
    pub waiting: usize,
    /// Null: the backend does not limit its own rate.
    pub budget: Option<Budget>,
}

/// Whether a connection is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionHealth {
    Up,
    /// It cannot be opened, or broke.
    Lost,
    /// Nothing was read yet, or it is being opened for the first time.
    Unused,
}

/// The requests that a backend allows itself on one connection.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    pub requests_per_second: f64,
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// How long a request that comes now waits for its turn.
    pub wait_seconds: f64,
    /// Requests that were sent since the connection was opened.
    pub sent: u64,
    /// Those of them that the server refused for their rate.
    pub refused: u64,
}

/// What a request that fails gets.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub error: ErrorText,
}

/// The schema (JSON Schema, draft 2020-12) of every response, by its path.
pub fn schema() -> serde_json::Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let responses = serde_json::json!({
        "/api/v1/overview": generator.subschema_for::<Overview>(),
        "/api/v1/triggers": generator.subschema_for::<Triggers>(),
        "/api/v1/triggers/ID": generator.subschema_for::<TriggerDetail>(),
        "/api/v1/connections": generator.subschema_for::<Connections>(),
        "/api/v1/connections/ID": generator.subschema_for::<Connections>(),
        "errors": generator.subschema_for::<Failure>(),
    });
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "responses": responses,
        "$defs": generator.definitions(),
    })
}
