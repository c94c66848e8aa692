//! Responses as Kafka's own definitions have them, in every version, and malformed ones.

use kafka_protocol::{
    messages::{
        ApiVersionsResponse, FetchRequest, FetchResponse, FindCoordinatorResponse,
        ListOffsetsResponse, MetadataResponse, OffsetFetchResponse, SaslAuthenticateResponse,
        SaslHandshakeResponse, TopicName,
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
    protocol::{Decodable, HeaderVersion},
};

use super::{responses::PartitionOffset, *};

/// A response as it comes: the number of the request, and tags of which we know nothing.
fn sent<M: Encodable + HeaderVersion>(message: &M, version: i16) -> Vec<u8> {
    let mut sent = BytesMut::new();
    sent.put_i32(7);
    if M::header_version(version) >= 1 {
        // One tag, number 9, of two bytes.
        sent.put_slice(&[1, 9, 2, 0xaa, 0xbb]);
    }
    message
        .encode(&mut sent, version)
        .expect("a message of that version");
    sent.to_vec()
}

fn name(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

fn response<A: Response>(sent: &[u8], version: i16) -> A {
    read(sent, version).unwrap_or_else(|Malformed| panic!("version {version}: {sent:?}"))
}

fn metadata(version: i16) -> Vec<u8> {
    let broker = |id: i32| {
        MetadataResponseBroker::default()
            .with_node_id(id.into())
            .with_host(StrBytes::from_static_str("broker"))
            .with_port(9092 + id)
            .with_rack((id == 1).then(|| StrBytes::from_static_str("a")))
    };
    let partition = |index: i32, leader: i32| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(leader.into())
            .with_replica_nodes(vec![1.into(), 2.into()])
            .with_isr_nodes(vec![1.into()])
    };
    let topic = MetadataResponseTopic::default()
        .with_name(Some(name("orders")))
        .with_partitions(vec![partition(0, 1), partition(1, -1)]);
    let missing = MetadataResponseTopic::default()
        .with_name(Some(name("missing")))
        .with_error_code(3);
    let message = MetadataResponse::default()
        .with_brokers(vec![broker(1), broker(2)])
        .with_cluster_id(Some(StrBytes::from_static_str("cluster")))
        .with_topics(vec![topic, missing]);
    sent(&message, version)
}

#[test]
fn metadata_are_read_in_every_version() {
    for version in ClusterMetadata::VERSIONS {
        let found: ClusterMetadata = response(&metadata(version), version);
        let ports: Vec<i32> = found.brokers.iter().map(|node| node.port).collect();
        assert_eq!(ports, [9093, 9094]);
        assert_eq!(found.brokers[1].host, "broker");
        let [orders, missing] = &found.topics[..] else {
            panic!("two topics")
        };
        assert_eq!((orders.error, orders.name.as_str()), (0, "orders"));
        assert_eq!(orders.partitions, [(0, 1), (1, -1)]);
        assert_eq!((missing.error, missing.name.as_str()), (3, "missing"));
    }
}

fn coordinators(version: i16) -> Vec<u8> {
    let host = StrBytes::from_static_str("broker");
    let message = FindCoordinatorResponse::default();
    let message = match version >= 4 {
        true => message.with_coordinators(vec![
            find_coordinator_response::Coordinator::default()
                .with_key(StrBytes::from_static_str("billing"))
                .with_node_id(2.into())
                .with_host(host)
                .with_port(9094),
        ]),
        false => message
            .with_node_id(2.into())
            .with_host(host)
            .with_port(9094),
    };
    sent(&message, version)
}

#[test]
fn coordinators_are_read_in_every_version() {
    for version in FoundCoordinators::VERSIONS {
        let found = match response(&coordinators(version), version) {
            FoundCoordinators::One(found) if version < 4 => found,
            FoundCoordinators::Many(mut found) if version >= 4 => {
                assert_eq!(found[0].0, "billing");
                found.remove(0).1
            }
            _ => panic!("version {version}"),
        };
        assert_eq!(found.error, 0);
        assert_eq!((found.node.id, found.node.port), (2, 9094));
    }
}

fn committed(version: i16) -> Vec<u8> {
    let metadata = Some(StrBytes::from_static_str("left by a client"));
    let message = match version >= 8 {
        true => {
            let partition = OffsetFetchResponsePartitions::default()
                .with_partition_index(3)
                .with_committed_offset(41)
                .with_metadata(metadata)
                .with_error_code(29);
            let topic = OffsetFetchResponseTopics::default()
                .with_name(name("orders"))
                .with_partitions(vec![partition]);
            let group = OffsetFetchResponseGroup::default()
                .with_group_id(StrBytes::from_static_str("billing").into())
                .with_topics(vec![topic]);
            OffsetFetchResponse::default().with_groups(vec![group])
        }
        false => {
            let partition = OffsetFetchResponsePartition::default()
                .with_partition_index(3)
                .with_committed_offset(41)
                .with_metadata(metadata)
                .with_error_code(29);
            let topic = OffsetFetchResponseTopic::default()
                .with_name(name("orders"))
                .with_partitions(vec![partition]);
            OffsetFetchResponse::default().with_topics(vec![topic])
        }
    };
    sent(&message, version)
}

#[test]
fn offsets_of_groups_are_read_in_every_version() {
    for version in FetchedOffsets::VERSIONS {
        let found = match response(&committed(version), version) {
            FetchedOffsets::One(found) if version < 8 => found,
            FetchedOffsets::Many(mut found) if version >= 8 => {
                assert_eq!(found[0].0, "billing");
                found.remove(0).1
            }
            _ => panic!("version {version}"),
        };
        let offset = PartitionOffset {
            partition: 3,
            error: 29,
            offset: 41,
        };
        assert_eq!(found.error, 0);
        assert_eq!(found.topics, [("orders".to_owned(), vec![offset])]);
    }
}

fn ends(version: i16) -> Vec<u8> {
    let partition = |index: i32| {
        ListOffsetsPartitionResponse::default()
            .with_partition_index(index)
            .with_error_code(if index == 1 { 6 } else { 0 })
            .with_offset(100 + i64::from(index))
    };
    let topic = ListOffsetsTopicResponse::default()
        .with_name(name("orders"))
        .with_partitions(vec![partition(0), partition(1)]);
    sent(
        &ListOffsetsResponse::default().with_topics(vec![topic]),
        version,
    )
}

#[test]
fn ends_are_read_in_every_version() {
    for version in ListedOffsets::VERSIONS {
        let ListedOffsets(found) = response(&ends(version), version);
        let [(topic, partitions)] = &found[..] else {
            panic!("one topic")
        };
        assert_eq!(topic, "orders");
        let seen: Vec<_> = partitions
            .iter()
            .map(|p| (p.partition, p.error, p.offset))
            .collect();
        assert_eq!(seen, [(0, 0, 100), (1, 6, 101)]);
    }
}

fn records(version: i16) -> Vec<u8> {
    let aborted = AbortedTransaction::default()
        .with_producer_id(7.into())
        .with_first_offset(40);
    let partition = PartitionData::default()
        .with_partition_index(3)
        .with_high_watermark(50)
        .with_aborted_transactions(Some(vec![aborted]))
        .with_records(Some(Bytes::from_static(b"a batch of records")));
    let topic = FetchableTopicResponse::default()
        .with_topic(name("orders"))
        .with_partitions(vec![partition]);
    let message = FetchResponse::default()
        .with_throttle_time_ms(20)
        .with_responses(vec![topic]);
    sent(&message, version)
}

#[test]
fn records_are_read_in_every_version_and_may_be_cut_off() {
    for version in FetchedRecords::VERSIONS {
        let all = records(version);
        let text = b"a batch of records";
        for kept in 1..=text.len() {
            let cut = all.len() - text.len() + kept;
            let found: FetchedRecords = response(&all[..cut], version);
            assert!(found.throttled);
            assert_eq!((found.error, found.topics[0].0.as_str()), (0, "orders"));
            let partition = &found.topics[0].1[0];
            assert_eq!((partition.partition, partition.error), (3, 0));
            assert_eq!(partition.records, &text[..kept]);
        }
        for end in 0..=all.len() - text.len() {
            let cut = read::<FetchedRecords>(&all[..end], version);
            assert!(cut.is_err(), "cut at {end}, version {version}");
        }
    }
}

#[test]
fn one_batch_of_one_partition_is_requested_in_every_version() {
    for version in FetchedRecords::VERSIONS {
        let isolation = crate::backends::kafka::query::Isolation::ReadCommitted;
        let request = requests::fetch("orders", 3, 41, isolation, 1);
        let frame = frame(&request, version, 7).expect("a request");
        // Length, kind, version, number, and our name.
        let mut body = frame.slice(4 + 2 + 2 + 4 + 2 + NAME.len()..);
        let decoded = FetchRequest::decode(&mut body, version).expect("what was sent");
        assert!(body.is_empty());
        assert_eq!(decoded, request);
        assert_eq!((decoded.max_bytes, decoded.max_wait_ms), (1, 0));
        assert_eq!((decoded.session_id, decoded.session_epoch), (0, -1));
        let partition = &decoded.topics[0].partitions[0];
        assert_eq!((partition.partition, partition.fetch_offset), (3, 41));
        assert_eq!(partition.partition_max_bytes, 1);
    }
}

fn understood() -> Vec<u8> {
    let api = |key| {
        ApiVersion::default()
            .with_api_key(key)
            .with_min_version(1)
            .with_max_version(key)
    };
    let message = ApiVersionsResponse::default().with_api_keys(vec![api(3), api(9)]);
    sent(&message, 0)
}

fn challenge(version: i16) -> Vec<u8> {
    let message = SaslAuthenticateResponse::default()
        .with_error_code(58)
        .with_error_message(Some(StrBytes::from_static_str("no")))
        .with_auth_bytes(Bytes::from_static(b"r=1"));
    let message = match version >= 1 {
        true => message.with_session_lifetime_ms(3_600_000),
        false => message,
    };
    sent(&message, version)
}

fn handshake() -> Vec<u8> {
    let mechanisms = vec![
        StrBytes::from_static_str("PLAIN"),
        StrBytes::from_static_str("GSSAPI"),
    ];
    let message = SaslHandshakeResponse::default().with_error_code(33);
    sent(&message.with_mechanisms(mechanisms), 1)
}

#[test]
fn the_answers_before_a_login_are_read() {
    let found: ApiVersions = response(&understood(), 0);
    assert_eq!(found.versions, [(3, 1..=3), (9, 1..=9)]);
    let found: Handshake = response(&handshake(), 1);
    assert_eq!(
        (found.error, found.mechanisms.join(" ")),
        (33, "PLAIN GSSAPI".into())
    );
    for version in Challenge::VERSIONS {
        let found: Challenge = response(&challenge(version), version);
        assert_eq!((found.error, found.message.as_deref()), (58, Some("no")));
        assert_eq!(&found.bytes[..], b"r=1");
        assert_eq!(found.lifetime, if version >= 1 { 3_600_000 } else { 0 });
    }
}

/// Whatever is cut off or overwritten, the result is an error or other values, and never a panic
/// or a demand for memory.
#[test]
fn what_is_garbled_does_no_harm() {
    fn corrupt<A: Response>(sent: &[u8], version: i16) {
        // The last bytes of some responses are not read here.
        corrupt_but::<A>(sent, version, 5);
    }
    fn corrupt_but<A: Response>(sent: &[u8], version: i16, last: usize) {
        for end in 0..sent.len() - last {
            let cut = read::<A>(&sent[..end], version);
            assert!(cut.is_err(), "cut at {end}, version {version}");
        }
        for at in 0..sent.len() {
            for width in 1..=5 {
                let mut sent = sent.to_vec();
                // As a length this is as large as can be, in either spelling.
                for (i, byte) in sent.iter_mut().skip(at).take(width).enumerate() {
                    *byte = if i == 0 { 0x7f } else { 0xff };
                }
                let _ = read::<A>(&sent, version);
                sent[at] = 0xff;
                let _ = read::<A>(&sent, version);
            }
        }
    }
    ClusterMetadata::VERSIONS
        .for_each(|version| corrupt::<ClusterMetadata>(&metadata(version), version));
    FoundCoordinators::VERSIONS.for_each(|v| corrupt::<FoundCoordinators>(&coordinators(v), v));
    FetchedOffsets::VERSIONS
        .for_each(|version| corrupt::<FetchedOffsets>(&committed(version), version));
    ListedOffsets::VERSIONS.for_each(|version| corrupt::<ListedOffsets>(&ends(version), version));
    corrupt::<ApiVersions>(&understood(), 0);
    // Records may end anywhere.
    FetchedRecords::VERSIONS.for_each(|v| corrupt_but::<FetchedRecords>(&records(v), v, 18));
}

#[tokio::test]
async fn a_connection_ends_with_its_owner_even_if_the_peer_reads_nothing() {
    let (ours, mut theirs) = tokio::io::duplex(16);
    let connection = BrokerConnection::over(ours);
    // Longer than what fits, so that the write cannot end.
    let request = crate::backends::kafka::protocol::requests::metadata(Some(&["orders"; 10]));
    let call = connection.call(&request, 9);
    let late = tokio::time::timeout(Duration::from_millis(50), call).await;
    assert!(late.is_err());
    drop(connection);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), theirs.read_to_end(&mut rest));
    ended.await.expect("closed").expect("no error");
}
