//! Responses of brokers: of each kind the fields that are used, in all versions that are requested.
//!
//! Requests are `kafka-protocol`'s. Its responses trust the number of elements that the other side
//! claims, and reserve memory for them: a server that is named as a broker could end this process. Here a count is checked against the bytes that are left.
//! Formats: <https://kafka.apache.org/protocol#protocol_messages>.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;

use super::{
    LARGEST_RESPONSE,
    decode::{Decoder, Malformed},
};

/// A response to one kind of request.
pub trait Response: Sized {
    /// The kind of request.
    const API: ApiKey;
    /// The versions that are read here.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields (KIP-482).
    const FLEXIBLE: i16;
    /// How many bytes of a response are kept. What is larger is cut off.
    const KEPT: usize = LARGEST_RESPONSE;

    fn read(reader: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed>;
}

/// Which versions of which requests the broker understands.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct ApiVersions {
    pub error: i16,
    /// By the number of the request's kind: the oldest and the newest.
    pub versions: Vec<(i16, RangeInclusive<i16>)>,
}

impl Response for ApiVersions {
    const API: ApiKey = ApiKey::ApiVersions;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const FLEXIBLE: i16 = 3;

    fn read(reader: &mut Decoder<'_>, _: i16) -> Result<Self, Malformed> {
        Ok(ApiVersions {
            error: reader.i16()?,
            versions: reader.array(|one| Ok((one.i16()?, one.i16()?..=one.i16()?)))?,
        })
    }
}

/// Whether a mechanism may be used.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct Handshake {
    pub error: i16,
    /// Those that are offered.
    pub mechanisms: Vec<String>,
}

impl Response for Handshake {
    const API: ApiKey = ApiKey::SaslHandshake;
    // Version 0 goes on in another framing.
    const VERSIONS: RangeInclusive<i16> = 1..=1;
    const FLEXIBLE: i16 = i16::MAX;

    fn read(reader: &mut Decoder<'_>, _: i16) -> Result<Self, Malformed> {
        Ok(Handshake {
            error: reader.i16()?,
            mechanisms: reader.array(Decoder::string)?,
        })
    }
}

/// The broker's turn in a login.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct Challenge {
    pub error: i16,
    pub message: Option<String>,
    pub bytes: Bytes,
    /// How long the login is good for, in ms; 0: for ever.
    pub lifetime: i64,
}

impl Response for Challenge {
    const API: ApiKey = ApiKey::SaslAuthenticate;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    const FLEXIBLE: i16 = 2;

    fn read(reader: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
        Ok(Challenge {
            error: reader.i16()?,
            message: reader.nullable_string()?,
            bytes: reader.bytes()?,
            lifetime: if version >= 1 { reader.i64()? } else { 0 },
        })
    }
}

/// A broker and where it wants to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: i32,
    pub host: String,
    pub port: i32,
}

impl Node {
    fn read(reader: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Node {
            id: reader.i32()?,
            host: reader.string()?,
            port: reader.i32()?,
        })
    }
}

/// The most brokers of a cluster: each is kept, with a connection when it is needed. Large clusters
/// have some hundreds.
const MOST_BROKERS: usize = 10_000;

/// The cluster.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct ClusterMetadata {
    pub brokers: Vec<Node>,
    pub topics: Vec<TopicMetadata>,
}

/// A topic, or why it cannot be described.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct TopicMetadata {
    pub error: i16,
    pub name: String,
    /// Each with the broker that leads it; −1: none does.
    pub partitions: Vec<(i32, i32)>,
}

impl Response for ClusterMetadata {
    const API: ApiKey = ApiKey::Metadata;
    // Before version 4 requesting a topic could create it.
    const VERSIONS: RangeInclusive<i16> = 4..=12;
    const FLEXIBLE: i16 = 9;

    fn read(reader: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
        reader.skip(4)?; // throttle time
        let brokers = reader.array_of_at_most(MOST_BROKERS, |one| {
            let node = Node::read(one)?;
            one.nullable_string()?; // rack
            Ok(node)
        })?;
        reader.nullable_string()?; // cluster id
        reader.skip(4)?; // controller
        let topics = reader.array(|one| TopicMetadata::read(one, version))?;
        Ok(ClusterMetadata { brokers, topics })
    }
}

