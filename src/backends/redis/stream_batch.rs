//! Streams of a batch, all in one pipeline.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join;
use tokio::time::Instant;

use super::{
    batch_reader::{BatchReader, complete},
    command::Command,
    entry_count::count_after,
    entry_ids::ages_of_first,
    errors::ReadError,
    lists::type_name,
    long_reads::LongRead,
    query::{Count, Measure, PendingQuery, Progress, Query},
    read_rates::Position,
    streams::{self, Found, Given, Outcome},
};
use crate::{error::Result, metadata::signal::Signal};

/// A query, with what the first replies say of it.
type Waiting = (PendingQuery, Found);

impl BatchReader {
    /// Reads streams. Those whose oldest entry is needed take one more round trip, and the others do
    /// not wait for it. Returns what is to be counted in many round trips.
    pub async fn read_streams(
        self: &Arc<Self>,
        queries: Vec<PendingQuery>,
        deadline: Instant,
    ) -> Result<Vec<LongRead>> {
        let needs_age = |query: &PendingQuery| stream(query).2 == Signal::Age;
        let (with_age, plain): (Vec<_>, Vec<_>) = queries.into_iter().partition(needs_age);
        let with_age = self.read_together(with_age, deadline);
        let reads = try_join(self.read_together(plain, deadline), with_age).await?;
        let (mut counts, others) = reads;
        counts.extend(others);
        Ok(counts)
    }

    async fn read_together(
        self: &Arc<Self>,
        queries: Vec<PendingQuery>,
        deadline: Instant,
    ) -> Result<Vec<LongRead>> {
        let at = Instant::now();
        let commands = queries.iter().flat_map(|query| {
            let (stream, measure, signal) = stream(query);
            streams::commands(stream, measure, signal)
        });
        let commands: Vec<Command> = commands.collect();
        let mut replies = self.client.run(&commands, deadline).await?.into_iter();
        let (mut groupless, mut with_age, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for query in queries {
            let (stream, measure, signal) = stream(&query);
            let client = &self.client;
            match streams::outcome(client, stream, measure, signal, &mut replies) {
                Ok(Outcome::Found(found)) if needs_first(&query, &found) => {
                    with_age.push((query, found));
                }
                Ok(Outcome::Found(found)) => counts.extend(self.finish(query, found, at, deadline)),
                Ok(Outcome::NoGroup) => groupless.push(query),
                Err(error) => complete(query, at, Err(error)),
            }
        }
        self.read_groupless(groupless, at, deadline).await?;
        counts.extend(self.read_ages(with_age, at, deadline).await?);
        Ok(counts)
    }

    /// Completes a query, or returns the read that will.
    fn finish(
        self: &Arc<Self>,
        query: PendingQuery,
        mut found: Found,
        at: Instant,
        deadline: Instant,
    ) -> Option<LongRead> {
        let (stream, measure, signal) = stream(&query);
        match signal {
            Signal::Backlog => {}
            // Where nothing waits, no age was read.
            Signal::Age => found.count.age = found.count.age.or(Some(Ok(Duration::ZERO))),
            Signal::DrainTime => {
                found.count.progress = Some(self.progress(stream, measure, &found.given, at));
            }
        }
        if found.uncounted {
            return Some(Box::pin(
                self.clone().count_rest(query, found, at, deadline),
            ));
        }
        complete(query, at, Ok(found.count));
        None
    }

    /// How far the group came lately.
    fn progress(&self, stream: &str, measure: &Measure, given: &Given, at: Instant) -> Progress {
        let Measure::Lag { group } = measure else {
            return Progress::Unknown;
        };
        match given {
            Given::Known { entries, last } => {
                let position = Position {
                    at,
                    entries_read: *entries,
                    last_id: *last,
                };
                self.rates.record(stream, group, position)
            }
            Given::Unknown => {
                self.rates.restart(stream, group);
                Progress::Unknown
            }
            Given::NoGroup => {
                self.rates.restart(stream, group);
                Progress::NoGroup
            }
        }
    }

    /// Reads the age of the first entry that waits, for queries that need it.
    async fn read_ages(
        self: &Arc<Self>,
        queries: Vec<Waiting>,
        at: Instant,
        deadline: Instant,
    ) -> Result<Vec<LongRead>> {
        let streams = queries.iter();
        let streams = streams.map(|(query, found)| (stream(query).0, found.after.as_deref()));
        let streams: Vec<_> = streams.collect();
        let ages = ages_of_first(&self.client, &streams, deadline).await?;
        let mut counts = Vec::new();
        for ((query, mut found), age) in queries.into_iter().zip(ages) {
            found.count.age = Some(age);
            counts.extend(self.finish(query, found, at, deadline));
        }
        Ok(counts)
    }

    /// Pending entries of a group that does not exist: what that means depends on whether the stream exists.
    async fn read_groupless(
        &self,
        queries: Vec<PendingQuery>,
        at: Instant,
        deadline: Instant,
    ) -> Result<()> {
        let commands = queries
            .iter()
            .map(|query| Command::new("TYPE", stream(query).0));
        let commands: Vec<Command> = commands.collect();
        let replies = self.client.run(&commands, deadline).await?;
        for (query, reply) in queries.into_iter().zip(replies) {
            let (stream, measure, signal) = stream(&query);
            let group = match measure {
                Measure::Pending { group } | Measure::Lag { group } => group,
                Measure::Length => "",
            };
            let type_name = type_name(&self.client, &Command::new("TYPE", stream), &reply);
            let waiting = type_name.and_then(|name| streams::without_group(stream, group, name));
            let age = (signal == Signal::Age).then_some(Ok(Duration::ZERO));
            let count = waiting.map(|waiting| Count {
                waiting,
                age,
                ..Count::default()
            });
            complete(query, at, count);
        }
        Ok(())
    }

    /// `at` is when the group was read.
    async fn count_rest(
        self: Arc<Self>,
        query: PendingQuery,
        found: Found,
        at: Instant,
        deadline: Instant,
    ) -> Result<()> {
        let stream = stream(&query).0;
        let after = found.after.as_deref().unwrap_or_default();
        let counted = count_after(&self.client, &self.permits, stream, after, deadline).await;
        match counted {
            Ok(waiting) => {
                let count = Count {
                    waiting,
                    ..found.count
                };
                complete(query, at, Ok(count));
            }
            Err(ReadError::OfQuery(error)) => query.complete(Err(error)),
            Err(ReadError::OfConnection(error)) => return Err(error),
        }
        Ok(())
    }
}

/// Whether the first entry that waits is to be read. Pending entries have their idle times already.
fn needs_first(query: &PendingQuery, found: &Found) -> bool {
    let (_, measure, signal) = stream(query);
    let may_wait = found.count.waiting > 0 || found.uncounted;
    signal == Signal::Age && may_wait && !matches!(measure, Measure::Pending { .. })
}

fn stream(query: &PendingQuery) -> (&str, &Measure, Signal) {
    match query.query() {
        Query::Stream {
            stream,
            measure,
            signal,
        } => (stream, measure, *signal),
        Query::Lists(_) => unreachable!("only called for streams"),
    }
}
