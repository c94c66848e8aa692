//! When records were written: each is fetched from the broker that leads its partition. A partition
//! whose leader has moved is located again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::{StreamExt, stream, stream::FuturesUnordered};
use kafka_protocol::ResponseError;
use tokio::time::Instant;

use super::{
    batch::LagBatch,
    client::Client,
    errors,
    partition_selection::TopicInfo,
    protocol::{
        BrokerError, ErrorCause, FetchedRecords,
        records::{FirstRecord, first_record},
        requests::fetch,
    },
    record_cache::Position,
    record_reads::{WantedRecord, Written},
    retry::Retry,
};
use crate::error::{Error, Result};

/// Reads that are in flight at once.
const READS_AT_ONCE: usize = 8;
/// Requests to one broker that are in flight at once, of each read: a response may be large, and
/// what is requested behind it waits.
const REQUESTS_AT_ONCE: usize = 4;

/// What is requested first: the least, which is one batch of records.
const ONE_BATCH: i32 = 1;
/// What is requested where that holds no record for consumers: ends of transactions are 78 bytes.
const MANY_BATCHES: i32 = 64 << 10;
/// Requests for one record, each of which leads on.
const MOST_STEPS: usize = 16;

/// Reads the records that queries of a batch need, and reports them to the batch. An error means
/// that no broker responds.
pub async fn read(client: &Client, batch: &LagBatch<'_>, retry: Retry) -> Result<(), BrokerError> {
    let reader = RecordReader { client, batch };
    let mut reads = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(records) = batch.next_records(), if reads.len() < READS_AT_ONCE => {
                reads.push(reader.read(records, retry));
            }
            Some(read) = reads.next() => read?,
            else => return Ok(()),
        }
    }
}

/// What came of one record.
enum RecordRead {
    Read(Written),
    /// Another attempt may find it at another broker.
    Moved(WantedRecord, BrokerError),
    Failed(Error),
}

struct RecordReader<'a> {
    client: &'a Client,
    batch: &'a LagBatch<'a>,
}

