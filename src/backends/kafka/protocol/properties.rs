//! Responses of any content, in every version, and what is left of them when bytes are changed, cut
//! off or added. A broker is only an address in a trigger: what comes from there may be anything.

use allocation_counter::measure;
use futures_util::FutureExt;
use kafka_protocol::{
    messages::{
        ApiVersionsResponse, FetchResponse, FindCoordinatorResponse, ListOffsetsResponse,
        MetadataResponse, OffsetFetchResponse, SaslAuthenticateResponse, SaslHandshakeResponse,
        TopicName,
        api_versions_response::ApiVersion,
        fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData},
        find_coordinator_response,
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
        metadata_response::{
            MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        },
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
            OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
    protocol::HeaderVersion,
};
use proptest::{collection::vec, option, prelude::*, sample::Index};
use std::{collections::BTreeMap, fmt::Debug};

use super::{fetch::PartitionRecords, responses::PartitionOffset, *};

/// A response that is read here, as any broker may send it.
trait AnyResponse: Response + Debug + PartialEq + 'static {
    fn any(version: i16) -> BoxedStrategy<Self>;

    /// As Kafka's own definition has it. `noise` fills what is not read here.
    fn encode(&self, version: i16, noise: &Noise) -> Vec<u8>;
}

/// The fields that are skipped, which must not move those that are read.
#[derive(Clone, Debug)]
struct Noise {
    number: i32,
    text: Option<String>,
    numbers: Vec<i32>,
    /// Tagged fields of a later version of the protocol, where the version has tags.
    tags: BTreeMap<i32, Bytes>,
}

fn noise() -> impl Strategy<Value = Noise> {
    let bytes = of_many_lengths(any::<u8>()).prop_map(Bytes::from);
    let tags = prop::collection::btree_map(100..i32::MAX, bytes, 0..3);
    let numbers = of_many_lengths(any::<i32>());
    (any::<i32>(), option::of(text()), numbers, tags).prop_map(|(number, text, numbers, tags)| {
        Noise {
            number,
            text,
            numbers,
            tags,
        }
    })
}

impl Noise {
    fn text(&self) -> Option<StrBytes> {
        self.text.clone().map(StrBytes::from_string)
    }

    fn brokers(&self) -> Vec<kafka_protocol::messages::BrokerId> {
        self.numbers.iter().map(|id| (*id).into()).collect()
    }

    fn tags<A: Response>(&self, version: i16) -> BTreeMap<i32, Bytes> {
        since(version, A::FLEXIBLE, self.tags.clone())
    }

    /// The message behind its header.
    fn sent<M: Encodable + HeaderVersion>(&self, message: &M, version: i16) -> Vec<u8> {
        let mut sent = BytesMut::new();
        sent.put_i32(self.number);
        if M::header_version(version) >= 1 {
            // One tag, of two bytes.
            sent.put_slice(&[1, 9, 2, 0xaa, 0xbb]);
        }
        let encoded = message.encode(&mut sent, version);
        encoded.unwrap_or_else(|error| panic!("version {version}: {error}"));
        sent.to_vec()
    }
}

/// `value` in the versions that have the field, which cannot be encoded in others.
fn since<T: Default>(version: i16, first: i16, value: T) -> T {
    if version >= first {
        value
    } else {
        T::default()
    }
}

/// Mostly a few; now and then so many that a compact length takes two bytes.
fn of_many_lengths<T: Strategy + Clone>(element: T) -> impl Strategy<Value = Vec<T::Value>> {
    prop_oneof![8 => vec(element.clone(), 0..4), 1 => vec(element, 120..140)]
}

/// Mostly a short name; now and then one whose compact length takes two bytes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-zé€😀._-]{0,12}", 1 => "[a-z]{120,140}", 1 => any::<String>()]
}

