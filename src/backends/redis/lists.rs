//! Lengths of lists, sets, sorted sets and hashes.

use std::{
    collections::{BTreeSet, btree_set::Difference},
    num::NonZeroUsize,
};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    client::Client,
    command::{Command, Reply, as_count, as_text},
    errors::{is_wrong_type, unexpected_reply},
    query::Count,
};
use crate::error::{Error, Kind, Result};

/// The types that have a length, and the command that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyType {
    List,
    Set,
    SortedSet,
    Hash,
}

impl KeyType {
    fn length_command(self) -> &'static str {
        match self {
            KeyType::List => "LLEN",
            KeyType::Set => "SCARD",
            KeyType::SortedSet => "ZCARD",
            KeyType::Hash => "HLEN",
        }
    }

    /// From the reply of TYPE.
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "list" => Some(KeyType::List),
            "set" => Some(KeyType::Set),
            "zset" => Some(KeyType::SortedSet),
            "hash" => Some(KeyType::Hash),
            _ => None,
        }
    }
}

/// The keys that were found not to be lists: their lengths are read with the right command at once.
pub struct KeyTypes(Mutex<LruCache<String, KeyType>>);

/// Keys whose types are cached.
const CACHED: NonZeroUsize = NonZeroUsize::new(100_000).expect("is not zero");

impl Default for KeyTypes {
    fn default() -> Self {
        // Grows as keys come, so that most connections have an empty one.
        let mut types = LruCache::unbounded();
        types.resize(CACHED);
        KeyTypes(Mutex::new(types))
    }
}

impl KeyTypes {
    fn commands<'a>(&self, keys: &[&'a str]) -> Vec<Command<'a>> {
        let mut types = self.0.lock();
        if types.is_empty() {
            // Mostly all are lists, and a batch is thousands of keys.
            return keys.iter().map(|key| Command::new("LLEN", key)).collect();
        }
        let mut command = |key: &&'a str| {
            let key_type = types.get(*key).copied().unwrap_or(KeyType::List);
            Command::new(key_type.length_command(), key)
        };
        keys.iter().map(&mut command).collect()
    }

    fn insert(&self, key: &str, key_type: KeyType) {
        self.0.lock().put(key.to_owned(), key_type);
    }
}

/// The keys that a query sums: what waits, and what is taken but not finished.
pub type KeyNames<'a> = (&'a BTreeSet<String>, &'a BTreeSet<String>);

/// The keys of the second kind. One that is named on both sides counts once.
fn only_processing<'a>((waiting, processing): KeyNames<'a>) -> Difference<'a, String> {
    processing.difference(waiting)
}

/// Every key of a query.
pub fn keys<'a>(names: KeyNames<'a>) -> impl Iterator<Item = &'a str> {
    let keys = names.0.iter().chain(only_processing(names));
    keys.map(String::as_str)
}

/// Reads the names of all queries together, and returns each query's sums. A key of several queries
/// is read for each of them: that is rare, and avoiding it would cost every other key more.
/// `Err` means that the connection is lost.
pub async fn count(
    client: &Client,
    types: &KeyTypes,
    queries: &[KeyNames<'_>],
    deadline: Instant,
) -> Result<Vec<Result<Count>>> {
    let keys: Vec<&str> = queries.iter().flat_map(|names| keys(*names)).collect();
    let lengths = lengths(client, types, &keys, deadline).await?;
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
async fn lengths(
    client: &Client,
    types: &KeyTypes,
    keys: &[&str],
    deadline: Instant,
) -> Result<Vec<Result<u64>>> {
    let commands = types.commands(keys);
    let replies = client.run(&commands, deadline).await?;
    let mut lengths = Vec::with_capacity(keys.len());
    let mut wrong_type = Vec::new();
    for (index, (command, reply)) in commands.iter().zip(replies).enumerate() {
        if reply.as_ref().is_err_and(is_wrong_type) {
            wrong_type.push(index);
        }
        lengths.push(length(client, command, reply));
    }
    if wrong_type.is_empty() {
        return Ok(lengths);
    }
    // Between TYPE and the length a key may change its type once more: that is the query's error.
    let retyped = read_types(client, types, keys, wrong_type, &mut lengths, deadline).await?;
    let (indexes, commands): (Vec<_>, Vec<_>) = retyped.into_iter().unzip();
    let replies = client.run(&commands, deadline).await?;
    for ((index, command), reply) in indexes.into_iter().zip(&commands).zip(replies) {
        lengths[index] = length(client, command, reply);
    }
    Ok(lengths)
}

/// Reads the types of these keys, and returns the commands that read their lengths.
async fn read_types<'a>(
    client: &Client,
    types: &KeyTypes,
    keys: &[&'a str],
    indexes: Vec<usize>,
    lengths: &mut [Result<u64>],
    deadline: Instant,
) -> Result<Vec<(usize, Command<'a>)>> {
    let commands = indexes
        .iter()
        .map(|&index| Command::new("TYPE", keys[index]));
    let commands: Vec<_> = commands.collect();
    let replies = client.run(&commands, deadline).await?;
    let mut retyped = Vec::new();
    for ((index, command), reply) in indexes.into_iter().zip(commands).zip(replies) {
        lengths[index] = match type_name(client, &command, &reply) {
            Ok("none") => Ok(0),
            Ok(name) => match KeyType::from_name(name) {
                Some(key_type) => {
                    types.insert(command.key, key_type);
                    let length = Command::new(key_type.length_command(), command.key);
                    retyped.push((index, length));
                    continue;
                }
                None => Err(not_countable(command.key, name)),
            },
            Err(error) => Err(error),
        };
    }
    Ok(retyped)
}

/// The type that a key has: `none` if it does not exist.
pub fn type_name<'a>(client: &Client, command: &Command<'_>, reply: &'a Reply) -> Result<&'a str> {
    let value = match reply {
        Ok(value) => value,
        Err(error) => return Err(client.error(error, command)),
    };
    let unexpected = || unexpected_reply(command.name, command.key, "the name of a type", value);
    as_text(value).ok_or_else(unexpected)
}

fn length(client: &Client, command: &Command<'_>, reply: Reply) -> Result<u64> {
    let value = reply.map_err(|error| client.error(&error, command))?;
    let unexpected = || unexpected_reply(command.name, command.key, "a count", &value);
    as_count(&value).ok_or_else(unexpected)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_the_command_of_its_type() {
        let types = KeyTypes::default();
        types.insert("a-set", KeyType::Set);
        let commands = types.commands(&["jobs", "a-set"]);
        let commands: Vec<_> = commands.iter().map(|c| (c.name, c.key)).collect();
        assert_eq!(commands, [("LLEN", "jobs"), ("SCARD", "a-set")]);
    }

    #[test]
    fn the_number_of_cached_types_is_bounded() {
        let types = KeyTypes::default();
        for key in 0..=CACHED.get() {
            types.insert(&key.to_string(), KeyType::Hash);
        }
        assert_eq!(
            types.commands(&["0"])[0].name,
            "LLEN",
            "the oldest is evicted"
        );
        assert_eq!(types.commands(&["1"])[0].name, "HLEN");
    }

    #[test]
    fn a_key_that_is_named_on_both_sides_counts_once() {
        let set = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let (waiting, processing) = (set(&["a", "b"]), set(&["b", "c"]));
        let keys: Vec<_> = keys((&waiting, &processing)).collect();
        assert_eq!(keys, ["a", "b", "c"]);
    }
}
