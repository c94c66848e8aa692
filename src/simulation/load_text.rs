//! Loads as people write them: `40/s`, `sine(10..40/s, 1h)`, or a file of measured rates.

use std::{str::FromStr, time::Duration};

use super::load::{Between, Load, Points};
use crate::error::{Error, Kind, Result};

const FORMS: &str = "Write RATE, step(A..B/s, AT), ramp(A..B/s, LENGTH) or ramp(A..B/s, START, LENGTH), \
    sine(A..B/s, PERIOD), sawtooth(A..B/s, PERIOD), bursts(RATE, LENGTH, EVERY), or several with + \
    between them. A RATE is as 40/s, 90/m or 1000/h, a time as 90s, 10m or 1h.";

/// Loads in one text, joined by `+`.
const MOST_TERMS: usize = 20;

/// Points of a file: a day by the second, and more.
const MOST_POINTS: usize = 1_000_000;

impl FromStr for Load {
    type Err = Error;

    /// A load in one line. An error of kind [`Kind::Invalid`] says which part is wrong, and what is
    /// allowed.
    fn from_str(text: &str) -> Result<Self> {
        let terms: Vec<&str> = text.split('+').map(str::trim).collect();
        if terms.len() > MOST_TERMS {
            return Err(invalid(text, "has too many parts"));
        }
        let mut loads: Vec<Load> = terms.into_iter().map(term).collect::<Result<_>>()?;
        Ok(match loads.len() {
            1 => loads.remove(0),
            _ => Load::Sum(loads),
        })
    }
}

impl Load {
    /// Rates that were measured: lines of a time and a rate in items per second, separated by a
    /// comma. Times are seconds (`90`, `90.5`) or as `1m 30s`, in ascending order; each rate holds
    /// until the next one. A first line without numbers is the header; columns that it names after
    /// these two are ignored. Lines that begin with `#` are comments. `name` is the file's.
    pub fn of_csv(name: &str, text: &str) -> Result<Self> {
        let (mut rates, mut columns) = (Vec::new(), 2);
        let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
        let lines = lines.map(|(index, line)| (index + 1, line.trim()));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let at = |problem: &str| {
                let what = format!("{name}, line {number}: {problem}");
                let next = "A line is a time and a rate in items per second: 90,12.5";
                Error::new(Kind::Invalid, what, next)
            };
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let &[time, rate, ..] = fields.as_slice() else {
                return Err(at("has not two columns"));
            };
            match (
                seconds(time).or_else(|| span(time)),
                rate.parse::<f64>().ok(),
            ) {
                (None, None) if rates.is_empty() => columns = fields.len(),
                _ if fields.len() != columns && columns == 2 => {
                    return Err(at("has not two columns"));
                }
                _ if fields.len() != columns => {
                    return Err(at(&format!("has not the {columns} columns of the header")));
                }
                (Some(time), Some(rate)) => rates.push((time, rate)),
                (None, _) => return Err(at("the first column is not a time")),
                (_, None) => return Err(at("the second column is not a number")),
            }
            if rates.len() > MOST_POINTS {
                return Err(at(&format!("a file has at most {MOST_POINTS} points")));
            }
        }
        Points::new(rates, Between::Hold)
            .map(Load::Points)
            .map_err(|error| Error::new(error.kind(), format!("{name}: {error}"), ""))
    }

    /// The time until which it was measured; `None`: it goes on.
    pub fn measured_until(&self) -> Option<Duration> {
        match self {
            Load::Points(points) => Some(points.end()),
            Load::Sum(loads) => loads.iter().filter_map(Load::measured_until).max(),
            _ => None,
        }
    }
}

fn term(text: &str) -> Result<Load> {
    let wrong = |problem: &str| invalid(text, problem);
    let Some((name, rest)) = text.split_once('(') else {
        let rate = rate(text).ok_or_else(|| wrong("is not a rate"))?;
        return Ok(Load::Constant(rate));
    };
    let arguments = rest.strip_suffix(')');
    let arguments = arguments.ok_or_else(|| wrong("has no closing parenthesis"))?;
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    let (first, times) = (arguments[0], &arguments[1..]);
    let times: Option<Vec<Duration>> = times.iter().map(|time| span(time)).collect();
    let times = times.ok_or_else(|| wrong("has a part that is not a time"))?;
    let range = || range(first).ok_or_else(|| wrong("does not begin with a range of rates"));
    match (name.trim(), times.as_slice()) {
        ("step", &[at]) => {
            let (before, after) = range()?;
            Ok(Load::Step { before, after, at })
        }
        ("ramp", &[length]) => ramp(range()?, Duration::ZERO, length),
        ("ramp", &[start, length]) => ramp(range()?, start, length),
        ("sine", &[period]) => {
            let (low, high) = range()?;
            Ok(Load::Sine {
                mean: f64::midpoint(low, high),
                amplitude: (high - low) / 2.0,
                period,
            })
        }
        ("sawtooth", &[period]) => {
            let (low, high) = range()?;
            Ok(Load::Sawtooth { low, high, period })
        }
        ("bursts", &[length, every]) => Ok(Load::Bursts {
            rate: rate(first).ok_or_else(|| wrong("does not begin with a rate"))?,
            first: Duration::ZERO,
            length,
            every,
        }),
        ("step" | "ramp" | "sine" | "sawtooth" | "bursts", _) => {
            Err(wrong("has too many or too few times"))
        }
        _ => Err(wrong("is no known shape")),
    }
}

