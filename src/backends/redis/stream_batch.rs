//! Streams of a batch, all in one pipeline.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    batch_reader::{BatchReader, complete},
    command::Command,
    entry_count::count_after,
    errors::ReadError,
    lists::type_name,
    long_reads::LongRead,
    query::{Count, Measure, PendingQuery, Query},
    streams::{self, Outcome},
};
use crate::error::Result;

impl BatchReader {
    /// Reads streams. Returns what is to be counted in many round trips.
    pub async fn read_streams(
        self: &Arc<Self>,
        queries: Vec<PendingQuery>,
        deadline: Instant,
    ) -> Result<Vec<LongRead>> {
        let at = Instant::now();
        let commands = queries.iter().flat_map(|query| {
            let (stream, measure) = stream(query);
            streams::commands(stream, measure)
        });
        let commands: Vec<Command> = commands.collect();
        let mut replies = self.client.run(&commands, deadline).await?.into_iter();
        let (mut groupless, mut counts) = (Vec::new(), Vec::<LongRead>::new());
        for query in queries {
            let (stream, measure) = stream(&query);
            match streams::outcome(&self.client, stream, measure, &mut replies) {
                Outcome::Known(waiting) => complete(query, at, waiting.map(waiting_only)),
                Outcome::NoGroup => groupless.push(query),
                Outcome::Uncounted { after } => {
                    counts.push(Box::pin(
                        self.clone().count_rest(query, after, at, deadline),
                    ));
                }
            }
        }
        self.read_groupless(groupless, at, deadline).await?;
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
            let (stream, measure) = stream(&query);
            let group = match measure {
                Measure::Pending { group } | Measure::Lag { group } => group,
                Measure::Length => "",
            };
            let type_name = type_name(&self.client, &Command::new("TYPE", stream), &reply);
            let waiting = type_name.and_then(|name| streams::without_group(stream, group, name));
            complete(query, at, waiting.map(waiting_only));
        }
        Ok(())
    }

    /// `at` is when the group was read.
    async fn count_rest(
        self: Arc<Self>,
        query: PendingQuery,
        after: String,
        at: Instant,
        deadline: Instant,
    ) -> Result<()> {
        let stream = stream(&query).0;
        let counted = count_after(&self.client, &self.permits, stream, &after, deadline).await;
        match counted {
            Ok(waiting) => complete(query, at, Ok(waiting_only(waiting))),
            Err(ReadError::OfQuery(error)) => query.complete(Err(error)),
            Err(ReadError::OfConnection(error)) => return Err(error),
        }
        Ok(())
    }
}

fn waiting_only(waiting: u64) -> Count {
    Count {
        waiting,
        ..Count::default()
    }
}

fn stream(query: &PendingQuery) -> (&str, &Measure) {
    match query.query() {
        Query::Stream { stream, measure } => (stream, measure),
        Query::Lists(_) => unreachable!("only called for streams"),
    }
}
