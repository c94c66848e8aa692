//! The requests that we send, as `kafka-protocol` has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kafka_protocol::{
    messages::{
        FetchRequest, FindCoordinatorRequest, GroupId, ListOffsetsRequest, MetadataRequest,
        OffsetFetchRequest, TopicName,
        fetch_request::{FetchPartition, FetchTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
        offset_fetch_request::OffsetFetchRequestGroup,
    },
    protocol::StrBytes,
};

use crate::backends::kafka::query::Isolation;

/// Since this version a FindCoordinator request may name many groups (KIP-699, Kafka 3.0).
const MANY_COORDINATORS: i16 = 4;
/// Since this version only settled offsets can be requested (KIP-447, Kafka 2.5).
const STABLE: i16 = 7;
/// Since this version an OffsetFetch request may name many groups (KIP-709, Kafka 3.0).
const MANY_OFFSETS: i16 = 8;

/// The cluster, and some topics; `None`: all of them.
pub fn metadata(names: Option<&[&str]>) -> MetadataRequest {
    let topic = |name: &&str| {
        let name = TopicName(StrBytes::from_string((*name).to_owned()));
        MetadataRequestTopic::default().with_name(Some(name))
    };
    MetadataRequest::default()
        .with_topics(names.map(|names| names.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(false)
}

/// The coordinators of groups. An older broker takes one group a request: the first.
pub fn find_coordinator(version: i16, groups: &[String]) -> FindCoordinatorRequest {
    let mut keys = groups.iter().cloned().map(StrBytes::from_string);
    let request = FindCoordinatorRequest::default();
    match version >= MANY_COORDINATORS {
        true => request.with_coordinator_keys(keys.collect()),
        false => request.with_key(keys.next().unwrap_or_default()),
    }
}

/// Whether a coordinator may return offsets that are not settled.
///
/// Since Kafka 4.0 it returns what its followers are known to have, too. One that has just taken
/// over does not know that yet: for a moment it returns old offsets, or none, without an error.
/// Requested for settled offsets only (`require_stable`, KIP-447), it responds when it knows.
#[derive(Clone, Copy)]
pub enum Unsettled {
    /// An open transaction that is about to commit offsets makes them an error.
    Refuse,
    /// Those before the open transaction.
    Accept,
}

/// All that groups have committed, in whatever topic. An older broker takes one group a request: the
/// first.
pub fn offset_fetch(version: i16, groups: &[String], unsettled: Unsettled) -> OffsetFetchRequest {
    let mut ids = groups
        .iter()
        .map(|group| GroupId(StrBytes::from_string(group.clone())));
    let stable = matches!(unsettled, Unsettled::Refuse) && version >= STABLE;
    let request = OffsetFetchRequest::default().with_require_stable(stable);
    match version >= MANY_OFFSETS {
        true => {
            let group = |id| {
                OffsetFetchRequestGroup::default()
                    .with_group_id(id)
                    .with_topics(None)
            };
            request.with_groups(ids.map(group).collect())
        }
        false => request
            .with_group_id(ids.next().unwrap_or_default())
            .with_topics(None),
    }
}

/// Which end of a partition, as ListOffsets has it.
#[derive(Clone, Copy)]
pub enum LogEnd {
    /// The first offset that retention left.
    Earliest = -2,
    /// The offset after the last message.
    Latest = -1,
}

/// One end of partitions.
pub fn list_offsets(
    partitions: &BTreeMap<Arc<str>, BTreeSet<i32>>,
    isolation: Isolation,
    end: LogEnd,
) -> ListOffsetsRequest {
    let topics = partitions.iter().map(|(topic, numbers)| {
        let partitions = numbers.iter().map(|number| {
            ListOffsetsPartition::default()
                .with_partition_index(*number)
                .with_timestamp(end as i64)
        });
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_string())))
            .with_partitions(partitions.collect())
    });
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(level(isolation))
        .with_topics(topics.collect())
}

/// The records of one partition from an offset on, as many as there are in so many bytes.
///
/// A broker returns the first batch as a whole, and no other, where even that is larger (KIP-74;
/// `ReplicaManager.readFromLog` and `LogSegment.read` with `minOneMessage`). It does so for one
/// partition of a request, so that each has a request of its own. It does not wait for more, and no
/// session is opened (KIP-227).
pub fn fetch(
    topic: &str,
    partition: i32,
    offset: i64,
    isolation: Isolation,
    bytes: i32,
) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(bytes);
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(bytes)
        .with_isolation_level(level(isolation))
        .with_topics(vec![topic])
}

fn level(isolation: Isolation) -> i8 {
    match isolation {
        Isolation::ReadUncommitted => 0,
        Isolation::ReadCommitted => 1,
    }
}
