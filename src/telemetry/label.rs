//! Label values that users and backends choose.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// A label's value, escaped when it is written: the client library writes text as it is, and one
/// quote would make the whole page unreadable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelText(pub String);

impl EncodeLabelValue for LabelText {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => encoder.write_str("\\\\")?,
                '"' => encoder.write_str("\\\"")?,
                '\n' => encoder.write_str("\\n")?,
                // A carriage return or another control character would break readers by line.
                c if c.is_control() => encoder.write_char(char::REPLACEMENT_CHARACTER)?,
                c => encoder.write_char(c)?,
            }
        }
        Ok(())
    }
}
