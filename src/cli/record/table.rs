//! The CSV that `simulate --load` reads, written row by row.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    path::Path,
    time::Duration,
};

use super::estimate::{Interval, Method};
use crate::error::{Error, Kind, Result, one_line};

/// Whether anybody reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Reads,
    Gone,
}

/// The file, and how far it has come. Every line is written at once, so that what is there is good
/// whenever the recording ends.
pub struct Table {
    to: Box<dyn Write>,
    name: String,
    /// The time of the first sample, which is 0 in the file.
    start: Option<Duration>,
    /// The rate of the last row.
    last: Option<f64>,
    /// The time until which there are rates.
    until: Duration,
}

impl Table {
    /// To a new file, or to stdout.
    pub fn create(path: Option<&Path>) -> Result<Self> {
        let (to, name): (Box<dyn Write>, String) = match path {
            None => (Box::new(io::stdout()), "the result".to_owned()),
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create_new(path).map_err(|error| {
                    let next = match error.kind() {
                        ErrorKind::AlreadyExists => {
                            "A recording is a file of its own: choose another name."
                        }
                        _ => "",
                    };
                    let what = format!("--to: cannot create {name}: {error}");
                    Error::new(Kind::Invalid, what, next)
                })?;
                (Box::new(file), name)
            }
        };
        Ok(Table {
            to,
            name,
            start: None,
            last: None,
            until: Duration::ZERO,
        })
    }

    /// What is recorded, from when on, and the names of the columns.
    pub fn head(&mut self, title: &str) -> Result<Reader> {
        let title = one_line(title.to_owned());
        self.line(&format!("# {title}\nseconds,rate,value,method"))
    }

    /// A row at the beginning of the interval, from which on its rate holds; or why there is none.
    pub fn interval(&mut self, interval: &Interval) -> Result<Reader> {
        let Interval { from, until, rate } = interval;
        let (begin, end) = (self.since_start(from.at), self.since_start(*until));
        self.until = end;
        match rate {
            Ok((rate, method)) => {
                self.last = Some(*rate);
                self.row(begin, *rate, &number(from.value, 3), &method.to_string())
            }
            Err(unknown) => {
                let (begin, end) = (seconds(begin), seconds(end));
                self.line(&format!("# {begin} to {end}: {unknown}"))
            }
        }
    }

    /// Why there are no samples from now on.
    pub fn gap(&mut self, reason: &Error) -> Result<Reader> {
        let after = seconds(self.until);
        self.line(&format!("# after {after}: {reason}"))
    }

    /// The last row, which says until when the rate before it holds. `None`: there is no row.
    pub fn end(&mut self) -> Result<Option<Duration>> {
        let Some(rate) = self.last else {
            return Ok(None);
        };
        self.row(self.until, rate, "", "end")?;
        Ok(Some(self.until))
    }

    fn row(&mut self, at: Duration, rate: f64, value: &str, method: &str) -> Result<Reader> {
        // A few an hour are still told apart.
        let (at, rate) = (seconds(at), number(rate, 6));
        self.line(&format!("{at},{rate},{value},{method}"))
    }

    fn since_start(&mut self, at: Duration) -> Duration {
        at.saturating_sub(*self.start.get_or_insert(at))
    }

    fn line(&mut self, text: &str) -> Result<Reader> {
        let written = writeln!(self.to, "{text}").and_then(|()| self.to.flush());
        match written {
            Ok(()) => Ok(Reader::Reads),
            // `| head` has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
            Err(error) => {
                let what = format!("cannot write {}: {error}", self.name);
                Err(Error::new(
                    Kind::Internal,
                    what,
                    "What was written is good.",
                ))
            }
        }
    }
}

fn seconds(time: Duration) -> String {
    number(time.as_secs_f64(), 3)
}

/// At most so many digits after the point.
fn number(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// What was recorded, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    pub rows: u64,
    pub items: f64,
    /// Rows of which the rate is a lower bound.
    pub at_least: u64,
    /// Intervals without a rate.
    pub unknown: u64,
}

impl Sum {
    pub fn add(&mut self, interval: &Interval) {
        match interval.rate {
            Ok((rate, method)) => {
                self.rows += 1;
                self.items += rate * (interval.until - interval.from.at).as_secs_f64();
                self.at_least += u64::from(method == Method::AtLeast);
            }
            Err(_) => self.unknown += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::record::estimate::{Sample, Unknown},
        simulation::Load,
    };

    fn interval(from: f64, until: f64, rate: Result<(f64, Method), Unknown>) -> Interval {
        let at = Duration::from_secs_f64(from);
        Interval {
            from: Sample {
                at,
                value: 7.0,
                arrivals: None,
            },
            until: Duration::from_secs_f64(until),
            rate,
        }
    }

    #[test]
    fn what_is_written_is_read_by_simulate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load.csv");
        let mut table = Table::create(Some(&path)).unwrap();
        table.head("shop/worker\nof a\tkind").unwrap();
        let rows = [
            interval(100.0, 105.1, Ok((2.5, Method::Counted))),
            interval(105.1, 110.0, Err(Unknown::BeganAnew)),
            interval(110.0, 115.0, Ok((1.0 / 3.0, Method::AtLeast))),
        ];
        for row in &rows {
            assert_eq!(table.interval(row), Ok(Reader::Reads));
        }
        let reason = Error::new(Kind::Unreachable, "redis: gone\n5,1", "Start it.");
        table.gap(&reason).unwrap();
        let until = table.end().unwrap();
        assert_eq!(until, Some(Duration::from_secs(15)));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "# shop/worker\u{fffd}of a\u{fffd}kind\nseconds,rate,value,method\n0,2.5,7,counted\n\
             # 5.1 to 10: the backend counts anew, or other partitions: what arrived is not known\n\
             10,0.333333,7,at-least\n# after 15: redis: gone\u{fffd}5,1. Start it.\n15,0.333333,,end\n"
        );
        let load = Load::of_csv("load.csv", &text).unwrap();
        assert_eq!(load.measured_until(), until);
        // The rate before holds where it is not known.
        let rates = [0, 8, 12].map(|second| load.rate(Duration::from_secs(second)));
        assert_eq!(rates, [2.5, 2.5, 0.333333]);

        let again = Table::create(Some(&path)).err().unwrap().to_string();
        assert!(again.contains("choose another name"), "{again}");
    }

    #[test]
    fn the_items_are_rates_by_their_time() {
        let mut sum = Sum::default();
        sum.add(&interval(0.0, 10.0, Ok((2.0, Method::Counted))));
        sum.add(&interval(10.0, 14.0, Ok((0.5, Method::AtLeast))));
        sum.add(&interval(14.0, 20.0, Err(Unknown::NotRead)));
        assert_eq!(
            (sum.rows, sum.items, sum.at_least, sum.unknown),
            (2, 22.0, 1, 1)
        );
    }
}
