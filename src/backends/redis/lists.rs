//! Lengths of lists, sets, sorted sets and hashes.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use redis::{ErrorKind, RedisError, Value};

use super::{
    Count, Redis,
    client::{Client, Command, Reply},
    query::Query,
};
use crate::{
    error::{Error, Kind, Result},
    sampling::Ask,
    trigger::patterns::Patterns,
};

/// The types that have a length, and the command that tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    List,
    Set,
    SortedSet,
    Hash,
}

impl Type {
    fn length_command(self) -> &'static str {
        match self {
            Type::List => "LLEN",
            Type::Set => "SCARD",
            Type::SortedSet => "ZCARD",
            Type::Hash => "HLEN",
        }
    }

    /// From the answer of TYPE.
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "list" => Some(Type::List),
            "set" => Some(Type::Set),
            "zset" => Some(Type::SortedSet),
            "hash" => Some(Type::Hash),
            _ => None,
        }
    }
}

/// The keys that were found not to be lists: asked with the right command at once.
#[derive(Default)]
pub struct Types(Mutex<HashMap<String, Type>>);

/// More remembered keys than this are forgotten all at once, and found out again.
const REMEMBERED: usize = 100_000;

impl Types {
    fn command(&self, key: &str) -> Command {
        let kind = self.0.lock().get(key).copied().unwrap_or(Type::List);
        Command::new(kind.length_command(), key)
    }

    fn remember(&self, key: &str, kind: Type) {
        let mut types = self.0.lock();
        if types.len() >= REMEMBERED {
            types.clear();
        }
        types.insert(key.to_owned(), kind);
    }
}

/// Answers the queries of a batch: plain names first, in one round trip; then those with globs.
pub async fn answer(client: &Client, asks: Vec<Ask<Redis>>) -> Result<()> {
    let has_globs = |ask: &Ask<Redis>| {
        let (waiting, processing) = patterns(ask);
        !waiting.globs.is_empty() || !processing.globs.is_empty()
    };
    let (with_globs, plain): (Vec<_>, Vec<_>) = asks.into_iter().partition(has_globs);
    let plain = plain.into_iter().map(|ask| {
        let (waiting, processing) = patterns(&ask);
        let names = (waiting.names.clone(), processing.names.clone());
        (ask, names)
    });
    sum(client, plain.collect()).await?;

    let mut resolved = Vec::with_capacity(with_globs.len());
    for ask in with_globs {
        let (waiting, processing) = patterns(&ask);
        let names = async {
            let waiting = client.globs.resolve(client, waiting).await?;
            Ok((waiting, client.globs.resolve(client, processing).await?))
        };
        match names.await {
            Ok(names) => resolved.push((ask, names)),
            Err(error) => lost_or_answer(ask, error)?,
        }
    }
    sum(client, resolved).await
}

/// A lost connection ends the batch; another error is the query's own.
fn lost_or_answer(ask: Ask<Redis>, error: Error) -> Result<()> {
    match error.kind() {
        Kind::Unreachable | Kind::TimedOut => Err(error),
        _ => {
            ask.answer(Err(error));
            Ok(())
        }
    }
}

fn patterns(ask: &Ask<Redis>) -> (&Patterns, &Patterns) {
    match ask.query() {
        Query::Lists {
            waiting,
            processing,
        } => (waiting, processing),
        Query::Stream { .. } => unreachable!("streams are answered elsewhere"),
    }
}

type Names = (BTreeSet<String>, BTreeSet<String>);

/// Reads every name once, however many queries have it, and answers each query with its sum.
async fn sum(client: &Client, queries: Vec<(Ask<Redis>, Names)>) -> Result<()> {
    let mut distinct: BTreeSet<&str> = BTreeSet::new();
    for (_, (waiting, processing)) in &queries {
        distinct.extend(waiting.iter().chain(processing).map(String::as_str));
    }
    let lengths = lengths(client, distinct.into_iter().map(str::to_owned).collect()).await?;
    for (ask, (waiting, processing)) in queries {
        let sum = |names: &BTreeSet<String>| -> Result<u64> {
            names.iter().try_fold(0_u64, |sum, name| {
                let length = lengths.get(name).cloned().unwrap_or(Ok(0));
                Ok(sum.saturating_add(length?))
            })
        };
        // A key that is named on both sides counts once.
        let processing = processing.difference(&waiting).cloned().collect();
        let counted = sum(&waiting).and_then(|waiting| {
            let processing = sum(&processing)?;
            Ok(Count {
                waiting,
                processing,
            })
        });
        ask.answer(counted);
    }
    Ok(())
}

/// The length of each key; a missing one is 0. One round trip, and two more when types are not
/// known yet.
async fn lengths(client: &Client, keys: Vec<String>) -> Result<HashMap<String, Result<u64>>> {
    let commands: Vec<Command> = keys.iter().map(|key| client.types.command(key)).collect();
    let replies = client.run(&commands).await?;
    let mut lengths = HashMap::with_capacity(keys.len());
    let mut wrong_type = Vec::new();
    for (command, reply) in commands.into_iter().zip(replies) {
        match &reply {
            Err(error) if is_wrong_type(error) => wrong_type.push(command.key),
            _ => {
                let length = length(client, &command, reply);
                lengths.insert(command.key, length);
            }
        }
    }
    // Between TYPE and the length a key may change its type once more: that is the answer's error.
    let retyped = learn_types(client, wrong_type, &mut lengths).await?;
    let replies = client.run(&retyped).await?;
    for (command, reply) in retyped.into_iter().zip(replies) {
        let length = length(client, &command, reply);
        lengths.insert(command.key, length);
    }
    Ok(lengths)
}

/// Asks the types of keys, and returns the commands that tell their lengths.
async fn learn_types(
    client: &Client,
    keys: Vec<String>,
    lengths: &mut HashMap<String, Result<u64>>,
) -> Result<Vec<Command>> {
    let commands: Vec<Command> = keys.iter().map(|key| Command::new("TYPE", key)).collect();
    let replies = client.run(&commands).await?;
    let mut retyped = Vec::new();
    for (command, reply) in commands.into_iter().zip(replies) {
        let name = reply.and_then(|value| Ok(redis::from_redis_value::<String>(value)?));
        let outcome = match name.as_deref() {
            Ok("none") => Ok(0),
            Ok(name) => match Type::from_name(name) {
                Some(kind) => {
                    client.types.remember(&command.key, kind);
                    retyped.push(Command::new(kind.length_command(), &command.key));
                    continue;
                }
                None => Err(not_countable(&command.key, name)),
            },
            Err(error) => Err(client.error(error, &command)),
        };
        lengths.insert(command.key, outcome);
    }
    Ok(retyped)
}

fn length(client: &Client, command: &Command, reply: Reply) -> Result<u64> {
    let number = reply.and_then(|value: Value| Ok(redis::from_redis_value::<u64>(value)?));
    number.map_err(|error| client.error(&error, command))
}

pub(super) fn is_wrong_type(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Extension | ErrorKind::Server(_))
        && error.code() == Some("WRONGTYPE")
}

fn not_countable(key: &str, name: &str) -> Error {
    let next = match name {
        "stream" => "Use backend: redis-streams for streams.",
        _ => "Name a list, set, sorted set or hash.",
    };
    Error::new(
        Kind::Unreadable,
        format!("{key} is a {name}, which has no length to scale by"),
        next,
    )
}
