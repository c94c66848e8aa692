//! Records as the log holds them: when the first of them from an offset on was written.
//!
//! Of a record batch (<https://kafka.apache.org/documentation/#recordbatch>) its header is read, and
//! where it is not compressed the beginning of each record. Nothing is decompressed.

use super::decode::Malformed;

/// What the records of a response say of the first one from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRecord {
    /// When it was written, in ms since 1970. Of a compressed batch that is exact for its first
    /// record, and in between the times of the batch for others.
    Written(i64),
    /// None so far: it comes at this offset or behind.
    Behind(i64),
    /// There are no records.
    None,
}

/// Why records do not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The format of messages before Kafka 0.11.
    OldFormat,
    /// The producer wrote no time.
    NoTime,
    Malformed,
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Unreadable::Malformed
    }
}

/// The format with batches (`magic`). The byte is at the same place in all of them.
const BATCHES: u8 = 2;
/// What comes before a batch's length, and that itself.
const BEFORE_LENGTH: usize = 12;

/// Attributes of a batch.
const COMPRESSION: i16 = 0b0000_0111;
/// The time is the broker's, `max_timestamp`, for all records.
const LOG_APPEND_TIME: i16 = 0b0000_1000;
/// What it holds is not for consumers: the end of a transaction.
const CONTROL: i16 = 0b0010_0000;
/// The first time is that of a deletion to come, and no record's (KIP-534).
const DELETE_HORIZON: i16 = 0b0100_0000;

/// The header of a batch.
struct Batch {
    base: i64,
    last: i64,
    attributes: i16,
    first_time: i64,
    max_time: i64,
    records: i32,
}

/// The first record from `offset` on. What comes may begin before it, and end within a batch.
pub fn first_record(mut records: &[u8], offset: i64) -> Result<FirstRecord, Unreadable> {
    if records.is_empty() {
        return Ok(FirstRecord::None);
    }
    let mut behind = None;
    loop {
        let (batch, body, rest) = match (batch(records), behind) {
            (Ok(found), _) => found,
            // What comes ends here.
            (Err(Unreadable::Malformed), Some(behind)) => return Ok(FirstRecord::Behind(behind)),
            (Err(error), _) => return Err(error),
        };
        if let Some(written) = batch.written(body, offset)? {
            return Ok(FirstRecord::Written(written));
        }
        // Kafka's own offsets do not go back.
        let next = batch.last.saturating_add(1).max(offset);
        behind = Some(behind.map_or(next, |behind: i64| behind.max(next)));
        records = rest;
    }
}

/// A batch, its records and what comes behind.
type Split<'a> = (Batch, &'a [u8], &'a [u8]);

/// The first batch.
fn batch(records: &[u8]) -> Result<Split<'_>, Unreadable> {
    let mut reader = Fields(records);
    let base = reader.i64()?;
    let length = reader.i32()?;
    reader.take(4)?; // leader epoch
    let [magic] = reader.number()?;
    if magic < BATCHES {
        return Err(Unreadable::OldFormat);
    }
    reader.take(4)?; // checksum
    let attributes = reader.i16()?;
    let last = i64::from(reader.i32()?);
    let (first_time, max_time) = (reader.i64()?, reader.i64()?);
    reader.take(8 + 2 + 4)?; // producer
    let count = reader.i32()?;
    let header = records.len() - reader.0.len();
    let end = usize::try_from(length).map_err(|_| Malformed)?;
    let end = end.checked_add(BEFORE_LENGTH).ok_or(Malformed)?;
    if end < header || magic > BATCHES || last < 0 {
        return Err(Unreadable::Malformed);
    }
    let end = end.min(records.len());
    let batch = Batch {
        base,
        last: base.checked_add(last).ok_or(Malformed)?,
        attributes,
        first_time,
        max_time,
        records: count,
    };
    Ok((batch, &records[header..end], &records[end..]))
}

impl Batch {
    fn has(&self, attribute: i16) -> bool {
        self.attributes & attribute != 0
    }

    /// When the first record from `offset` on was written; `None`: there is none for consumers.
    fn written(&self, body: &[u8], offset: i64) -> Result<Option<i64>, Unreadable> {
        // A cleaned log keeps batches without records.
        if self.last < offset || self.has(CONTROL) || self.records <= 0 {
            return Ok(None);
        }
        let time = match (self.has(LOG_APPEND_TIME), self.has(COMPRESSION)) {
            (true, true) => self.max_time,
            (false, true) => self.estimate(offset),
            (is_appended, false) => match self.walk(body, offset) {
                Ok(Some(_)) if is_appended => self.max_time,
                Ok(Some(delta)) => self.first_time.saturating_add(delta),
                // The log was cleaned of it.
                Ok(None) => return Ok(None),
                // What came ends before it.
                Err(Malformed) if is_appended => self.max_time,
                Err(Malformed) => self.estimate(offset),
            },
        };
        match time >= 0 {
            true => Ok(Some(time)),
            false => Err(Unreadable::NoTime),
        }
    }

    /// Between the times of the batch, as far as the offset is between its offsets.
    fn estimate(&self, offset: i64) -> i64 {
        if self.has(DELETE_HORIZON) {
            return self.max_time;
        }
        if offset <= self.base {
            return self.first_time;
        }
        let part = (offset - self.base) as f64 / (self.last - self.base).max(1) as f64;
        let between = self.max_time.saturating_sub(self.first_time) as f64 * part;
        self.first_time.saturating_add(between as i64)
    }

    /// The time of the first record from `offset` on, from that of the batch.
    fn walk(&self, body: &[u8], offset: i64) -> Result<Option<i64>, Malformed> {
        let mut reader = Fields(body);
        for _ in 0..self.records {
            let length = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
            // The rest of it may not have come.
            let (record, rest) = reader.0.split_at(length.min(reader.0.len()));
            reader.0 = rest;
            let mut record = Fields(record);
            record.take(1)?; // attributes
            let time = record.varint()?;
            let number = record.varint()?;
            if self.base.saturating_add(number) >= offset {
                return Ok(Some(time));
            }
        }
        Ok(None)
    }
}

/// What is left of some bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*number)
    }

    fn i16(&mut self) -> Result<i16, Malformed> {
        self.number().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.number().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        self.number().map(i64::from_be_bytes)
    }

    /// A number of records: seven bits a byte, the sign in the lowest.
    fn varint(&mut self) -> Result<i64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.number()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests;
