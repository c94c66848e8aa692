//! What the search came to: a table for people, JSON for programs, and the picture.

use serde_json::{Map, Value, json};

use super::{
    edit::Setting,
    evaluate::{Candidate, Wanted},
    frontier::frontier,
    objective::Measure,
};
use crate::{
    cli::{
        simulate::report::{HEADER, Row},
        table, to_json,
    },
    error::Result,
    simulation::{Dot, Mark, Scatter},
};

/// So many alternatives have their names in the picture.
const MOST_NAMES: usize = 8;

/// Everything that is shown.
pub struct Report<'a> {
    pub wanted: &'a Wanted<'a>,
    /// What the manifest has of the keys that were searched.
    pub present: String,
    pub now: &'a Candidate,
    /// The chosen one, or where none meets the objectives the nearest.
    pub best: &'a Candidate,
    /// All, `now` and `best` among them.
    pub all: Vec<&'a Candidate>,
    pub combinations: u128,
    pub is_complete: bool,
    pub loads: usize,
    pub has_price: bool,
}

impl<'a> Report<'a> {
    /// Whether the chosen one meets all objectives.
    pub fn meets(&self) -> bool {
        self.best.score.excess == 0.0
    }

    /// The best few, the chosen one first. Of those that come to the same, the one that changes least.
    pub fn best_few(&self, count: usize) -> Vec<&'a Candidate> {
        let mut sorted = self.all.clone();
        sorted.sort_by(|a, b| a.score.compare(&b.score));
        let mut few: Vec<&Candidate> = vec![self.best];
        for candidate in sorted {
            // The present one has its own row.
            let is_new = !candidate.settings.is_empty()
                && few.iter().all(|known| known.row != candidate.row);
            if is_new && few.len() < count {
                few.push(candidate);
            }
        }
        few
    }

    /// Those of which no other has less of both axes of the picture.
    pub fn frontier(&self) -> Vec<&'a Candidate> {
        let (x, y) = self.axes();
        let mut all = self.all.clone();
        all.sort_by_key(|candidate| candidate.score.changed);
        let points = all.into_iter();
        let points =
            points.map(|candidate| (x.of(&candidate.row), y.of(&candidate.row), candidate));
        frontier(points).into_iter().map(|point| point.2).collect()
    }

    /// What is compared: what it takes, and how long work waits.
    fn axes(&self) -> (Measure, Measure) {
        let minimize = self.wanted.minimize;
        let measures = || {
            let objectives = self.wanted.objectives.iter();
            std::iter::once(minimize).chain(objectives.map(|objective| objective.measure))
        };
        let wait = measures().find(|measure| measure.is_wait());
        let other = measures().find(|measure| !measure.is_wait());
        let takes = match self.has_price {
            true => Measure::Cost,
            false => Measure::ReplicaHours,
        };
        (other.unwrap_or(takes), wait.unwrap_or(Measure::WaitP95))
    }

    pub fn table(&self, rows: &[&Candidate]) -> String {
        let mut header = vec!["", "SETTINGS"];
        header.extend(&HEADER[1..]);
        header.push("MISSES");
        let now = self.cells("now", &self.present, &self.now.row);
        let others = rows.iter().enumerate().map(|(number, candidate)| {
            let name = match std::ptr::eq(*candidate, self.best) {
                true if self.meets() => "best".to_owned(),
                true => "nearest".to_owned(),
                false => (number + 1).to_string(),
            };
            self.cells(&name, &shown(&candidate.settings), &candidate.row)
        });
        table::unwrapped(&header, std::iter::once(now).chain(others))
    }

    fn cells(&self, name: &str, settings: &str, row: &Row) -> Vec<String> {
        let mut cells = vec![name.to_owned(), settings.to_owned()];
        cells.extend(row.cells().into_iter().skip(1));
        let missed = self.wanted.missed(row);
        let missed: Vec<_> = missed
            .iter()
            .map(|objective| objective.to_string())
            .collect();
        cells.push(missed.join(", "));
        cells
    }

    /// How many were simulated, for people.
    pub fn extent(&self) -> String {
        let count = self.all.len();
        let loads = match self.loads {
            1 => String::new(),
            loads => format!(", each with {loads} loads, of which the worse counts"),
        };
        match self.is_complete {
            true => format!("all {count} combinations were simulated{loads}"),
            false => format!(
                "{count} of {} combinations were simulated{loads}",
                self.combinations
            ),
        }
    }

    /// `rows` are the best few or the frontier, `manifest` is the edited one.
    pub fn json(
        &self,
        rows: &[&Candidate],
        manifest: Option<&str>,
        why: Option<&str>,
    ) -> Result<String> {
        let objectives = self.wanted.objectives.iter();
        let objectives: Vec<String> = objectives.map(|objective| objective.to_string()).collect();
        let candidates: Result<Vec<Value>> = rows.iter().map(|row| self.candidate(row)).collect();
        to_json(&json!({
            "objectives": objectives,
            "minimize": self.wanted.minimize.to_string(),
            "meetsObjectives": self.meets(),
            "why": why,
            "simulated": self.all.len(),
            "combinations": self.combinations.to_string(),
            "complete": self.is_complete,
            "now": self.candidate(self.now)?,
            "best": self.candidate(self.best)?,
            "candidates": candidates?,
            "manifest": manifest,
        }))
    }

    fn candidate(&self, candidate: &Candidate) -> Result<Value> {
        let settings = candidate.settings.iter();
        let settings: Map<String, Value> = settings
            .map(|Setting { key, value }| (key.clone(), value.clone().into()))
            .collect();
        let missed = self.wanted.missed(&candidate.row);
        let missed: Vec<String> = missed
            .iter()
            .map(|objective| objective.to_string())
            .collect();
        let row = json!(candidate.row);
        let mut value = json!({ "settings": settings, "misses": missed });
        if let (Value::Object(all), Value::Object(row)) = (&mut value, row) {
            all.extend(row);
        }
        Ok(value)
    }

    pub fn picture(&self) -> Result<String> {
        let (x, y) = self.axes();
        let place = |candidate: &Candidate| (x.of(&candidate.row), y.of(&candidate.row));
        let mark = |candidate: &Candidate, text: &str| {
            let (at_x, at_y) = place(candidate);
            Mark {
                x: at_x,
                y: at_y,
                text: format!("{x} {}, {y} {}: {text}", x.shown(at_x), y.shown(at_y)),
            }
        };
        let limit = |measure: Measure| {
            let objectives = self.wanted.objectives.iter();
            let mut of = objectives.filter(|objective| objective.measure == measure);
            of.next().map(|objective| objective.limit())
        };
        // Many names would hide each other, and two have names of their own.
        let names_all = self.all.len() <= MOST_NAMES;
        let has_mark = |candidate: &Candidate| {
            let is_best = self.meets() && std::ptr::eq(candidate, self.best);
            is_best || std::ptr::eq(candidate, self.now)
        };
        let dots = self.all.iter().map(|candidate| {
            let (x, y) = place(candidate);
            let text = match names_all && !has_mark(candidate) {
                true => shown(&candidate.settings),
                false => String::new(),
            };
            Dot {
                x,
                y,
                is_good: candidate.score.excess == 0.0,
                text,
            }
        });
        let best = self
            .meets()
            .then(|| mark(self.best, &shown(&self.best.settings)));
        Scatter {
            x: &x.to_string(),
            y: &format!("{y}, seconds"),
            x_limit: limit(x),
            y_limit: limit(y),
            dots: dots.collect(),
            frontier: self.frontier().into_iter().map(place).collect(),
            now: mark(self.now, &self.present),
            best,
        }
        .draw()
    }
}

/// Settings for people.
fn shown(settings: &[Setting]) -> String {
    match settings {
        [] => "as now".to_owned(),
        settings => {
            let settings = settings.iter().map(Setting::to_string);
            settings.collect::<Vec<_>>().join(" ")
        }
    }
}