impl TopicMetadata {
    fn read(reader: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
        let error = reader.i16()?;
        let name = reader.nullable_string()?.unwrap_or_default();
        if version >= 10 {
            reader.skip(16)?; // topic id
        }
        reader.skip(1)?; // whether it is Kafka's own
        let partitions = reader.array(|one| {
            one.skip(2)?; // error: whatever it is, the leader says enough
            let (partition, leader) = (one.i32()?, one.i32()?);
            if version >= 7 {
                one.skip(4)?; // leader epoch
            }
            one.numbers()?; // replicas
            one.numbers()?; // in sync
            if version >= 5 {
                one.numbers()?; // offline
            }
            Ok((partition, leader))
        })?;
        if version >= 8 {
            reader.skip(4)?; // operations that are allowed
        }
        Ok(TopicMetadata {
            error,
            name,
            partitions,
        })
    }
}

/// Which brokers coordinate groups.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub enum FoundCoordinators {
    /// Before version 4: of the one group in the request.
    One(Coordinator),
    Many(Vec<(String, Coordinator)>),
}

/// Which broker coordinates a group, or why none is known.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct Coordinator {
    pub error: i16,
    pub node: Node,
}

impl Response for FoundCoordinators {
    const API: ApiKey = ApiKey::FindCoordinator;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    const FLEXIBLE: i16 = 3;

    fn read(reader: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
        if version >= 1 {
            reader.skip(4)?; // throttle time
        }
        if version >= 4 {
            let many = reader.array(|one| {
                let (key, node) = (one.string()?, Node::read(one)?);
                let error = one.i16()?;
                one.nullable_string()?; // the error in words
                Ok((key, Coordinator { error, node }))
            })?;
            return Ok(FoundCoordinators::Many(many));
        }
        let error = reader.i16()?;
        if version >= 1 {
            reader.nullable_string()?; // the error in words
        }
        let node = Node::read(reader)?;
        Ok(FoundCoordinators::One(Coordinator { error, node }))
    }
}

/// What groups have committed.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub enum FetchedOffsets {
    /// Before version 8: of the one group in the request.
    One(GroupOffsets),
    Many(Vec<(String, GroupOffsets)>),
}

/// What a group has committed, or why that is not known.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct GroupOffsets {
    pub error: i16,
    pub topics: Vec<(String, Vec<PartitionOffset>)>,
}

/// An offset of a partition, or why it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    pub partition: i32,
    pub error: i16,
    pub offset: i64,
}

impl Response for FetchedOffsets {
    const API: ApiKey = ApiKey::OffsetFetch;
    // Since version 2 all topics of a group can be requested.
    const VERSIONS: RangeInclusive<i16> = 2..=9;
    const FLEXIBLE: i16 = 6;

    fn read(reader: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
        if version >= 3 {
            reader.skip(4)?; // throttle time
        }
        match version >= 8 {
            false => Ok(FetchedOffsets::One(GroupOffsets::read(reader, version)?)),
            true => {
                let group =
                    |one: &mut Decoder<'_>| Ok((one.string()?, GroupOffsets::read(one, version)?));
                Ok(FetchedOffsets::Many(reader.array(group)?))
            }
        }
    }
}

impl GroupOffsets {
    fn read(reader: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
        let topics = by_topic(reader, |one| {
            let (partition, offset) = (one.i32()?, one.i64()?);
            if version >= 5 {
                one.skip(4)?; // leader epoch
            }
            one.skip_nullable_string()?; // metadata
            let error = one.i16()?;
            Ok(PartitionOffset {
                partition,
                error,
                offset,
            })
        })?;
        let error = reader.i16()?;
        Ok(GroupOffsets { error, topics })
    }
}

/// An end of partitions.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct ListedOffsets(pub Vec<(String, Vec<PartitionOffset>)>);

impl Response for ListedOffsets {
    const API: ApiKey = ApiKey::ListOffsets;
    // Since version 2 with the isolation level.
    const VERSIONS: RangeInclusive<i16> = 2..=10;
    const FLEXIBLE: i16 = 6;

    fn read(reader: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
        reader.skip(4)?; // throttle time
        let ends = by_topic(reader, |one| {
            let (partition, error) = (one.i32()?, one.i16()?);
            one.skip(8)?; // timestamp
            let offset = one.i64()?;
            if version >= 4 {
                one.skip(4)?; // leader epoch
            }
            Ok(PartitionOffset {
                partition,
                error,
                offset,
            })
        })?;
        Ok(ListedOffsets(ends))
    }
}

fn by_topic(
    reader: &mut Decoder<'_>,
    mut partition: impl FnMut(&mut Decoder<'_>) -> Result<PartitionOffset, Malformed>,
) -> Result<Vec<(String, Vec<PartitionOffset>)>, Malformed> {
    reader.array(|topic| Ok((topic.string()?, topic.array(&mut partition)?)))
}
