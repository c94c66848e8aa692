//! Numbers and times for people.

use std::time::Duration;

use crate::metadata::signal::Signal;

/// A value, with its unit if it is a time.
pub fn value(value: f64, signal: Signal) -> String {
    match signal {
        Signal::Backlog => number(value),
        Signal::Age | Signal::DrainTime => format!("{} s", number(value)),
    }
}

/// With separators between thousands, and two decimals where they matter.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "—".to_owned();
    }
    let decimals = if value.abs() >= 100.0 || value.fract() == 0.0 {
        0
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", whole),
    };
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let rest = rest.trim_end_matches('0').trim_end_matches('.');
    format!("{sign}{grouped}{rest}")
}

/// So many of something: `1 trigger`, `2 triggers`.
pub fn count(count: u64, one: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {one}{ending}", number(count as f64))
}

/// The two largest units of a time.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

/// So long ago, to the minute.
pub fn ago(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        _ => format!("{} ago", self::time(Duration::from_secs(seconds / 60 * 60))),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_short() {
        for (given, then) in [
            (0.0, "0"),
            (7.0, "7"),
            (999.0, "999"),
            (1_000.0, "1,000"),
            (-1_234_567.0, "-1,234,567"),
            (2.5, "2.5"),
            (2.0 / 3.0, "0.67"),
            (1234.56, "1,235"),
            (f64::INFINITY, "—"),
        ] {
            assert_eq!(number(given), then);
        }
        assert_eq!(value(30.0, Signal::Age), "30 s");
        assert_eq!(
            [0, 1, 2_000].map(|n| count(n, "trigger")),
            ["0 triggers", "1 trigger", "2,000 triggers"]
        );
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, then) in [
            (5, "5 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (7_260, "2 h 1 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), then);
        }
        assert_eq!(time(Duration::from_millis(20)), "20 ms");
    }

    #[test]
    fn the_past_is_told_to_the_minute() {
        for (seconds, then) in [
            (0, "just now"),
            (59, "59 s ago"),
            (359, "5 min ago"),
            (7_319, "2 h 1 min ago"),
            (200_000, "2 d 7 h ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), then);
        }
    }
}
