use bytes::{BufMut, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use proptest::{collection::vec, prelude::*};

use super::*;

/// A record of a batch: how much later than the first, and what it holds.
fn record(base: i64, number: i64, time: i64, value: usize) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: base + number,
        // One that follows the other is of the same batch.
        sequence: number as i32,
        timestamp: time,
        key: None,
        value: Some(vec![7; value].into()),
        headers: Default::default(),
    }
}

/// What the library makes of records, of one batch.
fn batch(records: &[Record]) -> Vec<u8> {
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut batch, records, &options).expect("a batch");
    batch.to_vec()
}

/// Three records at offsets 10, 11 and 12, written at 1000, 1500 and 3000 ms.
fn three() -> Vec<u8> {
    batch(&[
        record(10, 0, 1_000, 4),
        record(10, 1, 1_500, 4),
        record(10, 2, 3_000, 4),
    ])
}

/// With attributes of the header.
fn with(mut batch: Vec<u8>, attributes: i16) -> Vec<u8> {
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch
}

fn with_count(mut batch: Vec<u8>, count: i32) -> Vec<u8> {
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    batch
}

const GZIP: i16 = 1;

#[test]
fn the_first_record_from_an_offset_on_is_found() {
    use FirstRecord::{Behind, None, Written};
    let horizon = DELETE_HORIZON | GZIP;
    for (given, records, offset, then) in [
        ("nothing", vec![], 10, None),
        ("the first", three(), 10, Written(1_000)),
        ("another", three(), 11, Written(1_500)),
        ("the last", three(), 12, Written(3_000)),
        ("one that is gone", three(), 4, Written(1_000)),
        ("behind the batch", three(), 13, Behind(13)),
        ("far behind", three(), 90, Behind(90)),
        (
            "compressed: the first",
            with(three(), GZIP),
            10,
            Written(1_000),
        ),
        (
            "compressed: between its times",
            with(three(), GZIP),
            11,
            Written(2_000),
        ),
        (
            "compressed: the last",
            with(three(), GZIP),
            12,
            Written(3_000),
        ),
        (
            "the broker's time",
            with(three(), LOG_APPEND_TIME),
            10,
            Written(3_000),
        ),
        (
            "that, compressed",
            with(three(), LOG_APPEND_TIME | GZIP),
            11,
            Written(3_000),
        ),
        (
            "the end of a transaction",
            with(three(), CONTROL),
            10,
            Behind(13),
        ),
        (
            "cleaned, without records",
            with_count(three(), 0),
            10,
            Behind(13),
        ),
        (
            "cleaned, to be deleted",
            with(three(), horizon),
            10,
            Written(3_000),
        ),
        (
            "cleaned of the last records",
            with_count(three(), 1),
            11,
            Behind(13),
        ),
        (
            "behind the end of a transaction",
            [with(three(), CONTROL), batch(&[record(13, 0, 9_000, 1)])].concat(),
            10,
            Written(9_000),
        ),
        (
            "cut off behind a whole batch",
            [with(three(), CONTROL), three()[..30].to_vec()].concat(),
            10,
            Behind(13),
        ),
        (
            "cut off behind the header",
            three()[..61].to_vec(),
            11,
            Written(2_000),
        ),
    ] {
        assert_eq!(first_record(&records, offset), Ok(then), "{given}");
    }
}

#[test]
fn what_says_no_time_is_an_error() {
    let mut old = three();
    old[16] = 1;
    let mut newer = three();
    newer[16] = 3;
    let untimed = batch(&[record(10, 0, -1, 4)]);
    for (records, then) in [
        (old, Unreadable::OldFormat),
        (newer, Unreadable::Malformed),
        (untimed, Unreadable::NoTime),
        (three()[..60].to_vec(), Unreadable::Malformed),
        (vec![0], Unreadable::Malformed),
    ] {
        assert_eq!(first_record(&records, 10), Err(then));
    }
}

proptest! {
    /// Records of any sizes and times, also times that go back: the time is that of the record.
    #[test]
    fn the_time_of_a_record_is_that_of_the_record(
        given in vec((0..1_i64 << 45, 0..300_usize), 1..40),
        base in prop_oneof![0..1_000_i64, 0..1_i64 << 60],
        before in 0..3_i64,
    ) {
        let records: Vec<_> = given.iter().enumerate().map(|(number, (time, value))| {
            record(base + before, number as i64, *time, *value)
        }).collect();
        let sent = batch(&records);
        for record in &records {
            let found = first_record(&sent, record.offset);
            prop_assert_eq!(found, Ok(FirstRecord::Written(record.timestamp)));
            // As if it were compressed: within the times of the batch.
            let estimated = first_record(&with(sent.clone(), GZIP), record.offset);
            let Ok(FirstRecord::Written(time)) = estimated else {
                return Err(TestCaseError::fail(format!("{estimated:?}")));
            };
            let times = || records.iter().map(|record| record.timestamp);
            let (least, most) = (times().min().unwrap(), times().max().unwrap());
            prop_assert!((least..=most).contains(&time));
        }
        let first = first_record(&sent, base);
        prop_assert_eq!(first, Ok(FirstRecord::Written(records[0].timestamp)));
    }

    #[test]
    fn whatever_comes_is_a_time_an_error_or_leads_on(
        mut sent in prop_oneof![
            vec(any::<u8>(), 0..300),
            Just(three()),
            Just([three(), with(three(), CONTROL), three()].concat()),
        ],
        damages in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        offset in prop_oneof![0..20_i64, any::<i64>()],
    ) {
        for (at, byte) in damages {
            if !sent.is_empty() {
                let at = at.index(sent.len());
                sent[at] = byte;
            }
        }
        sent.truncate(cut.index(sent.len() + 1));
        match first_record(&sent, offset) {
            Ok(FirstRecord::Written(time)) => prop_assert!(time >= 0),
            Ok(FirstRecord::Behind(next)) => prop_assert!(next >= offset),
            Ok(FirstRecord::None) => prop_assert!(sent.is_empty()),
            Err(_) => {}
        }
    }
}

#[test]
fn numbers_of_records_are_read_in_every_length() {
    for (bytes, number) in [
        (&[0][..], 0),
        (&[1], -1),
        (&[2], 1),
        (&[0xac, 0x02], 150),
        (
            &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            i64::MAX,
        ),
        (
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            i64::MIN,
        ),
    ] {
        assert_eq!(Fields(bytes).varint(), Ok(number), "{bytes:?}");
    }
    assert_eq!(Fields(&[0xff; 11]).varint(), Err(Malformed));
    let mut empty = BytesMut::new();
    empty.put_u8(0x80);
    assert_eq!(Fields(&empty).varint(), Err(Malformed));
}
