//! What a result is measured by, and the limits that it has to keep: `p95 wait < 30s`.

use std::fmt;

use crate::{
    cli::simulate::{
        report::{Row, money, time},
        span,
    },
    metadata::schema::nearest,
};

/// One number of a simulation's result; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    WaitP50,
    WaitP95,
    WaitP99,
    WaitMax,
    LargestBacklog,
    Cost,
    ReplicaHours,
    Changes,
}

/// A limit of a measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    pub measure: Measure,
    limit: f64,
    /// The limit itself is too much.
    is_strict: bool,
}

const MEASURES: [(&str, Measure); 8] = [
    ("p50 wait", Measure::WaitP50),
    ("p95 wait", Measure::WaitP95),
    ("p99 wait", Measure::WaitP99),
    ("max wait", Measure::WaitMax),
    ("largest backlog", Measure::LargestBacklog),
    ("cost", Measure::Cost),
    ("replica hours", Measure::ReplicaHours),
    ("changes", Measure::Changes),
];

impl Measure {
    /// By its name, whatever the case; `replica-hours` is `replica hours`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = text.replace('-', " ").to_lowercase();
        let name = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let found = MEASURES.iter().find(|(known, _)| *known == name);
        if let Some((_, measure)) = found {
            return Ok(*measure);
        }
        let names = MEASURES.map(|(name, _)| name);
        let hint = nearest(&name, names)
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let known = names.join(", ");
        Err(format!("`{}` is none of {known}{hint}", text.trim()))
    }

    pub fn is_wait(self) -> bool {
        use Measure::{WaitMax, WaitP50, WaitP95, WaitP99};
        matches!(self, WaitP50 | WaitP95 | WaitP99 | WaitMax)
    }

    /// Its number of a result. A cost without a price is 0.
    pub fn of(self, row: &Row) -> f64 {
        match self {
            Measure::WaitP50 => row.wait_seconds.p50,
            Measure::WaitP95 => row.wait_seconds.p95,
            Measure::WaitP99 => row.wait_seconds.p99,
            Measure::WaitMax => row.wait_seconds.max,
            Measure::LargestBacklog => row.largest_backlog as f64,
            Measure::Cost => row.cost.unwrap_or_default(),
            Measure::ReplicaHours => row.replica_hours,
            Measure::Changes => f64::from(row.changes),
        }
    }

    /// A number of it, for people.
    pub fn shown(self, number: f64) -> String {
        match self {
            measure if measure.is_wait() => time(number),
            Measure::Cost => money(number),
            Measure::ReplicaHours => format!("{number:.1}"),
            _ => number.to_string(),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = MEASURES.iter().find(|(_, measure)| measure == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

impl Objective {
    /// Of an argument.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected MEASURE < LIMIT, as 'p95 wait < 30s' or 'cost <= 5'";
        let (measure, limit) = text.split_once('<').ok_or(expected)?;
        let (limit, is_strict) = match limit.strip_prefix('=') {
            Some(limit) => (limit, false),
            None => (limit, true),
        };
        let measure = Measure::parse(measure)?;
        let limit = limit.trim();
        let limit = match measure.is_wait() {
            true => span(limit)
                .map_err(|error| format!("`{limit}`: {error}"))?
                .as_secs_f64(),
            false => limit
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite() && *number >= 0.0)
                .ok_or_else(|| format!("`{limit}` is not a number from 0"))?,
        };
        Ok(Objective {
            measure,
            limit,
            is_strict,
        })
    }

    /// The number that must not be passed.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// By how much a result is over it, as a part of the limit; 0: it is met.
    pub fn excess(&self, row: &Row) -> f64 {
        let found = self.measure.of(row);
        let is_met = match self.is_strict {
            true => found < self.limit,
            false => found <= self.limit,
        };
        match is_met {
            true => 0.0,
            // At the limit itself it is a little.
            false => ((found - self.limit) / self.limit.max(1.0)).max(1e-9),
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_strict { "<" } else { "<=" };
        let limit = match self.measure.is_wait() {
            true => time(self.limit),
            false => self.limit.to_string(),
        };
        write!(f, "{} {sign} {limit}", self.measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulate::report::{Replicas, Waits};

    pub fn row(p95: f64, cost: f64) -> Row {
        Row {
            name: String::new(),
            items: 0,
            completed: 0,
            waiting: 0,
            interrupted: 0,
            wait_seconds: Waits {
                p50: 0.0,
                p95,
                p99: p95,
                max: p95,
            },
            largest_backlog: 7,
            replicas: Replicas {
                average: 0.0,
                largest: 0,
            },
            replica_hours: 2.0 * cost,
            cost: Some(cost),
            changes: 3,
            flaps: 0,
            seconds_at_max: 0,
            seconds_to_drain: None,
        }
    }

    #[test]
    fn an_objective_is_a_measure_and_its_limit() {
        for (text, shown) in [
            ("p95 wait < 30s", "p95 wait < 30s"),
            ("  P95   Wait<1m30s ", "p95 wait < 1m30s"),
            ("max wait <= 1h", "max wait <= 1h0m"),
            ("largest backlog < 1000", "largest backlog < 1000"),
            ("replica-hours<=12.5", "replica hours <= 12.5"),
            ("changes < 40", "changes < 40"),
        ] {
            let objective = Objective::parse(text).unwrap();
            assert_eq!(objective.to_string(), shown);
            assert_eq!(Objective::parse(shown), Ok(objective));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, error) in [
            ("", "expected MEASURE < LIMIT"),
            ("p95 wait", "expected MEASURE < LIMIT"),
            ("p95 wait > 3s", "expected MEASURE < LIMIT"),
            ("p95 wiat < 3s", "did you mean `p95 wait`?"),
            ("p42 < 3s", "`p42` is none of p50 wait, p95 wait,"),
            ("p95 wait < 30", "`30`: "),
            ("p95 wait < ", "expected as 90s, 10m or 1h"),
            ("p95 wait < NaN", "expected as 90s, 10m or 1h"),
            ("cost < NaN", "`NaN` is not a number from 0"),
            ("cost < inf", "`inf` is not a number from 0"),
            ("cost < -1", "`-1` is not a number from 0"),
            ("cost < 1 < 2", "`1 < 2` is not a number from 0"),
        ] {
            let found = Objective::parse(text).unwrap_err();
            assert!(found.contains(error), "{text}: {found}");
        }
        let long = "w".repeat(100_000);
        assert!(Measure::parse(&long).is_err());
    }

    #[test]
    fn what_is_over_the_limit_is_a_part_of_it() {
        let excess = |text: &str| Objective::parse(text).unwrap().excess(&row(40.0, 2.0));
        for (text, expected) in [
            ("p95 wait < 41s", 0.0),
            ("p95 wait <= 40s", 0.0),
            ("p95 wait < 40s", 1e-9),
            ("p95 wait < 20s", 1.0),
            ("p95 wait < 0s", 40.0),
            ("cost < 1", 1.0),
            ("replica hours < 3.2", 0.25),
            ("largest backlog <= 7", 0.0),
            ("changes < 3", 1e-9),
        ] {
            let found = excess(text);
            assert!((found - expected).abs() < 1e-12, "{text}: {found}");
        }
    }
}
