//! Streams: length, a group's lag, a group's pending entries.

use std::collections::HashMap;

use redis::{RedisError, Value};

use super::{
    Count, PendingQuery,
    client::{Client, Command, Reply},
    lists::is_wrong_type,
    query::{Measure, Query},
};
use crate::{
    error::{Error, Kind, Result},
    sampling::Measured,
};

/// Answers the queries of a batch: one round trip, and more only for what that left open.
pub async fn answer(client: &Client, asks: Vec<PendingQuery>) -> Result<()> {
    let commands: Vec<Command> = asks.iter().flat_map(|ask| commands(stream(ask))).collect();
    let mut replies = client.run(&commands).await?.into_iter();
    for ask in asks {
        let (stream, measure) = stream(&ask);
        let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
        let counted = match measure {
            Measure::Length => number(client, stream, "XLEN", next()),
            Measure::Pending { group } => match next() {
                Err(error) if error.code() == Some("NOGROUP") => {
                    no_group(client, stream, group).await?
                }
                reply => pending(client, stream, reply),
            },
            Measure::Lag { group } => {
                let (groups, length) = (next(), number(client, stream, "XLEN", next()));
                match lag(client, stream, group, groups, length) {
                    Ok(Lag::Known(lag)) => Ok(lag),
                    Ok(Lag::After(id, length)) => count_after(client, stream, &id, length).await?,
                    Err(error) => Err(error),
                }
            }
        };
        let at = tokio::time::Instant::now();
        ask.complete(counted.map(|waiting| Measured {
            sample: Count {
                waiting,
                processing: 0,
            },
            at,
        }));
    }
    Ok(())
}

fn stream(ask: &PendingQuery) -> (&String, &Measure) {
    match ask.query() {
        Query::Stream { stream, measure } => (stream, measure),
        Query::Lists { .. } => unreachable!("lists are answered elsewhere"),
    }
}

fn commands<'a>((stream, measure): (&'a String, &Measure)) -> Vec<Command<'a>> {
    match measure {
        Measure::Length => vec![Command::new("XLEN", stream)],
        Measure::Pending { group } => vec![Command::new("XPENDING", stream).arg(group)],
        Measure::Lag { .. } => vec![
            Command::with_subcommand("XINFO", "GROUPS", stream),
            Command::new("XLEN", stream),
        ],
    }
}

fn error(client: &Client, stream: &str, name: &'static str, error: &RedisError) -> Error {
    if is_wrong_type(error) {
        return Error::new(
            Kind::Unreadable,
            format!("{stream} is not a stream"),
            "Use backend: redis for lists, sets, sorted sets and hashes.",
        );
    }
    client.error(error, &Command::new(name, stream))
}

fn number(client: &Client, stream: &str, name: &'static str, reply: Reply) -> Result<u64> {
    let number = reply.and_then(|value| Ok(redis::from_redis_value(value)?));
    number.map_err(|e| error(client, stream, name, &e))
}

/// XPENDING in its short form: the count, the range of ids, the consumers.
fn pending(client: &Client, stream: &str, reply: Reply) -> Result<u64> {
    let summary = reply.and_then(|value| Ok(redis::from_redis_value::<Vec<Value>>(value)?));
    let count = summary.map(|summary| summary.into_iter().next().unwrap_or(Value::Nil));
    number(client, stream, "XPENDING", count)
}

/// XPENDING answers NOGROUP for a missing stream as well, which is 0.
async fn no_group(client: &Client, stream: &str, group: &str) -> Result<Result<u64>> {
    let command = Command::new("TYPE", stream);
    let mut replies = client.run(std::slice::from_ref(&command)).await?;
    let name = match replies
        .pop()
        .map(|reply| reply.and_then(|v| Ok(redis::from_redis_value::<String>(v)?)))
    {
        Some(Ok(name)) => name,
        Some(Err(e)) => return Ok(Err(error(client, stream, "TYPE", &e))),
        None => String::new(),
    };
    Ok(match name.as_str() {
        "none" => Ok(0),
        _ => Err(Error::new(
            Kind::NotFound,
            format!("stream {stream} has no group {group} yet, so nothing can be pending"),
            "Create it (XGROUP CREATE), or use lagCount, which counts what the group was not given.",
        )),
    })
}

