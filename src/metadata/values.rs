//! The types that metadata values have. A value's type says what is allowed, so that the parser,
//! the error message and the reference page agree.

pub use super::{
    host_port::{HostPort, without_login},
    secret::Secret,
};

use std::time::Duration;

/// A value that is written as text. The error of `parse` completes the sentence "the value …":
/// `must be a whole number from 1`.
pub trait TextValue: Sized {
    /// What is allowed, for error messages and the reference: `a whole number from 1`.
    const ALLOWED: &'static str;

    /// Parses the whole text. `Err` is [`not_allowed`], or says more precisely what is wrong.
    fn parse(text: &str) -> Result<Self, String>;
}

/// The usual error of a [`TextValue`].
pub fn not_allowed<T: TextValue>() -> String {
    format!("must be {}", T::ALLOWED)
}

/// Makes a [`TextValue`] the type of a declared key.
macro_rules! text_value {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                <$name as $crate::metadata::values::TextValue>::parse(&text)
                    .map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let allowed = <$name as $crate::metadata::values::TextValue>::ALLOWED;
                schemars::json_schema!({ "type": "string", "x-allowed": allowed })
            }
        }
    };
}

/// Writes a value as text, for the defaults in the reference.
macro_rules! serialize_as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

/// A tuple struct of a whole number as a [`TextValue`]: `whole_number!(Port: 1..=65535, "a port")`.
macro_rules! whole_number {
    ($name:ident: $range:expr, $allowed:literal) => {
        impl $crate::metadata::values::TextValue for $name {
            const ALLOWED: &'static str = $allowed;

            fn parse(text: &str) -> Result<Self, String> {
                $crate::metadata::values::digits(text)
                    .filter(|number| $range.contains(number))
                    .and_then(|number| Some($name(number.try_into().ok()?)))
                    .ok_or_else($crate::metadata::values::not_allowed::<Self>)
            }
        }
        $crate::metadata::values::text_value!($name);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
        $crate::metadata::values::serialize_as_text!($name);
    };
}

/// An enum whose variants are written as words, as a [`TextValue`].
macro_rules! words {
    ($name:ident: $allowed:literal, $($word:literal => $variant:ident),+ $(,)?) => {
        impl $crate::metadata::values::TextValue for $name {
            const ALLOWED: &'static str = $allowed;

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err($crate::metadata::values::not_allowed::<Self>()),
                }
            }
        }
        $crate::metadata::values::text_value!($name);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $($name::$variant => $word,)+
                })
            }
        }
        $crate::metadata::values::serialize_as_text!($name);
    };
}
pub(crate) use {serialize_as_text, text_value, whole_number, words};

/// The largest whole number that a double holds exactly: values travel to KEDA as doubles.
const MAX_EXACT: u64 = 1 << 53;

/// A whole number in plain digits. `u64::from_str` alone would take a leading plus sign.
pub(crate) fn digits(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.filter(|number| *number <= MAX_EXACT)
}

/// The wanted backlog per replica: KEDA's target, an HPA AverageValue. Never 0, as it divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(pub u64);
whole_number!(Target: 1.., "a whole number from 1");

/// An activation threshold: the trigger is active when the backlog is strictly above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activation(pub u64);
whole_number!(Activation: 0.., "a whole number from 0");

/// A longer span of time is a slip, and would overflow clocks.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A span of time: `500ms`, `2s`, `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl TextValue for Span {
    const ALLOWED: &'static str = "a time with its unit, such as 500ms, 2s or 1m, up to a year";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "0" => Ok(Span(Duration::ZERO)),
            _ => humantime::parse_duration(text)
                .ok()
                .filter(|span| *span <= LONGEST)
                .map(Span)
                .ok_or_else(not_allowed::<Self>),
        }
    }
}
text_value!(Span);

/// How often the query of a push trigger is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushInterval(pub Duration);

impl PushInterval {
    /// Shorter intervals would keep a backend busy with this server alone.
    pub const SHORTEST: Duration = Duration::from_millis(10);
}

impl TextValue for PushInterval {
    const ALLOWED: &'static str =
        "a time with its unit from 10ms, such as 100ms or 2s, up to a year";

    fn parse(text: &str) -> Result<Self, String> {
        let span = Span::parse(text).ok().map(|span| span.0);
        let span = span.filter(|span| *span >= Self::SHORTEST);
        span.map(PushInterval).ok_or_else(not_allowed::<Self>)
    }
}
text_value!(PushInterval);

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

words!(Switch: "enable or disable", "enable" => Enable, "disable" => Disable);

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
        assert!(Span::parse("1y").is_ok());
        assert!(Span::parse("2y").is_err());
        let shortest = PushInterval(Duration::from_millis(10));
        assert_eq!(PushInterval::parse("10ms"), Ok(shortest));
        assert!(PushInterval::parse("9ms").is_err());
        assert!(PushInterval::parse("0").is_err());
        assert!(PushInterval::parse("5").is_err());
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Text that is nearly a number.
    fn number() -> impl Strategy<Value = String> {
        let around = (0..4_u64, any::<bool>()).prop_map(|(by, above)| match above {
            true => (MAX_EXACT + by).to_string(),
            false => (MAX_EXACT - by).to_string(),
        });
        prop_oneof![
            "[0-9]{0,22}",
            "[ +-]?[0-9.,_xe ]{0,8}",
            "[٠-٩０-９]{1,3}",
            any::<u64>().prop_map(|number| number.to_string()),
            around,
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn a_number_is_digits_that_a_double_holds(text in number()) {
            let is_digits = !text.is_empty() && text.chars().all(|c| "0123456789".contains(c));
            let significant = text.trim_start_matches('0');
            let expected = match is_digits && significant.len() <= 20 {
                true => significant.chars().fold(0_u128, |number, digit| {
                    number * 10 + u128::from(digit.to_digit(10).expect("a digit"))
                }),
                false => u128::MAX,
            };
            let expected = u64::try_from(expected).ok().filter(|number| *number <= 1 << 53);
            prop_assert_eq!(Activation::parse(&text).ok(), expected.map(Activation));
            let target = expected.filter(|number| *number > 0);
            prop_assert_eq!(Target::parse(&text).ok(), target.map(Target), "a target divides");
            if let Some(number) = expected {
                prop_assert_eq!(number as f64 as u64, number, "travels as a double");
            }
        }

        #[test]
        fn a_span_is_at_most_a_year(
            text in prop_oneof![any::<String>(), "([0-9]{1,20} ?(ns|us|ms|s|m|h|d|w|M|y) ?){0,3}"],
        ) {
            if let Ok(Span(span)) = Span::parse(&text) {
                prop_assert!(span <= LONGEST);
            }
        }

        #[test]
        fn a_metric_name_is_taken_as_it_is_or_refused(
            text in prop_oneof!["[a-zA-Z0-9._-]{0,250}", "[a-z][a-z/:%() .]{0,9}", any::<String>()],
        ) {
            let allowed = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.');
            let first = text.chars().next().is_some_and(|c| !"-_.".contains(c));
            let valid = first && text.chars().all(allowed) && text.len() <= 240;
            prop_assert_eq!(MetricName::parse(&text).ok(), valid.then(|| MetricName(text.clone())));
        }

        #[test]
        fn a_list_is_its_entries_without_the_space_around_them(
            names in prop::collection::vec("[a-z*{}.]{1,6}", 1..6),
            space in "[ \\n]{0,2}",
        ) {
            let padded: Vec<String> = names.iter().map(|name| format!("{space}{name}{space}")).collect();
            prop_assert_eq!(NameList::parse(&padded.join(",")), Ok(NameList(names)));
        }
    }
}
