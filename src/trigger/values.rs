//! The types that metadata values have. A value's type says what is allowed, so that the parser,
//! the error message and the reference page agree.

use std::{fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is written as text. The error of its `FromStr` completes the sentence
/// "the value …": `must be a whole number from 1`.
pub trait TextValue: Sized {
    /// What is allowed, for the reference: `a whole number from 1`.
    const ALLOWED: &'static str;

    /// Parses the whole text. `Err` says what is wrong, where that is more than "not allowed".
    fn parse(text: &str) -> Result<Self, String>;
}

fn not_allowed<T: TextValue>() -> String {
    format!("must be {}", T::ALLOWED)
}

macro_rules! text_value {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                <$name as $crate::trigger::values::TextValue>::parse(&text)
                    .map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let allowed = <$name as $crate::trigger::values::TextValue>::ALLOWED;
                schemars::json_schema!({ "type": "string", "x-allowed": allowed })
            }
        }
    };
}
pub(crate) use text_value;

/// The wanted backlog per replica: KEDA's target, an HPA AverageValue. Never 0, as it divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(pub u64);

/// The largest whole number that a double holds exactly: values travel to KEDA as doubles.
const MAX_EXACT: u64 = 1 << 53;

impl TextValue for Target {
    const ALLOWED: &'static str = "a whole number from 1";

    fn parse(text: &str) -> Result<Self, String> {
        match whole_number(text) {
            Some(number @ 1..) => Ok(Target(number)),
            _ => Err(not_allowed::<Self>()),
        }
    }
}

/// An activation threshold: the trigger is active when the backlog is strictly above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activation(pub u64);

impl TextValue for Activation {
    const ALLOWED: &'static str = "a whole number from 0";

    fn parse(text: &str) -> Result<Self, String> {
        whole_number(text)
            .map(Activation)
            .ok_or_else(not_allowed::<Self>)
    }
}

fn whole_number(text: &str) -> Option<u64> {
    // `u64::from_str` takes a leading plus sign; KEDA's users never write one.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| digits && *number <= MAX_EXACT)
}

macro_rules! whole_number_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }
    };
}
whole_number_text!(Target);
whole_number_text!(Activation);
text_value!(Target);
text_value!(Activation);

/// A span of time: `500ms`, `2s`, `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl TextValue for Span {
    const ALLOWED: &'static str = "a time with its unit, such as 500ms, 2s or 1m";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "0" => Ok(Span(Duration::ZERO)),
            _ => humantime::parse_duration(text)
                .map(Span)
                .map_err(|_| not_allowed::<Self>()),
        }
    }
}
text_value!(Span);

/// Comma-separated names, with the space around them trimmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameList(pub Vec<String>);

impl TextValue for NameList {
    const ALLOWED: &'static str = "a comma-separated list";

    fn parse(text: &str) -> Result<Self, String> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        match names.iter().any(String::is_empty) {
            true => Err("has an empty entry; it must be a comma-separated list".to_owned()),
            false => Ok(NameList(names)),
        }
    }
}
text_value!(NameList);

/// `enable` or `disable`, as KEDA's Kafka scaler writes its `tls` key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    Enable,
    Disable,
}

impl TextValue for Switch {
    const ALLOWED: &'static str = "enable or disable";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "enable" => Ok(Switch::Enable),
            "disable" => Ok(Switch::Disable),
            _ => Err(not_allowed::<Self>()),
        }
    }
}
text_value!(Switch);

/// A metric name that is valid in a URL path, as KEDA does not normalise an external metric's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricName(pub String);

/// Room for KEDA's `sN-` prefix within the 253 characters of a Kubernetes name.
const LONGEST_METRIC_NAME: usize = 240;

impl TextValue for MetricName {
    const ALLOWED: &'static str =
        "at most 240 letters, digits, `-`, `_` and `.`, the first of them a letter or digit";

    fn parse(text: &str) -> Result<Self, String> {
        let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        match first && all && text.len() <= LONGEST_METRIC_NAME {
            true => Ok(MetricName(text.to_owned())),
            false => Err(not_allowed::<Self>()),
        }
    }
}
text_value!(MetricName);

/// A secret: shown by no `Debug`, and part of no message.
///
/// Equality is needed so that equal connections are shared. It compares in constant time for
/// equal lengths, though both sides come from whoever may use the connection anyway.
#[derive(Clone, Debug)]
pub struct Secret(pub SecretString);

impl Secret {
    /// The secret itself, for the client library.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.to_owned().into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.expose().as_bytes(), other.expose().as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }
}

impl Eq for Secret {}

impl std::hash::Hash for Secret {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Secret(text.into()))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // JSON Schema's own word for a value that is never given back.
        json_schema!({ "type": "string", "writeOnly": true, "x-allowed": "text, kept secret" })
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// A TCP port, never 0.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = || "must be host:port, such as redis.shop:6379".to_owned();
        if text.contains("://") {
            return Err(format!("has a scheme; it {}", allowed()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(allowed)?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6,
            None if host.contains(':') => return Err(allowed()),
            None => host,
        };
        HostPort::new(host, port).ok_or_else(allowed)
    }
}

impl HostPort {
    /// From its two parts; `None` if one of them cannot be.
    pub fn new(host: &str, port: &str) -> Option<Self> {
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | ',');
        // RFC 1035 allows 253 characters.
        (!host.is_empty() && host.len() <= 253 && !host.contains(bad)).then(|| HostPort {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_parsed_whole() {
        for bad in [
            "ten",
            "5x",
            "null",
            "-1",
            "+1",
            "1.5",
            "",
            " 5",
            "0x5",
            "99999999999999999999",
        ] {
            assert!(Activation::parse(bad).is_err(), "{bad}");
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Activation::parse("0"), Ok(Activation(0)));
        assert!(Target::parse("0").is_err(), "a target divides");
        assert_eq!(Target::parse("5"), Ok(Target(5)));
    }

    #[test]
    fn a_span_needs_a_unit() {
        assert_eq!(Span::parse("1500ms"), Ok(Span(Duration::from_millis(1500))));
        assert_eq!(Span::parse("0"), Ok(Span(Duration::ZERO)));
        assert!(Span::parse("5").is_err());
        assert!(Span::parse("-5s").is_err());
    }

    #[test]
    fn a_secret_is_in_no_debug_output() {
        assert!(!format!("{:?}", Secret::from("hunter2")).contains("hunter2"));
    }

    #[test]
    fn a_host_and_port_is_read_strictly() {
        let parse = |text: &str| HostPort::from_str(text);
        assert_eq!(parse("redis:6379").unwrap().to_string(), "redis:6379");
        assert_eq!(parse("[::1]:6379").unwrap().to_string(), "[::1]:6379");
        for bad in [
            "redis",
            "redis:",
            ":6379",
            "redis:0",
            "redis:70000",
            "::1:6379",
            "redis://r:1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
