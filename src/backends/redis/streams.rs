//! Streams: length, a group's lag, a group's pending entries.

use redis::{RedisError, Value};

use super::{
    client::Client,
    command::{Command, Reply, as_array, as_count, as_text},
    errors::{is_wrong_type, unexpected_reply},
    query::Measure,
};
use crate::error::{Error, Kind, Result};

/// What the first replies of a query say.
pub enum Outcome {
    Known(Result<u64>),
    /// There is no such group, or no such stream.
    NoGroup,
    /// The group's lag is not known: the entries after this id must be counted.
    Uncounted {
        after: String,
    },
}

/// The commands of a query.
pub fn commands<'a>(stream: &'a str, measure: &Measure) -> Vec<Command<'a>> {
    match measure {
        Measure::Length => vec![Command::new("XLEN", stream)],
        Measure::Pending { group } => vec![Command::new("XPENDING", stream).arg(group)],
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
    replies: &mut impl Iterator<Item = Reply>,
) -> Outcome {
    let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
    match measure {
        Measure::Length => Outcome::Known(length(client, stream, next())),
        Measure::Pending { .. } => match next() {
            Err(error) if error.code() == Some("NOGROUP") => Outcome::NoGroup,
            reply => Outcome::Known(pending(client, stream, reply)),
        },
        Measure::Lag { group } => {
            let (groups, length) = (next(), length(client, stream, next()));
            lag(client, stream, group, groups, length).unwrap_or_else(|e| Outcome::Known(Err(e)))
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
) -> Result<Outcome> {
    let groups = match groups {
        Ok(groups) => groups,
        Err(error) if is_missing(&error) => return Ok(Outcome::Known(Ok(0))),
        Err(error) => return Err(stream_error(client, &error, "XINFO GROUPS", stream)),
    };
    let unexpected = || unexpected_reply("XINFO GROUPS", stream, "a list of groups", &groups);
    let length = length?;
    let named = |fields: &&Value| field(fields, "name").and_then(as_text) == Some(group);
    let Some(fields) = as_array(&groups).ok_or_else(unexpected)?.iter().find(named) else {
        // A group that does not exist yet will be given the whole stream.
        return Ok(Outcome::Known(Ok(length)));
    };
    match field(fields, "lag") {
        None => Err(Error::new(
            Kind::Unreadable,
            format!("the server does not report the lag of stream {stream}"),
            "lagCount needs Redis 7.0 or newer; use pendingEntriesCount or streamLength.",
        )),
        // Unknown after a deletion in the unread range, and for a group made at an arbitrary id.
        Some(Value::Nil) => match field(fields, "last-delivered-id").and_then(as_text) {
            // As long as nothing was delivered, everything is after it.
            None | Some("0-0") => Ok(Outcome::Known(Ok(length))),
            Some(after) => Ok(Outcome::Uncounted {
                after: after.to_owned(),
            }),
        },
        Some(lag) => {
            let lag = as_count(lag).ok_or_else(unexpected)?;
            // Redis 7.0 may report more than is left after a trim.
            Ok(Outcome::Known(Ok(lag.min(length))))
        }
    }
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
    fn a_missing_stream_is_empty_and_a_missing_group_is_an_error() {
        assert_eq!(without_group("orders", "billing", "none"), Ok(0));
        let error = without_group("orders", "billing", "stream").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().contains("lagCount"), "{error}");
    }
}
