//! Streams: length, a group's lag, a group's pending entries.

use redis::{RedisError, Value};

use super::{
    client::Client,
    command::{Command, Reply, as_array, as_count, as_text},
    entry_ids::{longest_idle, pending_command},
    errors::{is_wrong_type, unexpected_reply},
    query::{Count, Measure},
    unix_time::EntryId,
};
use crate::{
    error::{Error, Kind, Result},
    metadata::signal::Signal,
};

/// What the first replies of a query say.
pub enum Outcome {
    Found(Found),
    /// There is no such group, or no such stream.
    NoGroup,
}

/// What is known of a stream after the first replies.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub count: Count,
    /// What waits is after this entry; `None`: from the start.
    pub after: Option<String>,
    /// The group's lag is not known: the entries after `after` must be counted.
    pub uncounted: bool,
    /// How many entries the group was given.
    pub given: Given,
}

/// How many entries a group was given since its stream began.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Given {
    /// Redis does not know it, or it was not read.
    #[default]
    Unknown,
    /// There is no such group.
    NoGroup,
    Known {
        entries: u64,
        last: EntryId,
    },
}

/// The commands of a query.
pub fn commands<'a>(stream: &'a str, measure: &Measure, signal: Signal) -> Vec<Command<'a>> {
    match measure {
        Measure::Length => vec![Command::new("XLEN", stream)],
        Measure::Pending { group } => {
            let summary = Command::new("XPENDING", stream).arg(group);
            match signal {
                Signal::Age => vec![summary, pending_command(stream, group)],
                _ => vec![summary],
            }
        }
        Measure::Lag { .. } => vec![
            Command::with_subcommand("XINFO", "GROUPS", stream),
            Command::new("XLEN", stream),
        ],
    }
}

/// What the replies to the commands of a query say.
pub fn outcome(
    client: &Client,
    stream: &str,
    measure: &Measure,
    signal: Signal,
    replies: &mut impl Iterator<Item = Reply>,
) -> Result<Outcome> {
    let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
    match measure {
        Measure::Length => Ok(Outcome::Found(waiting(length(client, stream, next())?))),
        Measure::Pending { .. } => {
            let summary = next();
            let oldest = (signal == Signal::Age).then(next);
            if matches!(&summary, Err(error) if error.code() == Some("NOGROUP")) {
                return Ok(Outcome::NoGroup);
            }
            let mut found = waiting(pending(client, stream, summary)?);
            found.count.age = oldest.map(|reply| longest_idle(client, stream, reply));
            Ok(Outcome::Found(found))
        }
        Measure::Lag { group } => {
            let (groups, length) = (next(), length(client, stream, next()));
            lag(client, stream, group, groups, length).map(Outcome::Found)
        }
    }
}

/// What an error of a command on a stream means.
pub fn stream_error(client: &Client, error: &RedisError, name: &'static str, key: &str) -> Error {
    if is_wrong_type(error) {
        return Error::new(
            Kind::Unreadable,
            format!("{key} is not a stream"),
            "Use backend: redis for lists, sets, sorted sets and hashes.",
        );
    }
    client.error(error, &Command::new(name, key))
}

fn waiting(waiting: u64) -> Found {
    Found {
        count: Count {
            waiting,
            ..Count::default()
        },
        ..Found::default()
    }
}

fn length(client: &Client, stream: &str, reply: Reply) -> Result<u64> {
    let value = reply.map_err(|error| stream_error(client, &error, "XLEN", stream))?;
    let unexpected = || unexpected_reply("XLEN", stream, "a count", &value);
    as_count(&value).ok_or_else(unexpected)
}

/// XPENDING in its short form: the count, the range of ids, the consumers.
fn pending(client: &Client, stream: &str, reply: Reply) -> Result<u64> {
    let value = reply.map_err(|error| stream_error(client, &error, "XPENDING", stream))?;
    let count = as_array(&value).and_then(|summary| as_count(summary.first()?));
    count.ok_or_else(|| unexpected_reply("XPENDING", stream, "a summary", &value))
}

/// XPENDING replies NOGROUP for a missing stream as well, which is 0.
pub fn without_group(stream: &str, group: &str, type_name: &str) -> Result<u64> {
    match type_name {
        "none" => Ok(0),
        _ => Err(Error::new(
            Kind::NotFound,
            format!("stream {stream} has no group {group} yet, so nothing can be pending"),
            "Create it (XGROUP CREATE), or use lagCount, which counts what the group was not given.",
        )),
    }
}

