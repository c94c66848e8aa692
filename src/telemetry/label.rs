//! Label values that users and backends choose.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// A label's value, escaped when it is written: the client library writes text as it is, and one
/// quote would make the whole page unreadable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelText(pub String);

/// The same for text that is written by hand.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| c != '\\' && c != '"' && !c.is_control();
        if self.0.chars().all(is_plain) {
            return f.write_str(self.0);
        }
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                // A carriage return or another control character would break readers by line.
                c if c.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl EncodeLabelValue for LabelText {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        write!(encoder, "{}", Escaped(&self.0))
    }
}
