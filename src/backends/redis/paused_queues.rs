//! Queues of BullMQ that are paused: nothing of them waits, as nothing is taken.
//!
//! BullMQ 5 moves the list `wait` of such a queue to `paused`, BullMQ 6 leaves it where it is, and
//! both leave `prioritized` and `delayed`. A field of the hash `meta` is what their workers go by
//! (`getQueueMetadata` of the script moveToActive).

use std::collections::HashMap;

use tokio::time::Instant;

use super::{
    client::Client,
    command::Command,
    key_names::KeyNames,
    lists::{Length, count},
};
use crate::error::Result;

/// The queues that are paused, or of which that is not known, by what their keys start with.
pub struct PausedQueues<'a>(HashMap<&'a str, Result<Length>>);

impl<'a> PausedQueues<'a> {
    /// Reads the hashes of all queries together. `Err` means that the connection is lost.
    pub async fn read(
        client: &Client,
        queries: &[KeyNames<'a>],
        deadline: Instant,
    ) -> Result<Self> {
        let hashes = queries.iter().flat_map(|names| names.paused_by());
        let commands: Vec<Command> = hashes
            .map(|hash| Command::new("HEXISTS", hash).arg("paused"))
            .collect();
        let replies = client.run(&commands, deadline).await?;
        let mut paused = HashMap::new();
        for (command, reply) in commands.iter().zip(replies) {
            let length = match count(client, command, reply) {
                Ok(0) => continue,
                Ok(_) => Ok(Length::default()),
                Err(error) => Err(error),
            };
            paused.insert(queue(command.key), length);
        }
        Ok(PausedQueues(paused))
    }

    /// Makes zeros of what waits in these queues, or errors; `lengths` are those of all keys of the
    /// queries.
    pub fn empty(&self, queries: &[KeyNames<'_>], lengths: &mut [Result<Length>]) {
        if self.0.is_empty() {
            return;
        }
        let mut first = 0;
        for names in queries {
            let (waiting, processing) = names.counts();
            // Without such hashes the same keys are plain lists.
            if names.paused_by().next().is_some() {
                for (key, length) in names.waiting().zip(&mut lengths[first..]) {
                    if let Some(paused) = self.0.get(queue(key.name)) {
                        *length = paused.clone();
                    }
                }
            }
            first += waiting + processing;
        }
    }
}

/// What the keys of a queue start with: no kind of key has a colon in its name.
fn queue(key: &str) -> &str {
    key.rsplit_once(':').map_or("", |(queue, _)| queue)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        backends::redis::query::Lists,
        error::{Error, Kind},
    };

    #[test]
    fn what_waits_in_a_paused_queue_is_nothing_and_what_is_taken_counts() {
        let set = |names: &[&str]| -> BTreeSet<String> {
            names.iter().map(|name| name.to_string()).collect()
        };
        let waiting = set(&["bull:a:wait", "bull:b:wait", "bull:c:wait"]);
        let processing = set(&["bull:a:active"]);
        let pausable = Lists {
            paused_by: set(&["bull:a:meta", "bull:b:meta", "bull:c:meta"]),
            ..Lists::default()
        };
        let plain = Lists::default();
        let queries = [
            KeyNames::new(&plain, &waiting, &processing),
            KeyNames::new(&pausable, &waiting, &processing),
        ];
        let error = || Error::new(Kind::Unreadable, "no right", "Grant it.");
        let paused = [("bull:a", Ok(Length::default())), ("bull:c", Err(error()))];
        let length = |entries| {
            Ok(Length {
                entries,
                due: false,
            })
        };
        let mut lengths: Vec<_> = (1..=8).map(length).collect();

        PausedQueues(paused.into()).empty(&queries, &mut lengths);

        let expected = [1, 2, 3, 4, 0, 6, 7, 8].map(length);
        for (index, (found, expected)) in lengths.iter().zip(expected).enumerate() {
            match index {
                6 => assert_eq!(found.as_ref().unwrap_err(), &error()),
                _ => assert_eq!(found.as_ref().unwrap(), &expected.unwrap(), "{index}"),
            }
        }
    }
}