fn lag(
    client: &Client,
    stream: &str,
    group: &str,
    groups: Reply,
    length: Result<u64>,
) -> Result<Found> {
    let groups = match groups {
        Ok(groups) => groups,
        Err(error) if is_missing(&error) => return Ok(Found::default()),
        Err(error) => return Err(stream_error(client, &error, "XINFO GROUPS", stream)),
    };
    let unexpected = || unexpected_reply("XINFO GROUPS", stream, "a list of groups", &groups);
    let length = length?;
    let named = |fields: &&Value| field(fields, "name").and_then(as_text) == Some(group);
    let Some(fields) = as_array(&groups).ok_or_else(unexpected)?.iter().find(named) else {
        // A group that does not exist yet will be given the whole stream.
        return Ok(Found {
            given: Given::NoGroup,
            ..waiting(length)
        });
    };
    let lag = match field(fields, "lag") {
        None => return Err(too_old(stream)),
        // Unknown after a deletion in the unread range, and for a group made at an arbitrary id.
        Some(Value::Nil) => None,
        // Redis 7.0 may report more than is left after a trim.
        Some(lag) => Some(as_count(lag).ok_or_else(unexpected)?.min(length)),
    };
    // As long as nothing was delivered, everything is after it.
    let last = field(fields, "last-delivered-id").and_then(as_text);
    let after = last.filter(|last| *last != "0-0");
    let uncounted = lag.is_none() && after.is_some();
    let mut found = waiting(match uncounted {
        true => 0,
        false => lag.unwrap_or(length),
    });
    let pending = field(fields, "pending");
    found.count.processing = pending.and_then(as_count).unwrap_or(0);
    found.uncounted = uncounted;
    found.after = after.map(str::to_owned);
    found.given = given(fields);
    found.count.added = added(fields);
    Ok(found)
}

/// Redis computes the lag as the entries that were added to the stream without those that the group
/// has read (`streamReplyWithCGLag` in its `t_stream.c`), so the sum is what was added. Where entries
/// were trimmed before the group was given them, newer servers report what is left as the lag.
fn added(fields: &Value) -> Option<u64> {
    let count = |name| field(fields, name).and_then(as_count);
    count("entries-read")?.checked_add(count("lag")?)
}

fn given(fields: &Value) -> Given {
    let last = field(fields, "last-delivered-id").and_then(as_text);
    let Some(last) = last.and_then(EntryId::parse) else {
        return Given::Unknown;
    };
    match field(fields, "entries-read").and_then(as_count) {
        Some(entries) => Given::Known { entries, last },
        // Redis knows nothing of a group that was made at 0 until its first read.
        None if last == EntryId(0, 0) => Given::Known { entries: 0, last },
        None => Given::Unknown,
    }
}

fn too_old(stream: &str) -> Error {
    Error::new(
        Kind::Unreadable,
        format!("the server does not report the lag of stream {stream}"),
        "lagCount needs Redis 7.0 or newer; use pendingEntriesCount or streamLength.",
    )
}

/// A field of a map, which RESP2 writes as an array of names and values.
fn field<'a>(fields: &'a Value, name: &str) -> Option<&'a Value> {
    let mut pairs = as_array(fields)?.chunks_exact(2);
    let pair = pairs.find(|pair| as_text(&pair[0]) == Some(name))?;
    Some(&pair[1])
}

/// The server has no code of its own for a missing stream.
fn is_missing(error: &RedisError) -> bool {
    let text = error.detail().unwrap_or_default();
    error.code() == Some("ERR") && text.contains("no such key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = vec![text("name"), text("lag"), text("lag"), Value::Int(3)];
        let fields = Value::Array(fields);
        assert_eq!(field(&fields, "lag"), Some(&Value::Int(3)));
        assert_eq!(field(&fields, "pending"), None);
        assert_eq!(field(&Value::Nil, "lag"), None);
    }

    #[test]
    fn a_group_that_was_given_nothing_was_given_no_entries() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let group = |last: &str, read| {
            let (last, names) = (
                text(last),
                [text("last-delivered-id"), text("entries-read")],
            );
            let [last_name, read_name] = names;
            given(&Value::Array(vec![last_name, last, read_name, read]))
        };
        let known = |entries, last| Given::Known { entries, last };
        assert_eq!(group("9-1", Value::Int(4)), known(4, EntryId(9, 1)));
        assert_eq!(group("0-0", Value::Nil), known(0, EntryId(0, 0)));
        assert_eq!(group("9-1", Value::Nil), Given::Unknown);
        assert_eq!(group("x", Value::Int(4)), Given::Unknown);
    }

    #[test]
    fn what_was_added_is_known_with_the_lag_and_what_was_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let group = |read, lag| {
            let fields = vec![text("entries-read"), read, text("lag"), lag];
            added(&Value::Array(fields))
        };
        assert_eq!(group(Value::Int(40), Value::Int(2)), Some(42));
        assert_eq!(group(Value::Nil, Value::Int(2)), None);
        assert_eq!(group(Value::Int(40), Value::Nil), None);
    }

    #[test]
    fn a_missing_stream_is_empty_and_a_missing_group_is_an_error() {
        assert_eq!(without_group("orders", "billing", "none"), Ok(0));
        let error = without_group("orders", "billing", "stream").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().contains("lagCount"), "{error}");
    }
}