/// What XINFO GROUPS says of a group's lag.
enum Lag {
    Known(u64),
    /// Not known: what is after this id, of so many entries in all.
    After(String, u64),
}

fn lag(
    client: &Client,
    stream: &str,
    group: &str,
    groups: Reply,
    length: Result<u64>,
) -> Result<Lag> {
    let groups = match groups {
        Err(error) if is_missing(&error) => return Ok(Lag::Known(0)),
        reply => reply.and_then(|value| {
            Ok(redis::from_redis_value::<Vec<HashMap<String, Value>>>(
                value,
            )?)
        }),
    };
    let groups = groups.map_err(|e| error(client, stream, "XINFO GROUPS", &e))?;
    let length = length?;
    let is_it =
        |fields: &HashMap<String, Value>| text(fields.get("name")).as_deref() == Some(group);
    let Some(mut fields) = groups.into_iter().find(is_it) else {
        // A group that does not exist yet will be given the whole stream.
        return Ok(Lag::Known(length));
    };
    match fields.remove("lag") {
        None => Err(Error::new(
            Kind::Unreadable,
            format!("the server does not tell the lag of stream {stream}"),
            "lagCount needs Redis 7.0 or newer; use pendingEntriesCount or streamLength.",
        )),
        // Unknown after a deletion in the unread range, and for a group made at an arbitrary id.
        Some(Value::Nil) => {
            let id = text(fields.get("last-delivered-id")).unwrap_or_else(|| "0-0".to_owned());
            Ok(Lag::After(id, length))
        }
        Some(value) => {
            let lag = redis::from_redis_value::<u64>(value).map_err(RedisError::from);
            let lag = lag.map_err(|e| error(client, stream, "XINFO GROUPS", &e))?;
            // Redis 7.0 may report more than is left after a trim.
            Ok(Lag::Known(lag.min(length)))
        }
    }
}

fn is_missing(error: &RedisError) -> bool {
    error.code() == Some("ERR")
        && error
            .detail()
            .is_some_and(|text| text.contains("no such key"))
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(|value| redis::from_redis_value(value.clone()).ok())
}

/// Entries of one page.
const PAGE: usize = 1000;
/// More entries than this are not counted out one by one: the count is then this many at least,
/// and far above any target.
const COUNTED_OUT: u64 = 10_000;

/// Counts the entries after an id.
async fn count_after(client: &Client, stream: &str, id: &str, length: u64) -> Result<Result<u64>> {
    // As long as nothing was delivered, everything is after it.
    if id == "0-0" {
        return Ok(Ok(length));
    }
    let mut after = id.to_owned();
    let mut counted = 0;
    while counted < COUNTED_OUT {
        let page = Command::new("XRANGE", stream)
            .arg(format!("({after}"))
            .arg("+")
            .arg("COUNT")
            .arg(PAGE);
        let mut replies = client.run(std::slice::from_ref(&page)).await?;
        let entries = replies.pop().unwrap_or(Ok(Value::Nil));
        let entries =
            entries.and_then(|value| Ok(redis::from_redis_value::<Vec<(String, Value)>>(value)?));
        let entries = match entries {
            Ok(entries) => entries,
            Err(e) => return Ok(Err(error(client, stream, "XRANGE", &e))),
        };
        counted += entries.len() as u64;
        match entries.into_iter().next_back() {
            Some((last, _)) if counted.is_multiple_of(PAGE as u64) => after = last,
            _ => break,
        }
    }
    Ok(Ok(counted))
}