fn ramp((from, to): (f64, f64), start: Duration, length: Duration) -> Result<Load> {
    Ok(Load::Ramp {
        from,
        to,
        start,
        length,
    })
}

/// `40/s`, in items per second.
fn rate(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once('/')?;
    let per = match unit.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let number = number.trim().parse::<f64>().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number / per)
}

/// `10..40/s`.
fn range(text: &str) -> Option<(f64, f64)> {
    let (low, high) = text.split_once("..")?;
    let (_, unit) = high.split_once('/')?;
    Some((rate(&format!("{low}/{unit}"))?, rate(high)?))
}

fn span(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

fn invalid(text: &str, problem: &str) -> Error {
    Error::new(Kind::Invalid, format!("load {text:?}: {problem}"), FORMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_load_is_written_in_one_line() {
        let sine = Load::Sine {
            mean: 25.0,
            amplitude: 15.0,
            period: seconds(3600),
        };
        let ramp = |start| Load::Ramp {
            from: 0.0,
            to: 2.0,
            start: seconds(start),
            length: seconds(600),
        };
        for (text, load) in [
            ("40/s", Load::Constant(40.0)),
            ("90/m", Load::Constant(1.5)),
            ("0.5/h", Load::Constant(0.5 / 3600.0)),
            ("sine(10..40/s, 1h)", sine.clone()),
            ("sine( 10 .. 40/s ,1h )", sine.clone()),
            ("ramp(0..120/m, 10m)", ramp(0)),
            ("ramp(0..2/s, 90s, 10m)", ramp(90)),
            (
                "step(1..9/s, 5m)",
                Load::Step {
                    before: 1.0,
                    after: 9.0,
                    at: seconds(300),
                },
            ),
            (
                "1/s + sine(10..40/s, 1h)",
                Load::Sum(vec![Load::Constant(1.0), sine]),
            ),
        ] {
            assert_eq!(text.parse::<Load>().expect(text), load, "{text}");
        }
        let bursts: Load = "bursts(9/s, 1m, 10m)".parse().unwrap();
        assert_eq!(
            [0, 59, 60, 600].map(|s| bursts.rate(seconds(s))),
            [9.0, 9.0, 0.0, 9.0]
        );
        let saw: Load = "sawtooth(0..10/s, 10s)".parse().unwrap();
        assert_eq!(saw.rate(seconds(5)), 5.0);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, problem) in [
            ("", "is not a rate"),
            ("40", "is not a rate"),
            ("-4/s", "is not a rate"),
            ("inf/s", "is not a rate"),
            ("40/d", "is not a rate"),
            ("sine(10..40/s, 1h", "has no closing parenthesis"),
            ("sine(40/s, 1h)", "does not begin with a range of rates"),
            ("sine(1..2/s)", "has too many or too few times"),
            ("sine(1..2/s, 1x)", "has a part that is not a time"),
            ("wave(1..2/s, 1h)", "is no known shape"),
            ("1/s + x", "is not a rate"),
        ] {
            let error = text.parse::<Load>().expect_err(text);
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(
                error.to_string().contains(&format!(": {problem}")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_holds_times_and_rates() {
        let load = Load::of_csv("f", "time,rate\n# night\n0,1\n1m,2.5\n\n90.5, 0\n").unwrap();
        let rates = [0, 59, 60, 90, 91].map(|second| load.rate(seconds(second)));
        assert_eq!(rates, [1.0, 1.0, 2.5, 2.5, 0.0]);
        assert_eq!(load.measured_until(), Some(Duration::from_millis(90_500)));
        let more = Load::of_csv("f", "seconds,rate,value,method\n0,1,7,counted\n9,2,,end\n");
        assert_eq!(more.unwrap().rate(seconds(9)), 2.0);
        for (text, error) in [
            ("time,rate\n", "f: the load has no points"),
            ("0,1\nx,2", "f, line 2: the first column is not a time"),
            ("0,1\n1,x", "f, line 2: the second column is not a number"),
            ("0,1\n2", "f, line 2: has not two columns"),
            ("0,1,7", "f, line 1: has not two columns"),
            (
                "s,rate,value\n0,1",
                "f, line 2: has not the 3 columns of the header",
            ),
            ("5,1\n4,1", "f: the load has 4s after 5s"),
            ("0,-1", "f: the load has a rate of -1"),
        ] {
            let found = Load::of_csv("f", text).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
