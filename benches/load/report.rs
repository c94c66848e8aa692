//! Plain tables for people, and figures of many measurements.

use std::{fmt, time::Duration};

use comfy_table::{CellAlignment, Table, presets::NOTHING};

/// A table with a line about what it shows.
pub struct Report {
    title: String,
    table: Table,
}

impl Report {
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(columns);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Report {
            title: title.into(),
            table,
        }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.cells(cells);
    }

    pub fn cells(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells);
    }

    /// Prints the table, then what it means for the targets.
    pub fn print(&self, verdicts: &[Verdict]) {
        println!("\n{}\n{}", self.title, self.table.trim_fmt());
        for verdict in verdicts {
            println!("{verdict}");
        }
    }
}

/// Whether a target is met, in words.
pub struct Verdict(String);

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Verdict {
    pub fn at_least(what: &str, figure: f64, target: f64) -> Self {
        Verdict::new(what, figure, "at least", target, figure >= target)
    }

    pub fn at_most(what: &str, figure: f64, target: f64) -> Self {
        Verdict::new(what, figure, "at most", target, figure <= target)
    }

    fn new(what: &str, figure: f64, bound: &str, target: f64, met: bool) -> Self {
        let met = if met { "met" } else { "MISSED" };
        Verdict(format!(
            "  {met}: {what} is {figure:.2}, wanted {bound} {target}"
        ))
    }
}

/// The nearest rank, `p` from 0 to 100. Sorts.
pub fn percentile(durations: &mut [Duration], p: f64) -> Duration {
    durations.sort_unstable();
    let rank = (durations.len() as f64 * p / 100.0).ceil() as usize;
    let index = rank.saturating_sub(1);
    durations.get(index).copied().unwrap_or_default()
}

/// A ratio; 0 when there is nothing to compare with.
pub fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

pub fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// Microseconds of one of many.
pub fn us_each(total: Duration, count: usize) -> String {
    format!("{:.1} µs", total.as_secs_f64() * 1e6 / count.max(1) as f64)
}

pub fn mib(value: f64) -> String {
    format!("{value:.1} MiB")
}
