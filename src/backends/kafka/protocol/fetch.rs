//! Responses to Fetch, of which the first record of one partition is wanted.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;

use super::{
    decode::{Decoder, Malformed},
    responses::Response,
};

/// Records of partitions.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct FetchedRecords {
    /// The broker holds responses back, as the user fetches more than its quota. They are empty then.
    pub throttled: bool,
    pub error: i16,
    pub topics: Vec<(String, Vec<PartitionRecords>)>,
}

/// Records of a partition, or why there are none. They may end anywhere.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub struct PartitionRecords {
    pub partition: i32,
    pub error: i16,
    pub records: Bytes,
}

impl Response for FetchedRecords {
    const API: ApiKey = ApiKey::Fetch;
    // From version 12 on tags follow the records, which may have been cut off; from 13 on topics go
    // by their ids. There is nothing else in them for us.
    const VERSIONS: RangeInclusive<i16> = 4..=11;
    const FLEXIBLE: i16 = 12;
    // However little is requested, a broker returns a batch as a whole: mostly 1 MB at most, but a
    // topic may allow more. Its header, and the first records, are enough.
    const KEPT: usize = 256 << 10;

    fn read(reader: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
        let throttled = reader.i32()? > 0;
        let mut error = 0;
        if version >= 7 {
            error = reader.i16()?;
            reader.skip(4)?; // session
        }
        let topics = reader
            .array(|topic| Ok((topic.string()?, topic.array(|one| partition(one, version))?)))?;
        Ok(FetchedRecords {
            throttled,
            error,
            topics,
        })
    }
}

fn partition(reader: &mut Decoder<'_>, version: i16) -> Result<PartitionRecords, Malformed> {
    let (partition, error) = (reader.i32()?, reader.i16()?);
    reader.skip(8 + 8)?; // high watermark, last stable offset
    if version >= 5 {
        reader.skip(8)?; // log start
    }
    reader.array(|aborted| aborted.skip(8 + 8))?; // producers of transactions
    if version >= 11 {
        reader.skip(4)?; // another replica to read from
    }
    Ok(PartitionRecords {
        partition,
        error,
        records: reader.cut_bytes()?,
    })
}
