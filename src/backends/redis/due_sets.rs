//! Sorted sets whose scores are times: whether they are, and for how long the oldest member is due.

use std::{collections::HashMap, time::Duration};

use redis::Value;
use tokio::time::Instant;

use super::{
    client::Client,
    command::{Command, Reply, as_array, as_text},
    errors::unexpected_reply,
    lists::{Key, Length, count},
    unix_time::{ScoreScale, UnixTime},
};
use crate::error::{Error, Kind, Result};

/// Replies of one pipeline that carry a member of a set or an entry of a stream: as these may be
/// large, all of a batch at once could be more than a connection allows, or than should be held.
pub const PAYLOADS_AT_ONCE: usize = 32;

/// Makes an error of each sorted set where nothing is due and the scores of some members are no
/// times: it would count 0 for ever. `Err` means that the connection is lost.
pub async fn check_units(
    client: &Client,
    keys: &[Key<'_>],
    lengths: &mut [Result<Length>],
    now: UnixTime,
    deadline: Instant,
) -> Result<()> {
    let idle =
        |length: &Result<Length>| matches!(length, Ok(length) if length.due && length.entries == 0);
    let indexes = (0..keys.len()).filter(|&index| idle(&lengths[index]));
    let sets: Vec<(usize, ScoreScale)> = indexes
        .filter_map(|index| Some((index, keys[index].scale?)))
        .collect();
    let commands = sets.iter().map(|(index, scale)| {
        // A score of infinity is a job that is put aside.
        Command::new("ZCOUNT", keys[*index].name)
            .arg(scale.largest(now.far_ahead()))
            .arg("(inf")
    });
    let commands: Vec<Command> = commands.collect();
    let replies = client.run(&commands, deadline).await?;
    for (((index, scale), command), reply) in sets.into_iter().zip(&commands).zip(replies) {
        match count(client, command, reply) {
            Ok(0) => {}
            Ok(members) => lengths[index] = Err(other_unit(command.key, members, scale)),
            Err(error) => lengths[index] = Err(error),
        }
    }
    Ok(())
}

/// For how long the oldest members of these sorted sets are due, by index. A set that is empty by
/// now has none. `Err` means that the connection is lost.
pub async fn ages(
    client: &Client,
    keys: &[Key<'_>],
    indexes: &[usize],
    now: UnixTime,
    deadline: Instant,
) -> Result<HashMap<usize, Result<Duration>>> {
    let mut ages = HashMap::new();
    for indexes in indexes.chunks(PAYLOADS_AT_ONCE) {
        let commands = indexes.iter().map(|&index| {
            let command = Command::new("ZRANGE", keys[index].name);
            command.arg(0).arg(0).arg("WITHSCORES").with_payload()
        });
        let commands: Vec<Command> = commands.collect();
        let replies = client.run(&commands, deadline).await?;
        for ((&index, command), reply) in indexes.iter().zip(&commands).zip(replies) {
            let scale = keys[index].scale.unwrap_or(ScoreScale::Seconds);
            let age = oldest_score(client, command, reply).and_then(|score| {
                score
                    .map(|score| age(command.key, score, scale, now))
                    .transpose()
            });
            ages.extend(age.transpose().map(|age| (index, age)));
        }
    }
    Ok(ages)
}

/// The score of the first member; `None`: the set is empty.
fn oldest_score(client: &Client, command: &Command<'_>, reply: Reply) -> Result<Option<f64>> {
    let value = reply.map_err(|error| client.error(&error, command))?;
    score(&value).ok_or_else(|| unexpected_reply(command.name, command.key, "a score", &value))
}

fn score(value: &Value) -> Option<Option<f64>> {
    match as_array(value)? {
        [] => Some(None),
        [_, score] => Some(Some(as_text(score)?.parse().ok()?)),
        _ => None,
    }
}

/// For how long a member with this score is due.
fn age(key: &str, score: f64, scale: ScoreScale, now: UnixTime) -> Result<Duration> {
    let due = scale.time(score);
    // Due a moment after the count: it has not waited yet.
    let due = if due > now && due < now.far_ahead() {
        now
    } else {
        due
    };
    now.since(due).ok_or_else(|| {
        Error::new(
            Kind::Unreadable,
            format!(
                "the lowest score in {key} is {score}, which is not a time in {}",
                scale.unit()
            ),
            "Check scoreUnit, or use `signal: backlog`: such a member counts as due.",
        )
    })
}

/// Entries that have no time. Unreadable rather than undetermined: no later sample would say it.
pub fn without_time(key: &str, entries: u64) -> Error {
    Error::new(
        Kind::Unreadable,
        format!("{key} has {entries} entries without a time, because it is not a sorted set"),
        "Leave it out of this trigger, and scale by its backlog in another one.",
    )
}

fn other_unit(key: &str, members: u64, scale: ScoreScale) -> Error {
    Error::new(
        Kind::Unreadable,
        format!(
            "nothing in {key} is due, and the scores of {members} members are no times in {}: they \
             are over a hundred years ahead",
            scale.unit()
        ),
        "Check scoreUnit; leave out `scores: time` if the scores are no times.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000_000);

    #[test]
    fn the_oldest_member_is_due_since_its_score() {
        let seconds = |score| age("later", score, ScoreScale::Seconds, NOW);
        assert_eq!(seconds(1_799_999_990.5), Ok(Duration::from_millis(9_500)));
        assert_eq!(seconds(1_800_000_001.0), Ok(Duration::ZERO));
        for no_time in [7.0, f64::NEG_INFINITY, 1_800_000_000_000.0] {
            let error = seconds(no_time).unwrap_err();
            assert_eq!(error.kind(), Kind::Unreadable);
            let text = error.to_string();
            assert!(
                text.contains("is not a time in seconds. Check scoreUnit"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_score_is_the_second_of_two_texts() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        for (reply, then) in [
            (Value::Array(vec![]), Some(None)),
            (
                Value::Array(vec![text("job"), text("1.5e+3")]),
                Some(Some(1500.0)),
            ),
            (
                Value::Array(vec![text("job"), text("-inf")]),
                Some(Some(f64::NEG_INFINITY)),
            ),
            (Value::Array(vec![text("job"), text("x")]), None),
            (Value::Array(vec![text("job")]), None),
            (Value::Nil, None),
        ] {
            assert_eq!(score(&reply), then, "{reply:?}");
        }
    }
}
