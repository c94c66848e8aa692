//! Counts the entries of a stream after an id, where Redis does not know the number.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::{
    client::{Client, of_long_read},
    command::{Command, as_array, as_text},
    errors::{ReadError, rounded, unexpected_reply},
    long_reads::Permits,
    streams::stream_error,
};
use crate::error::{Error, Kind, Result};

/// More entries than this are not counted one by one: the count is then this many at least, and far
/// above any target.
const MOST_COUNTED: u64 = 10_000;
/// XRANGE sends whole entries. The first page shows how large they are.
const FIRST_PAGE: u64 = 2;
const LARGEST_PAGE: u64 = 1000;
/// The bytes that the pages after the first should have.
const PAGE_BYTES: u64 = 256 * 1024;

/// Counts the entries after an id, page by page.
pub async fn count_after(
    client: &Client,
    permits: &Permits,
    stream: &str,
    after: &str,
    deadline: Instant,
) -> Result<u64, ReadError> {
    let _permit = permits.acquire(deadline).await?;
    let limit = deadline.saturating_duration_since(Instant::now());
    let mut after = after.to_owned();
    let (mut counted, mut bytes, mut page) = (0, 0, FIRST_PAGE);
    while counted < MOST_COUNTED {
        let command = Command::new("XRANGE", stream);
        let command = command.arg(format!("({after}")).arg("+");
        let command = command.arg("COUNT").arg(page);
        let replies = client.run(std::slice::from_ref(&command), deadline).await;
        let replies = replies.map_err(|error| match error.kind() {
            Kind::TimedOut => ReadError::OfQuery(too_slow(stream, counted, limit)),
            _ => of_long_read(error),
        })?;
        let reply = replies.into_iter().next().unwrap_or(Ok(Value::Nil));
        let reply = reply
            .map_err(|error| ReadError::OfQuery(stream_error(client, &error, "XRANGE", stream)))?;
        let unexpected = || unexpected_reply("XRANGE", stream, "entries", &reply);
        let unexpected = || ReadError::OfQuery(unexpected());
        let entries = as_array(&reply).ok_or_else(unexpected)?;
        let Some(last) = entries.last() else {
            break;
        };
        let last = as_array(last).and_then(|entry| as_text(entry.first()?));
        after = last.ok_or_else(unexpected)?.to_owned();
        let found = entries.len() as u64;
        counted += found;
        bytes += size(&reply);
        if found < page {
            break;
        }
        page = next_page(counted, bytes);
    }
    Ok(counted)
}

/// How many entries of the average size make a page.
fn next_page(entries: u64, bytes: u64) -> u64 {
    (PAGE_BYTES * entries / bytes.max(1)).clamp(1, LARGEST_PAGE)
}

/// The bytes of a reply, but for a few for each of its parts.
fn size(value: &Value) -> u64 {
    match value {
        Value::BulkString(bytes) => bytes.len() as u64,
        Value::Array(values) => values.iter().map(size).sum(),
        _ => 0,
    }
}

fn too_slow(stream: &str, counted: u64, limit: Duration) -> Error {
    Error::new(
        Kind::TimedOut,
        format!(
            "Redis does not know the lag of stream {stream}, and counting the entries took longer \
             than {:?}: {counted} were read",
            rounded(limit)
        ),
        "Delete no entries that the group has not read, and create the group at 0 or $: then Redis \
         knows the lag.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_fewer_entries_the_larger_they_are() {
        assert_eq!(next_page(10, 100), LARGEST_PAGE);
        assert_eq!(next_page(10, 10 * 1024), 256);
        assert_eq!(next_page(10, 10 * 1024 * 1024), 1, "never none");
        assert_eq!(next_page(10, 0), LARGEST_PAGE);
    }

    #[test]
    fn the_size_of_a_reply_is_that_of_its_texts() {
        let text = |length| Value::BulkString(vec![b'x'; length]);
        let entry = Value::Array(vec![text(3), Value::Array(vec![text(1), text(5)])]);
        assert_eq!(size(&Value::Array(vec![entry])), 9);
    }
}
