//! Kafka's primitive types (<https://kafka.apache.org/protocol#protocol_types>), read from what
//! anybody may have sent.

use std::str;

use bytes::Bytes;

/// What came ends too early, or is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Elements for which room is made before they are read.
const LIKELY: usize = 64;

/// The rest of a response.
pub struct Decoder<'a> {
    rest: &'a [u8],
    /// Lengths are compact, and structures end with tagged fields.
    flexible: bool,
}

impl<'a> Decoder<'a> {
    /// A response after its header, which is the number of the request.
    pub fn new(response: &'a [u8], flexible: bool) -> Result<Self, Malformed> {
        let mut reader = Decoder {
            rest: response,
            flexible,
        };
        reader.skip(4)?;
        if flexible {
            reader.skip_tags()?;
        }
        Ok(reader)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (number, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*number)
    }

    pub fn skip(&mut self, length: usize) -> Result<(), Malformed> {
        self.take(length).map(|_| ())
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.number().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.number().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.number().map(i64::from_be_bytes)
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.number()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(number).map_err(|_| Malformed);
            }
        }
        Err(Malformed)
    }

    /// A length of something, of which `None` is null. What is not flexible has lengths of two
    /// kinds, and reads them by itself.
    fn length(
        &mut self,
        fixed: fn(&mut Self) -> Result<i32, Malformed>,
    ) -> Result<Option<usize>, Malformed> {
        let length = match self.flexible {
            true => i64::from(self.varint()?) - 1,
            false => i64::from(fixed(self)?),
        };
        match usize::try_from(length) {
            // Whatever it is the length of takes a byte at least.
            Ok(length) if length > self.rest.len() => Err(Malformed),
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(Malformed),
        }
    }

    fn short_length(&mut self) -> Result<Option<usize>, Malformed> {
        self.length(|reader| reader.i16().map(i32::from))
    }

    fn long_length(&mut self) -> Result<Option<usize>, Malformed> {
        self.length(Decoder::i32)
    }

    pub fn nullable_string(&mut self) -> Result<Option<String>, Malformed> {
        let Some(length) = self.short_length()? else {
            return Ok(None);
        };
        let text = str::from_utf8(self.take(length)?).map_err(|_| Malformed)?;
        Ok(Some(text.to_owned()))
    }

    pub fn skip_nullable_string(&mut self) -> Result<(), Malformed> {
        let length = self.short_length()?;
        self.skip(length.unwrap_or_default())
    }

    pub fn string(&mut self) -> Result<String, Malformed> {
        self.nullable_string()?.ok_or(Malformed)
    }

    pub fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = self.long_length()?.ok_or(Malformed)?;
        Ok(Bytes::copy_from_slice(self.take(length)?))
    }

    /// Bytes without compact length, or what is left of them at the end of a response that was cut
    /// off; none of null.
    pub fn cut_bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = usize::try_from(self.i32()?.max(0)).map_err(|_| Malformed)?;
        let kept = self.take(length.min(self.rest.len()))?;
        match kept.is_empty() && length > 0 {
            true => Err(Malformed),
            false => Ok(Bytes::copy_from_slice(kept)),
        }
    }

    /// The elements of an array; none of null. Each ends with its tags, if it has any.
    pub fn array<T>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        self.array_of_at_most(usize::MAX, element)
    }

    /// The same, for elements that cost far more than the bytes they are read from.
    pub fn array_of_at_most<T>(
        &mut self,
        most: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.long_length()?.unwrap_or_default();
        if count > most {
            return Err(Malformed);
        }
        let mut elements = Vec::with_capacity(count.min(LIKELY));
        for _ in 0..count {
            elements.push(element(self)?);
            if self.flexible {
                self.skip_tags()?;
            }
        }
        Ok(elements)
    }

    /// Skips an array of numbers of four bytes.
    pub fn numbers(&mut self) -> Result<(), Malformed> {
        let count = self.long_length()?.unwrap_or_default();
        self.skip(count.checked_mul(4).ok_or(Malformed)?)
    }

    fn skip_tags(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.skip(usize::try_from(length).map_err(|_| Malformed)?)?;
        }
        Ok(())
    }
}