fn str_bytes(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(text: &str) -> TopicName {
    TopicName(str_bytes(text))
}

fn node() -> impl Strategy<Value = Node> {
    let parts = (any::<i32>(), text(), any::<i32>());
    parts.prop_map(|(id, host, port)| Node { id, host, port })
}

fn partition_offset() -> impl Strategy<Value = PartitionOffset> {
    let parts = (any::<i32>(), any::<i16>(), any::<i64>());
    parts.prop_map(|(partition, error, offset)| PartitionOffset {
        partition,
        error,
        offset,
    })
}

/// Partitions by topic. More of them than elements for which room is made in advance.
fn by_topic() -> impl Strategy<Value = Vec<(String, Vec<PartitionOffset>)>> {
    let partitions =
        prop_oneof![4 => vec(partition_offset(), 0..4), 1 => vec(partition_offset(), 60..70)];
    vec((text(), partitions), 0..4)
}

impl AnyResponse for ApiVersions {
    fn any(_: i16) -> BoxedStrategy<Self> {
        let range = (any::<i16>(), any::<i16>()).prop_map(|(from, to)| from..=to);
        let parts = (any::<i16>(), vec((any::<i16>(), range), 0..100));
        parts
            .prop_map(|(error, versions)| ApiVersions { error, versions })
            .boxed()
    }

    fn encode(&self, version: i16, noise: &Noise) -> Vec<u8> {
        let keys = self.versions.iter().map(|(key, range)| {
            ApiVersion::default()
                .with_api_key(*key)
                .with_min_version(*range.start())
                .with_max_version(*range.end())
        });
        let message = ApiVersionsResponse::default()
            .with_error_code(self.error)
            .with_api_keys(keys.collect());
        noise.sent(&message, version)
    }
}

impl AnyResponse for Handshake {
    fn any(_: i16) -> BoxedStrategy<Self> {
        (any::<i16>(), vec(text(), 0..8))
            .prop_map(|(error, mechanisms)| Handshake { error, mechanisms })
            .boxed()
    }

    fn encode(&self, version: i16, noise: &Noise) -> Vec<u8> {
        let mechanisms = self.mechanisms.iter().map(|text| str_bytes(text));
        let message = SaslHandshakeResponse::default()
            .with_error_code(self.error)
            .with_mechanisms(mechanisms.collect());
        noise.sent(&message, version)
    }
}

impl AnyResponse for Challenge {
    fn any(version: i16) -> BoxedStrategy<Self> {
        let bytes = vec(any::<u8>(), 0..300);
        let parts = (any::<i16>(), option::of(text()), bytes, any::<i64>());
        parts
            .prop_map(move |(error, message, bytes, lifetime)| Challenge {
                error,
                message,
                bytes: bytes.into(),
                lifetime: since(version, 1, lifetime),
            })
            .boxed()
    }

    fn encode(&self, version: i16, noise: &Noise) -> Vec<u8> {
        let message = SaslAuthenticateResponse::default()
            .with_error_code(self.error)
            .with_error_message(self.message.as_deref().map(str_bytes))
            .with_auth_bytes(self.bytes.clone())
            .with_session_lifetime_ms(self.lifetime)
            .with_unknown_tagged_fields(noise.tags::<Self>(version));
        noise.sent(&message, version)
    }
}

impl AnyResponse for ClusterMetadata {
    fn any(_: i16) -> BoxedStrategy<Self> {
        let partitions = vec((any::<i32>(), any::<i32>()), 0..5);
        let topic = (any::<i16>(), text(), partitions).prop_map(|(error, name, partitions)| {
            TopicMetadata {
                error,
                name,
                partitions,
            }
        });
        (vec(node(), 0..4), vec(topic, 0..4))
            .prop_map(|(brokers, topics)| ClusterMetadata { brokers, topics })
            .boxed()
    }

    fn encode(&self, version: i16, noise: &Noise) -> Vec<u8> {
        let tags = || noise.tags::<Self>(version);
        let brokers = self.brokers.iter().map(|node| {
            MetadataResponseBroker::default()
                .with_node_id(node.id.into())
                .with_host(str_bytes(&node.host))
                .with_port(node.port)
                .with_rack(noise.text())
                .with_unknown_tagged_fields(tags())
        });
        let partition = |(partition, leader): &(i32, i32)| {
            MetadataResponsePartition::default()
                .with_error_code(noise.number as i16)
                .with_partition_index(*partition)
                .with_leader_id((*leader).into())
                .with_leader_epoch(since(version, 7, noise.number))
                .with_replica_nodes(noise.brokers())
                .with_isr_nodes(noise.brokers())
                .with_offline_replicas(since(version, 5, noise.brokers()))
                .with_unknown_tagged_fields(tags())
        };
        let topics = self.topics.iter().map(|topic| {
            MetadataResponseTopic::default()
                .with_error_code(topic.error)
                .with_name(Some(name(&topic.name)))
                .with_is_internal(noise.number % 2 == 0)
                .with_partitions(topic.partitions.iter().map(partition).collect())
                .with_topic_authorized_operations(match version {
                    8.. => noise.number,
                    _ => i32::MIN,
                })
                .with_unknown_tagged_fields(tags())
        });
        let message = MetadataResponse::default()
            .with_throttle_time_ms(noise.number)
            .with_brokers(brokers.collect())
            .with_cluster_id(noise.text())
            .with_controller_id(noise.number.into())
            .with_topics(topics.collect())
            .with_unknown_tagged_fields(tags());
        noise.sent(&message, version)
    }
}

impl AnyResponse for FoundCoordinators {
    fn any(version: i16) -> BoxedStrategy<Self> {
        let coordinator =
            (any::<i16>(), node()).prop_map(|(error, node)| Coordinator { error, node });
        match version >= 4 {
            true => vec((text(), coordinator), 0..5)
                .prop_map(FoundCoordinators::Many)
                .boxed(),
            false => coordinator.prop_map(FoundCoordinators::One).boxed(),
        }
    }

    fn encode(&self, version: i16, noise: &Noise) -> Vec<u8> {
        let message = FindCoordinatorResponse::default()
            .with_throttle_time_ms(since(version, 1, noise.number))
            .with_unknown_tagged_fields(noise.tags::<Self>(version));
        let message = match self {
            FoundCoordinators::One(Coordinator { error, node }) => message
                .with_error_code(*error)
                .with_error_message(since(version, 1, noise.text()))
                .with_node_id(node.id.into())
                .with_host(str_bytes(&node.host))
                .with_port(node.port),
            FoundCoordinators::Many(many) => {
                let many = many.iter().map(|(key, Coordinator { error, node })| {
                    find_coordinator_response::Coordinator::default()
                        .with_key(str_bytes(key))
                        .with_node_id(node.id.into())
                        .with_host(str_bytes(&node.host))
                        .with_port(node.port)
                        .with_error_code(*error)
                        .with_error_message(noise.text())
                        .with_unknown_tagged_fields(noise.tags::<Self>(version))
                });
                message.with_coordinators(many.collect())
            }
        };
        noise.sent(&message, version)
    }
}

impl AnyResponse for FetchedOffsets {
    fn any(version: i16) -> BoxedStrategy<Self> {
        let group = (any::<i16>(), by_topic());
        let group = group.prop_map(|(error, topics)| GroupOffsets { error, topics });
        match version >= 8 {
            true => vec((text(), group), 0..4)
                .prop_map(FetchedOffsets::Many)
                .boxed(),
            false => group.prop_map(FetchedOffsets::One).boxed(),
        }
    }

    fn encode(&self, version: i16, noise: &Noise) -> Vec<u8> {
        let tags = || noise.tags::<Self>(version);
        let epoch = since(version, 5, noise.number);
        let message = OffsetFetchResponse::default()
            .with_throttle_time_ms(since(version, 3, noise.number))
            .with_unknown_tagged_fields(tags());
        let message = match self {
            FetchedOffsets::One(group) => {
                let partition = |found: &PartitionOffset| {
                    OffsetFetchResponsePartition::default()
                        .with_partition_index(found.partition)
                        .with_committed_offset(found.offset)
                        .with_committed_leader_epoch(epoch)
                        .with_metadata(noise.text())
                        .with_error_code(found.error)
                        .with_unknown_tagged_fields(tags())
                };
                let topics = group.topics.iter().map(|(topic, partitions)| {
                    OffsetFetchResponseTopic::default()
                        .with_name(name(topic))
                        .with_partitions(partitions.iter().map(partition).collect())
                        .with_unknown_tagged_fields(tags())
                });
                message
                    .with_topics(topics.collect())
                    .with_error_code(group.error)
            }
            FetchedOffsets::Many(groups) => {
                let partition = |found: &PartitionOffset| {
                    OffsetFetchResponsePartitions::default()
                        .with_partition_index(found.partition)
                        .with_committed_offset(found.offset)
                        .with_committed_leader_epoch(epoch)
                        .with_metadata(noise.text())
                        .with_error_code(found.error)
                        .with_unknown_tagged_fields(tags())
                };
                let topic = |(topic, partitions): &(String, Vec<PartitionOffset>)| {
                    OffsetFetchResponseTopics::default()
                        .with_name(name(topic))
                        .with_partitions(partitions.iter().map(partition).collect())
                        .with_unknown_tagged_fields(tags())
                };
                let groups = groups.iter().map(|(group, offsets)| {
                    OffsetFetchResponseGroup::default()
                        .with_group_id(str_bytes(group).into())
                        .with_topics(offsets.topics.iter().map(topic).collect())
                        .with_error_code(offsets.error)
                        .with_unknown_tagged_fields(tags())
                });
                message.with_groups(groups.collect())
            }
        };
        noise.sent(&message, version)
    }
}

impl AnyResponse for ListedOffsets {
    fn any(_: i16) -> BoxedStrategy<Self> {
        by_topic().prop_map(ListedOffsets).boxed()
    }

    fn encode(&self, version: i16, noise: &Noise) -> Vec<u8> {
        let tags = || noise.tags::<Self>(version);
        let partition = |found: &PartitionOffset| {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(found.partition)
                .with_error_code(found.error)
                .with_timestamp(noise.number.into())
                .with_offset(found.offset)
                .with_leader_epoch(match version {
                    4.. => noise.number,
                    _ => -1,
                })
                .with_unknown_tagged_fields(tags())
        };
        let topics = self.0.iter().map(|(topic, partitions)| {
            ListOffsetsTopicResponse::default()
                .with_name(name(topic))
                .with_partitions(partitions.iter().map(partition).collect())
                .with_unknown_tagged_fields(tags())
        });
        let message = ListOffsetsResponse::default()
            .with_throttle_time_ms(noise.number)
            .with_topics(topics.collect())
            .with_unknown_tagged_fields(tags());
        noise.sent(&message, version)
    }
}

impl AnyResponse for FetchedRecords {
    fn any(version: i16) -> BoxedStrategy<Self> {
        let records = of_many_lengths(any::<u8>()).prop_map(Bytes::from);
        let partition = (any::<i32>(), any::<i16>(), records);
        let partition = partition.prop_map(|(partition, error, records)| PartitionRecords {
            partition,
            error,
            records,
        });
        let topics = vec((text(), vec(partition, 0..4)), 0..4);
        let parts = (any::<bool>(), any::<i16>(), topics);
        parts
            .prop_map(move |(throttled, error, topics)| FetchedRecords {
                throttled,
                error: since(version, 7, error),
                topics,
            })
            .boxed()
    }

    fn encode(&self, version: i16, noise: &Noise) -> Vec<u8> {
        let aborted = noise.numbers.iter().map(|id| {
            AbortedTransaction::default()
                .with_producer_id(i64::from(*id).into())
                .with_first_offset(noise.number.into())
        });
        let aborted: Vec<_> = aborted.collect();
        let partition = |found: &PartitionRecords| {
            PartitionData::default()
                .with_partition_index(found.partition)
                .with_error_code(found.error)
                .with_high_watermark(noise.number.into())
                .with_last_stable_offset(noise.number.into())
                .with_log_start_offset(match version {
                    5.. => noise.number.into(),
                    _ => -1,
                })
                .with_aborted_transactions((noise.number % 2 == 0).then(|| aborted.clone()))
                .with_preferred_read_replica(match version {
                    11.. => noise.number.into(),
                    _ => (-1).into(),
                })
                .with_records(Some(found.records.clone()))
        };
        let topics = self.topics.iter().map(|(topic, partitions)| {
            FetchableTopicResponse::default()
                .with_topic(name(topic))
                .with_partitions(partitions.iter().map(partition).collect())
        });
        let message = FetchResponse::default()
            .with_throttle_time_ms(self.throttled.into())
            .with_error_code(self.error)
            .with_session_id(since(version, 7, noise.number))
            .with_responses(topics.collect());
        noise.sent(&message, version)
    }
}

/// A version, a response of it, and how it is sent.
fn response<A: AnyResponse>() -> impl Strategy<Value = (i16, A, Vec<u8>)> {
    let of_version = |version| {
        (A::any(version), noise()).prop_map(move |(response, noise)| {
            let sent = response.encode(version, &noise);
            (version, response, sent)
        })
    };
    A::VERSIONS.prop_flat_map(of_version)
}

/// One thing that is done to a response.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Flip(Index, u8),
    /// Something else is at this place: mostly what is a huge length or count there.
    Overwrite(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let bytes = prop_oneof![
        4 => prop::sample::select(vec![
            vec![0xff, 0xff, 0xff, 0x7f],
            vec![0x7f, 0xff, 0xff, 0xff],
            vec![0xff, 0xff, 0xff, 0xff],
            vec![0xff, 0xff, 0xff, 0xff, 0x0f],
            vec![0xff, 0xff, 0xff, 0xff, 0x7f],
            vec![0x80, 0x80, 0x80, 0x80, 0x10],
            vec![0x00, 0x00, 0xff, 0xff],
            vec![0x7f, 0xff],
            vec![0x80, 0x00],
            vec![0x80, 0x01],
            vec![0x00],
        ]),
        1 => vec(any::<u8>(), 1..9),
    ];
    prop_oneof![
        1 => at().prop_map(Damage::Cut),
        3 => (at(), 1..=u8::MAX).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        3 => (at(), bytes.clone()).prop_map(|(at, bytes)| Damage::Overwrite(at, bytes)),
        1 => (at(), bytes).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (at(), 1..20_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
        1 => (at(), 1..20_usize, 1..200_usize)
            .prop_map(|(at, length, times)| Damage::Repeat(at, length, times)),
    ]
}

impl Damage {
    fn apply(&self, sent: &mut Vec<u8>) {
        if sent.is_empty() {
            return;
        }
        let length = sent.len();
        match self {
            Damage::Cut(at) => sent.truncate(at.index(length)),
            Damage::Flip(at, mask) => sent[at.index(length)] ^= mask,
            Damage::Overwrite(at, bytes) => {
                let places = sent[at.index(length)..].iter_mut();
                places.zip(bytes).for_each(|(place, byte)| *place = *byte);
            }
            Damage::Insert(at, bytes) => {
                let at = at.index(length);
                sent.splice(at..at, bytes.iter().copied());
            }
            Damage::Remove(at, count) => {
                let at = at.index(length);
                sent.drain(at..length.min(at + count));
            }
            Damage::Repeat(at, count, times) => {
                let at = at.index(length);
                let repeated = sent[at..length.min(at + count)].repeat(*times);
                sent.splice(at..at, repeated);
            }
        }
    }
}

/// The memory that reading may take, whatever the outcome. The most that a byte can demand is a
/// topic without a name and partitions: three bytes that become 48, in a list that grows by
/// doubling, which holds the old and the new one for a moment. Room for 64 elements is made before
/// they are read, at each of three levels.
fn most_memory(length: usize) -> u64 {
    (48 * length + 3 * 64 * 64) as u64
}

fn read_within_bounds<A: AnyResponse>(sent: &[u8], version: i16) -> Result<(), TestCaseError> {
    let mut outcome = None;
    let memory = measure(|| outcome = Some(read::<A>(sent, version)));
    let most = most_memory(sent.len());
    prop_assert!(
        memory.bytes_max <= most,
        "{} bytes of memory for {} bytes, which became {outcome:?}",
        memory.bytes_max,
        sent.len()
    );
    Ok(())
}

/// The properties of one type of response.
macro_rules! properties_of {
    ($($name:ident: $response:ty),+ $(,)?) => { $(
        mod $name {
            use super::*;

            proptest! {
                #[test]
                fn what_is_sent_is_read((version, response, sent) in super::response::<$response>()) {
                    let found = read::<$response>(&sent, version);
                    prop_assert_eq!(found, Ok(response), "version {}: {:?}", version, sent);
                    read_within_bounds::<$response>(&sent, version)?;
                }

                #[test]
                fn what_is_damaged_is_an_error_or_a_response(
                    (version, _, mut sent) in super::response::<$response>(),
                    damages in vec(damage(), 1..5),
                ) {
                    damages.iter().for_each(|damage| damage.apply(&mut sent));
                    read_within_bounds::<$response>(&sent, version)?;
                }

                #[test]
                fn any_bytes_are_an_error_or_a_response(
                    sent in prop_oneof![
                        vec(any::<u8>(), 0..300),
                        // Mostly small numbers: as lengths and counts they lead further in.
                        vec(prop_oneof![8 => 0..4_u8, 1 => any::<u8>()], 0..3000),
                        // What takes the fewest bytes, many times.
                        (0..4_u8, vec(0..4_u8, 1..8), 0..3000_usize).prop_map(|(first, unit, times)| {
                            let mut sent = vec![first; 13];
                            sent.extend([0xff, 0x20]);
                            sent.extend(unit.repeat(times));
                            sent
                        }),
                    ],
                    version in <$response>::VERSIONS,
                ) {
                    read_within_bounds::<$response>(&sent, version)?;
                }
            }
        }
    )+ };
}

properties_of!(
    api_versions: ApiVersions,
    handshake: Handshake,
    challenge: Challenge,
    metadata: ClusterMetadata,
    coordinators: FoundCoordinators,
    committed: FetchedOffsets,
    listed: ListedOffsets,
    records: FetchedRecords,
);

/// Reads from a stream that ends after these bytes.
fn frame_of(mut sent: &[u8], kept: usize) -> Result<Bytes, BrokerError> {
    let read = read_frame(&mut sent, || kept).now_or_never();
    read.expect("a stream of bytes never waits")
}

proptest! {
    #[test]
    fn a_frame_is_read_whole_or_not_at_all(
        body in vec(any::<u8>(), 0..200),
        rest in vec(any::<u8>(), 0..20),
        claimed in prop_oneof![Just(None), any::<i32>().prop_map(Some), (0..400).prop_map(Some)],
        kept in prop_oneof![Just(LARGEST_RESPONSE), 0..300_usize],
    ) {
        let claimed = claimed.unwrap_or(body.len() as i32);
        let sent = [&claimed.to_be_bytes()[..], &body, &rest].concat();
        let mut outcome = None;
        let memory = measure(|| outcome = Some(frame_of(&sent, kept)));
        let there = &sent[4..];
        let length = usize::try_from(claimed).ok().filter(|length| *length <= there.len());
        match (outcome.expect("was read"), length) {
            (Ok(frame), Some(length)) => prop_assert_eq!(&frame[..], &there[..length.min(kept)]),
            (Ok(frame), None) => prop_assert!(false, "{} bytes of {claimed}", frame.len()),
            (Err(_), None) => {}
            (Err(error), Some(_)) => prop_assert!(false, "{}", error.text),
        }
        // A likely length gets its buffer at once, a larger one as it comes.
        // What is not kept goes through a small buffer.
        let most = LIKELY_RESPONSE.min(kept) + 4 * sent.len() + 16 * 1024;
        prop_assert!(memory.bytes_max <= most as u64, "{} bytes", memory.bytes_max);
    }
}
