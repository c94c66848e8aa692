//! Lengths of lists, sets, sorted sets and hashes.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    client::Client,
    command::{Command, Reply, as_count, as_text},
    errors::{is_wrong_type, unexpected_reply},
    unix_time::{ScoreScale, UnixTime},
};
use crate::error::{Error, Kind, Result};

/// A key whose entries count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    pub name: &'a str,
    /// Of a sorted set, only the members that are due by this scale count.
    pub scale: Option<ScoreScale>,
}

/// How many entries of a key count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    pub entries: u64,
    /// These are the members of a sorted set that are due.
    pub due: bool,
}

/// The types that have a length, and the command that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyType {
    List,
    Set,
    SortedSet,
    Hash,
}

impl KeyType {
    /// The command that counts the entries of a key, or those that are due `now`.
    fn command<'a>(self, key: Key<'a>, now: UnixTime) -> Command<'a> {
        let name = match (self, key.scale) {
            (KeyType::SortedSet, Some(scale)) => return zcount(key.name, scale, now),
            (KeyType::List, _) => "LLEN",
            (KeyType::Set, _) => "SCARD",
            (KeyType::SortedSet, None) => "ZCARD",
            (KeyType::Hash, _) => "HLEN",
        };
        Command::new(name, key.name)
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

/// Counts what is due.
fn zcount(key: &str, scale: ScoreScale, now: UnixTime) -> Command<'_> {
    Command::new("ZCOUNT", key)
        .arg("-inf")
        .arg(scale.largest(now))
}

/// The keys that were found not to be of the type that is expected: their lengths are read with the
/// right command at once.
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
    /// A key is expected to be a list, or a sorted set where it has a scale.
    fn commands<'a>(&self, keys: &[Key<'a>], now: UnixTime) -> Vec<Command<'a>> {
        let expected = |key: &Key| match key.scale {
            None => KeyType::List,
            Some(_) => KeyType::SortedSet,
        };
        let mut types = self.0.lock();
        if types.is_empty() {
            // Mostly all are lists, and a batch is thousands of keys.
            let commands = keys.iter().map(|key| expected(key).command(*key, now));
            return commands.collect();
        }
        let mut command = |key: &Key<'a>| {
            let known = types.get(key.name).copied();
            known.unwrap_or_else(|| expected(key)).command(*key, now)
        };
        keys.iter().map(&mut command).collect()
    }

    fn insert(&self, key: &str, key_type: KeyType) {
        self.0.lock().put(key.to_owned(), key_type);
    }
}

/// The length of each key at the time `now`; a missing one is 0. One round trip, and two more when
/// types are not known yet. `Err` means that the connection is lost.
pub async fn lengths(
    client: &Client,
    types: &KeyTypes,
    keys: &[Key<'_>],
    now: UnixTime,
    deadline: Instant,
) -> Result<Vec<Result<Length>>> {
    let commands = types.commands(keys, now);
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
    let found = read_types(client, types, keys, wrong_type, &mut lengths, deadline).await?;
    let commands = found.iter();
    let commands: Vec<_> = commands
        .map(|(index, key_type)| key_type.command(keys[*index], now))
        .collect();
    let replies = client.run(&commands, deadline).await?;
    for (((index, _), command), reply) in found.into_iter().zip(&commands).zip(replies) {
        lengths[index] = length(client, command, reply);
    }
    Ok(lengths)
}

/// Reads the types of these keys, and returns those of which the lengths can be read by them.
async fn read_types(
    client: &Client,
    types: &KeyTypes,
    keys: &[Key<'_>],
    indexes: Vec<usize>,
    lengths: &mut [Result<Length>],
    deadline: Instant,
) -> Result<Vec<(usize, KeyType)>> {
    let commands = indexes
        .iter()
        .map(|&index| Command::new("TYPE", keys[index].name));
    let commands: Vec<_> = commands.collect();
    let replies = client.run(&commands, deadline).await?;
    let mut found = Vec::new();
    for ((index, command), reply) in indexes.into_iter().zip(commands).zip(replies) {
        lengths[index] = match type_name(client, &command, &reply) {
            Ok("none") => Ok(Length::default()),
            Ok(name) => match KeyType::from_name(name) {
                Some(key_type) => {
                    types.insert(command.key, key_type);
                    found.push((index, key_type));
                    continue;
                }
                None => Err(not_countable(command.key, name)),
            },
            Err(error) => Err(error),
        };
    }
    Ok(found)
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

fn length(client: &Client, command: &Command<'_>, reply: Reply) -> Result<Length> {
    Ok(Length {
        entries: count(client, command, reply)?,
        due: command.name == "ZCOUNT",
    })
}

/// The count that a command replied.
pub fn count(client: &Client, command: &Command<'_>, reply: Reply) -> Result<u64> {
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

    const NOW: UnixTime = UnixTime(1_800_000_000_123);

    fn key(name: &str) -> Key<'_> {
        Key { name, scale: None }
    }

    fn names<'a>(types: &KeyTypes, keys: &[Key<'a>]) -> Vec<(&'static str, &'a str)> {
        let commands = types.commands(keys, NOW);
        commands.iter().map(|c| (c.name, c.key)).collect()
    }

    #[test]
    fn a_key_is_read_with_the_command_of_its_type() {
        let types = KeyTypes::default();
        types.insert("a-set", KeyType::Set);
        let commands = names(&types, &[key("jobs"), key("a-set")]);
        assert_eq!(commands, [("LLEN", "jobs"), ("SCARD", "a-set")]);
    }

    #[test]
    fn a_key_with_a_scale_is_expected_to_be_a_sorted_set() {
        let timed = |name| Key {
            scale: Some(ScoreScale::Milliseconds),
            ..key(name)
        };
        let types = KeyTypes::default();
        assert_eq!(names(&types, &[timed("later")]), [("ZCOUNT", "later")]);
        types.insert("jobs", KeyType::List);
        types.insert("later", KeyType::SortedSet);
        let keys = [timed("jobs"), timed("later"), key("later")];
        let commands = names(&types, &keys);
        assert_eq!(
            commands,
            [("LLEN", "jobs"), ("ZCOUNT", "later"), ("ZCARD", "later")]
        );
    }

    #[test]
    fn the_number_of_cached_types_is_bounded() {
        let types = KeyTypes::default();
        for key in 0..=CACHED.get() {
            types.insert(&key.to_string(), KeyType::Hash);
        }
        let found = names(&types, &[key("0"), key("1")]);
        assert_eq!(
            found,
            [("LLEN", "0"), ("HLEN", "1")],
            "the oldest is evicted"
        );
    }
}
