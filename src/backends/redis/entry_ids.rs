//! The ids of a stream's entries, which are times by the server's clock unless the producer makes
//! its own; and how long pending entries have been idle.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::{
    client::Client,
    command::{Command, Reply, as_array, as_count, as_text},
    due_sets::PAYLOADS_AT_ONCE,
    errors::unexpected_reply,
    unix_time::{EntryId, UnixTime},
};
use crate::error::{Error, Kind, Result};

/// Pending entries that are looked at for the longest idle time. Those with the lowest ids were
/// given first; an entry that was claimed since is idle for less.
const PENDING_READ: usize = 100;

/// Reads the pending entries with the lowest ids.
pub fn pending_command<'a>(stream: &'a str, group: &str) -> Command<'a> {
    let command = Command::new("XPENDING", stream).arg(group);
    command.arg("-").arg("+").arg(PENDING_READ)
}

/// For how long the pending entry that was given longest ago has been idle; zero without one.
pub fn longest_idle(client: &Client, stream: &str, reply: Reply) -> Result<Duration> {
    let command = Command::new("XPENDING", stream);
    let value = reply.map_err(|error| client.error(&error, &command))?;
    let expected = "pending entries with their idle times";
    longest(&value).ok_or_else(|| unexpected_reply("XPENDING", stream, expected, &value))
}

/// Each entry is its id, its consumer, its idle time in milliseconds, and a number of deliveries.
fn longest(reply: &Value) -> Option<Duration> {
    let mut longest = 0;
    for entry in as_array(reply)? {
        longest = longest.max(as_count(as_array(entry)?.get(2)?)?);
    }
    Some(Duration::from_millis(longest))
}

/// For how long the first entry after an id has been in its stream, for each stream; zero without
/// one. `None` stands for the start of the stream. `Err` means that the connection is lost.
///
/// The time is the server's, read beside the entries: both are of one clock.
pub async fn ages_of_first(
    client: &Client,
    streams: &[(&str, Option<&str>)],
    deadline: Instant,
) -> Result<Vec<Result<Duration>>> {
    let mut ages = Vec::with_capacity(streams.len());
    for streams in streams.chunks(PAYLOADS_AT_ONCE) {
        let commands = streams.iter().flat_map(|(stream, after)| {
            let start = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
            let first = Command::new("XRANGE", stream).arg(start).arg("+");
            let first = first.arg("COUNT").arg(1).with_payload();
            [first, Command::beside("TIME", stream)]
        });
        let commands: Vec<Command> = commands.collect();
        let mut replies = client.run(&commands, deadline).await?.into_iter();
        let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
        for pair in commands.chunks_exact(2) {
            ages.push(age(client, pair, next(), next()));
        }
    }
    Ok(ages)
}

fn age(client: &Client, commands: &[Command<'_>], first: Reply, time: Reply) -> Result<Duration> {
    let [range, clock] = commands else {
        unreachable!("two commands for each stream");
    };
    let first = first.map_err(|error| client.error(&error, range))?;
    let unexpected = || unexpected_reply(range.name, range.key, "an entry", &first);
    let Some(entry) = as_array(&first).ok_or_else(unexpected)?.first() else {
        return Ok(Duration::ZERO);
    };
    let id = as_array(entry).and_then(|entry| as_text(entry.first()?));
    let id = id.ok_or_else(unexpected)?;
    let time = time.map_err(|error| client.error(&error, clock))?;
    let now = server_time(&time).ok_or_else(|| {
        let expected = "seconds and microseconds";
        unexpected_reply(clock.name, clock.key, expected, &time)
    })?;
    let added = EntryId::parse(id).map(|id| UnixTime(id.0));
    let waited = added.and_then(|added| now.since(added));
    waited.ok_or_else(|| no_time(range.key, id))
}

/// From the reply of TIME: seconds and microseconds.
fn server_time(reply: &Value) -> Option<UnixTime> {
    let [seconds, microseconds] = as_array(reply)? else {
        return None;
    };
    let seconds: u64 = as_text(seconds)?.parse().ok()?;
    let microseconds: u64 = as_text(microseconds)?.parse().ok()?;
    let milliseconds = seconds.checked_mul(1000)?;
    Some(UnixTime(milliseconds.checked_add(microseconds / 1000)?))
}

fn no_time(stream: &str, id: &str) -> Error {
    // The id is Redis' own form of two numbers, so it is short.
    Error::new(
        Kind::Unreadable,
        format!(
            "the ids of stream {stream} carry no time: the oldest entry that waits has the id {id}"
        ),
        "Let Redis make the ids (XADD with *), or use `signal: backlog`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_longest_idle_time_counts_whatever_the_order() {
        let entry = |idle| {
            let idle = Value::Int(idle);
            Value::Array(vec![text("1-0"), text("c"), idle, Value::Int(1)])
        };
        let reply = Value::Array(vec![entry(20), entry(7_000), entry(300)]);
        assert_eq!(longest(&reply), Some(Duration::from_secs(7)));
        assert_eq!(longest(&Value::Array(vec![])), Some(Duration::ZERO));
        for nonsense in [
            Value::Nil,
            Value::Array(vec![text("1-0")]),
            Value::Array(vec![entry(-1)]),
        ] {
            assert_eq!(longest(&nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn the_servers_time_is_two_numbers() {
        let reply = Value::Array(vec![text("1800000000"), text("123999")]);
        assert_eq!(server_time(&reply), Some(UnixTime(1_800_000_000_123)));
        assert_eq!(server_time(&Value::Array(vec![text("1")])), None);
        let huge = Value::Array(vec![text("18446744073709551615"), text("0")]);
        assert_eq!(server_time(&huge), None);
    }
}