impl RecordReader<'_> {
    async fn read(&self, records: Vec<WantedRecord>, mut retry: Retry) -> Result<(), BrokerError> {
        let mut records = self.take_cached(records);
        while !records.is_empty() {
            let moved = self.read_all(records, retry.attempt_deadline()).await;
            if !retry.has_time() {
                for (record, error) in moved {
                    self.fail(record.position, &error);
                }
                return Ok(());
            }
            if moved.is_empty() {
                return Ok(());
            }
            retry = retry.pause().await;
            records = self.locate(moved, retry.deadline).await?;
        }
        Ok(())
    }

    /// Reports those that are known, and returns the others.
    fn take_cached(&self, mut records: Vec<WantedRecord>) -> Vec<WantedRecord> {
        records.retain(|WantedRecord { position, .. }| {
            let Some(written) = self.client.records.get(position) else {
                return true;
            };
            self.batch.set_record(position.clone(), Ok(Some(written)));
            false
        });
        records
    }

    /// Reads records from the leaders of their partitions, and reports each as it comes. Returns
    /// those that have moved.
    async fn read_all(
        &self,
        records: Vec<WantedRecord>,
        deadline: Instant,
    ) -> Vec<(WantedRecord, BrokerError)> {
        let mut by_leader = BTreeMap::<i32, Vec<WantedRecord>>::new();
        for record in records {
            by_leader.entry(record.leader).or_default().push(record);
        }
        let of_leaders = by_leader.into_values().map(|records| {
            let reads = records.into_iter().map(|record| self.one(record, deadline));
            stream::iter(reads).buffer_unordered(REQUESTS_AT_ONCE)
        });
        let mut reads = stream::select_all(of_leaders);
        let mut moved = Vec::new();
        while let Some((position, read)) = reads.next().await {
            match read {
                RecordRead::Read(written) => {
                    if let Some(written) = written {
                        self.client.records.insert(&position, written);
                    }
                    self.batch.set_record(position, Ok(written));
                }
                RecordRead::Failed(error) => self.batch.set_record(position, Err(error)),
                RecordRead::Moved(record, error) => moved.push((record, error)),
            }
        }
        moved
    }

    async fn one(&self, record: WantedRecord, deadline: Instant) -> (Position, RecordRead) {
        let position = record.position.clone();
        let read = match self.written(&record, deadline).await {
            Ok(Ok(written)) => RecordRead::Read(written),
            Ok(Err(error)) => RecordRead::Failed(error),
            Err(error) if is_retriable(&error) => RecordRead::Moved(record, error),
            Err(error) => {
                let Position {
                    topic, partition, ..
                } = &position;
                RecordRead::Failed(errors::of_record(topic, *partition, &error))
            }
        };
        (position, read)
    }

    /// When a record was written, by its partition's leader. What holds no record for consumers (the
    /// end of a transaction, what cleaning has left) leads on.
    async fn written(
        &self,
        record: &WantedRecord,
        deadline: Instant,
    ) -> Result<Result<Written>, BrokerError> {
        let Position {
            topic,
            partition,
            offset,
            isolation,
        } = &record.position;
        let (mut offset, mut bytes) = (*offset, ONE_BATCH);
        for _ in 0..MOST_STEPS {
            let request = |_| fetch(topic, *partition, offset, *isolation, bytes);
            let cluster = &self.client.cluster;
            let fetched = cluster.request(record.leader, request, deadline).await?;
            let records = of_partition(fetched, topic, *partition)?;
            match first_record(&records, offset) {
                Ok(FirstRecord::Written(written)) => return Ok(Ok(Some(written))),
                Ok(FirstRecord::None) => return Ok(Ok(None)),
                Ok(FirstRecord::Behind(next)) if next >= record.end => return Ok(Ok(None)),
                Ok(FirstRecord::Behind(next)) => (offset, bytes) = (next, MANY_BATCHES),
                Err(reason) => return Ok(Err(errors::no_record_time(topic, *partition, reason))),
            }
        }
        Ok(Err(errors::no_record(topic, *partition, offset)))
    }

    /// Finds the brokers that lead partitions now, and reports records of those that are gone or
    /// without one.
    async fn locate(
        &self,
        moved: Vec<(WantedRecord, BrokerError)>,
        deadline: Instant,
    ) -> Result<Vec<WantedRecord>, BrokerError> {
        let Client {
            cluster, topics, ..
        } = self.client;
        let names: BTreeSet<Arc<str>> = moved
            .iter()
            .map(|(record, _)| record.position.topic.clone())
            .collect();
        let names: BTreeSet<&str> = names.iter().map(|name| &**name).collect();
        topics.remove(names.iter().copied());
        let described = topics.describe(cluster, &names, deadline).await?;
        let described = TopicInfo::new(HashMap::new(), described);
        let mut located = Vec::with_capacity(moved.len());
        for (record, _) in moved {
            let position = &record.position;
            match described.leader(&position.topic, position.partition) {
                Ok(leader) => located.push(WantedRecord { leader, ..record }),
                Err(error) => self.batch.set_record(record.position, Err(error)),
            }
        }
        Ok(located)
    }

    fn fail(&self, position: Position, error: &BrokerError) {
        let error = errors::of_record(&position.topic, position.partition, error);
        self.batch.set_record(position, Err(error));
    }
}

/// The records of the one partition that was requested.
fn of_partition(
    fetched: FetchedRecords,
    topic: &str,
    partition: i32,
) -> Result<bytes::Bytes, BrokerError> {
    if let Some(error) = BrokerError::from_number(fetched.error) {
        return Err(error);
    }
    let topics = fetched.topics.into_iter();
    let mut partitions = topics
        .filter(|(name, _)| name == topic)
        .flat_map(|(_, partitions)| partitions);
    match partitions.find(|found| found.partition == partition) {
        Some(found) => match BrokerError::from_number(found.error) {
            Some(error) => Err(error),
            None => Ok(found.records),
        },
        None => {
            let text = match fetched.throttled {
                true => "the broker throttles what this user fetches",
                false => "the response lacks it",
            };
            Err(BrokerError::new(ErrorCause::Malformed, text))
        }
    }
}

/// Whether another attempt may succeed: the leader has moved or gone.
fn is_retriable(error: &BrokerError) -> bool {
    let final_ones = [
        ResponseError::TopicAuthorizationFailed,
        ResponseError::ClusterAuthorizationFailed,
        // Deleted since its offset was read; the next read begins behind it.
        ResponseError::OffsetOutOfRange,
        ResponseError::UnsupportedCompressionType,
        ResponseError::CorruptMessage,
    ];
    error
        .code()
        .is_none_or(|error| !final_ones.contains(&error))
}
