//! The values of the keys that shape what KEDA gets of a trigger.

use std::{fmt, time::Duration};

use super::values::{
    Span, Target, TextValue, digits, not_allowed, serialize_as_text, text_value, whole_number,
};
use crate::metadata::problem::Problem;

/// The backlog per replica below which a held number of replicas is let go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleDownBelow(pub f64);

impl TextValue for ScaleDownBelow {
    const ALLOWED: &'static str = "a number above 0, such as 10 or 0.5";

    fn parse(text: &str) -> Result<Self, String> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        // `f64::from_str` alone would take `1e3` and `inf`.
        let is_plain = digits(whole).is_some() && digits(fraction).is_some();
        let number = text.parse().ok().filter(|_| is_plain);
        number
            .filter(|number| *number > 0.0)
            .map(ScaleDownBelow)
            .ok_or_else(not_allowed::<Self>)
    }
}
text_value!(ScaleDownBelow);

impl fmt::Display for ScaleDownBelow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl ScaleDownBelow {
    /// Checks it against the target. At the target or above it, up and down would be one threshold.
    pub fn check(self, target: Target) -> Result<f64, Problem> {
        match self.0 < target.0 as f64 {
            true => Ok(self.0),
            false => {
                let reason = format!("must be below the target, which is {target}");
                Err(Problem::value("scaleDownBelow", self.to_string(), reason))
            }
        }
    }
}

/// How much unfinished work one replica has in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlightPerReplica(pub u64);
whole_number!(InFlightPerReplica: 1.., "a whole number from 1");

/// What is made of the values of some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The largest.
    Max,
    /// The mean.
    Average,
    /// Nine of ten are not above it.
    P90,
}

/// A statistic of the values of some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smoothing {
    /// Which one.
    pub statistic: Statistic,
    /// How far back it goes.
    pub window: Duration,
}

impl Smoothing {
    /// A longer window than the HPA's own of an hour is a slip.
    const LONGEST: Duration = Duration::from_secs(60 * 60);
    const SHORTEST: Duration = Duration::from_secs(1);
}

impl TextValue for Smoothing {
    const ALLOWED: &'static str =
        "a time from 1s to 1h, such as 2m, alone or after max:, average: or p90:";

    fn parse(text: &str) -> Result<Self, String> {
        let (statistic, window) = match text.split_once(':') {
            None => (Some(Statistic::Max), text),
            Some(("max", window)) => (Some(Statistic::Max), window),
            Some(("average", window)) => (Some(Statistic::Average), window),
            Some(("p90", window)) => (Some(Statistic::P90), window),
            Some((_, window)) => (None, window),
        };
        let window = Span::parse(window).ok().map(|span| span.0);
        let window = window.filter(|span| (Self::SHORTEST..=Self::LONGEST).contains(span));
        let smoothing = statistic.zip(window);
        smoothing
            .map(|(statistic, window)| Smoothing { statistic, window })
            .ok_or_else(not_allowed::<Self>)
    }
}
text_value!(Smoothing);

/// What a call gets once no sample within `maxStaleness` can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOutage {
    /// The error.
    #[default]
    Error,
    /// The last good value.
    Hold,
    /// This value.
    Value(u64),
}

impl TextValue for OnOutage {
    const ALLOWED: &'static str = "error, hold or value:N with a whole number N";

    fn parse(text: &str) -> Result<Self, String> {
        let value = || digits(text.strip_prefix("value:")?);
        match text {
            "error" => Ok(OnOutage::Error),
            "hold" => Ok(OnOutage::Hold),
            _ => value().map(OnOutage::Value).ok_or_else(not_allowed::<Self>),
        }
    }
}
text_value!(OnOutage);
serialize_as_text!(OnOutage);

impl fmt::Display for OnOutage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OnOutage::Error => f.write_str("error"),
            OnOutage::Hold => f.write_str("hold"),
            OnOutage::Value(number) => write!(f, "value:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_plain_number_above_zero_and_below_the_target() {
        for (text, number) in [("10", 10.0), ("0.5", 0.5), ("12.25", 12.25)] {
            assert_eq!(ScaleDownBelow::parse(text), Ok(ScaleDownBelow(number)));
        }
        for bad in [
            "0", "0.0", "-1", "+1", "1e3", "inf", ".5", "5.", "1.2.3", "", "ten",
        ] {
            assert!(ScaleDownBelow::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(ScaleDownBelow(49.5).check(Target(50)), Ok(49.5));
        for number in [50.0, 60.0] {
            let problem = ScaleDownBelow(number).check(Target(50)).unwrap_err();
            let expected =
                format!("scaleDownBelow: `{number}` must be below the target, which is 50");
            assert_eq!(problem.to_string(), expected);
        }
    }

    #[test]
    fn smoothing_is_a_statistic_and_a_time() {
        for (text, statistic, seconds) in [
            ("2m", Statistic::Max, 120),
            ("max:1s", Statistic::Max, 1),
            ("average:90s", Statistic::Average, 90),
            ("p90:1h", Statistic::P90, 3600),
        ] {
            let window = Duration::from_secs(seconds);
            assert_eq!(Smoothing::parse(text), Ok(Smoothing { statistic, window }));
        }
        for bad in [
            "",
            "0",
            "max",
            "max:",
            "median:2m",
            "2m:max",
            "999ms",
            "61m",
            "5",
        ] {
            assert!(Smoothing::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_outage_is_an_error_the_last_value_or_a_number() {
        for (text, parsed) in [
            ("error", OnOutage::Error),
            ("hold", OnOutage::Hold),
            ("value:0", OnOutage::Value(0)),
            ("value:25", OnOutage::Value(25)),
        ] {
            assert_eq!(OnOutage::parse(text), Ok(parsed));
            assert_eq!(parsed.to_string(), text);
        }
        for bad in [
            "",
            "Hold",
            "zero",
            "value",
            "value:",
            "value:-1",
            "value: 5",
            "value:1.5",
            "5",
        ] {
            assert!(OnOutage::parse(bad).is_err(), "{bad}");
        }
    }
}
