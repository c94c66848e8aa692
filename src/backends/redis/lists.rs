//! Lengths of lists, sets, sorted sets and hashes.

use std::collections::{BTreeSet, HashMap, btree_set::Difference};

use parking_lot::Mutex;
use redis::{ErrorKind, RedisError};

use super::{
    Count, PendingQuery,
    client::{Client, Command, Reply},
    query::Query,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::patterns::Patterns,
    sampling::Measured,
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
    fn commands<'a>(&self, keys: &[&'a str]) -> Vec<Command<'a>> {
        let types = self.0.lock();
        let kind = |key: &str| types.get(key).copied().unwrap_or(Type::List);
        let command = |key: &&'a str| Command::new(kind(key).length_command(), key);
        keys.iter().map(command).collect()
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
pub async fn answer(client: &Client, asks: Vec<PendingQuery>) -> Result<()> {
    let has_globs = |ask: &PendingQuery| {
        let (waiting, processing) = patterns(ask);
        !waiting.globs.is_empty() || !processing.globs.is_empty()
    };
    let (with_globs, plain): (Vec<_>, Vec<_>) = asks.into_iter().partition(has_globs);
    let names = plain.iter().map(|ask| {
        let (waiting, processing) = patterns(ask);
        (&waiting.names, &processing.names)
    });
    let counts = count(client, &names.collect::<Vec<_>>()).await?;
    give(plain, counts);

    let mut resolved = Vec::with_capacity(with_globs.len());
    let mut names = Vec::with_capacity(with_globs.len());
    for ask in with_globs {
        let (waiting, processing) = patterns(&ask);
        let found = async {
            let waiting = client.globs.resolve(client, waiting).await?;
            Ok((waiting, client.globs.resolve(client, processing).await?))
        };
        match found.await {
            Ok(found) => {
                resolved.push(ask);
                names.push(found);
            }
            Err(error) => lost_or_answer(ask, error)?,
        }
    }
    let names = names
        .iter()
        .map(|(waiting, processing)| (waiting, processing));
    let counts = count(client, &names.collect::<Vec<_>>()).await?;
    give(resolved, counts);
    Ok(())
}

fn give(asks: Vec<PendingQuery>, counts: Vec<Result<Count>>) {
    for (ask, count) in asks.into_iter().zip(counts) {
        let at = tokio::time::Instant::now();
        ask.complete(count.map(|sample| Measured { sample, at }));
    }
}

/// A lost connection ends the batch; another error is the query's own.
fn lost_or_answer(ask: PendingQuery, error: Error) -> Result<()> {
    match error.kind() {
        Kind::Unreachable | Kind::TimedOut => Err(error),
        _ => {
            ask.complete(Err(error));
            Ok(())
        }
    }
}

fn patterns(ask: &PendingQuery) -> (&Patterns, &Patterns) {
    match ask.query() {
        Query::Lists {
            waiting,
            processing,
        } => (waiting, processing),
        Query::Stream { .. } => unreachable!("streams are answered elsewhere"),
    }
}

/// The keys that a query sums: what waits, and what is taken but not finished.
type Names<'a> = (&'a BTreeSet<String>, &'a BTreeSet<String>);

/// The keys of the second kind. One that is named on both sides counts once.
fn only_processing<'a>((waiting, processing): Names<'a>) -> Difference<'a, String> {
    processing.difference(waiting)
}

/// Reads the names of all queries together, and tells each query's sums. A key of several queries
/// is read for each of them: that is rare, and finding it out would cost every other key more.
async fn count(client: &Client, queries: &[Names<'_>]) -> Result<Vec<Result<Count>>> {
    let names = queries.iter().copied();
    let names = names.flat_map(|names| names.0.iter().chain(only_processing(names)));
    let keys: Vec<&str> = names.map(String::as_str).collect();
    let lengths = lengths(client, &keys).await?;
    let mut rest = lengths.as_slice();
    let mut sum = |keys: usize| -> Result<u64> {
        let (own, others) = rest.split_at(keys);
        rest = others;
        own.iter().try_fold(
            0,
            |sum: u64, length| Ok(sum.saturating_add(length.clone()?)),
        )
    };
    let counted = queries.iter().map(|names| {
        let (waiting, processing) = (sum(names.0.len()), sum(only_processing(*names).count()));
        Ok(Count {
            waiting: waiting?,
            processing: processing?,
        })
    });
    Ok(counted.collect())
}

/// The length of each key; a missing one is 0. One round trip, and two more when types are not
/// known yet.
async fn lengths(client: &Client, keys: &[&str]) -> Result<Vec<Result<u64>>> {
    let commands = client.types.commands(keys);
    let replies = client.run(&commands).await?;
    let mut lengths = Vec::with_capacity(keys.len());
    let mut wrong_type = Vec::new();
    for (index, (command, reply)) in commands.iter().zip(replies).enumerate() {
        if reply.as_ref().is_err_and(is_wrong_type) {
            wrong_type.push(index);
        }
        lengths.push(length(client, command, reply));
    }
    // Between TYPE and the length a key may change its type once more: that is the answer's error.
    let retyped = learn_types(client, keys, wrong_type, &mut lengths).await?;
    let (indexes, commands): (Vec<_>, Vec<_>) = retyped.into_iter().unzip();
    let replies = client.run(&commands).await?;
    for ((index, command), reply) in indexes.into_iter().zip(&commands).zip(replies) {
        lengths[index] = length(client, command, reply);
    }
    Ok(lengths)
}

/// Asks the types of these keys, and returns the commands that tell their lengths.
async fn learn_types<'a>(
    client: &Client,
    keys: &[&'a str],
    indexes: Vec<usize>,
    lengths: &mut [Result<u64>],
) -> Result<Vec<(usize, Command<'a>)>> {
    let commands: Vec<_> = indexes
        .iter()
        .map(|&index| Command::new("TYPE", keys[index]))
        .collect();
    let replies = client.run(&commands).await?;
    let mut retyped = Vec::new();
    for ((index, command), reply) in indexes.into_iter().zip(commands).zip(replies) {
        let name = reply.and_then(|value| Ok(redis::from_redis_value::<String>(value)?));
        lengths[index] = match name.as_deref() {
            Ok("none") => Ok(0),
            Ok(name) => match Type::from_name(name) {
                Some(kind) => {
                    client.types.remember(command.key, kind);
                    retyped.push((index, Command::new(kind.length_command(), command.key)));
                    continue;
                }
                None => Err(not_countable(command.key, name)),
            },
            Err(error) => Err(client.error(error, &command)),
        };
    }
    Ok(retyped)
}

fn length(client: &Client, command: &Command<'_>, reply: Reply) -> Result<u64> {
    let number = reply.and_then(|value| Ok(redis::from_redis_value::<u64>(value)?));
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
