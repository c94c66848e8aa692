//! `probe --watch`: the table again and again, with how the values went.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{IsTerminal, stdout},
    time::Duration,
};

use clap::Args;
use tokio::time::{MissedTickBehavior, interval};

use super::{manifest::Object, print, probe, report::Report};
use crate::{
    cli::to_stdout,
    error::Result,
    keda::client::Scaler,
    metadata::values::{Span, TextValue},
};

/// What belongs to `--watch`.
#[derive(Args)]
pub struct Watch {
    /// Evaluate repeatedly until Ctrl-C, and draw the values over time.
    #[arg(long, conflicts_with = "output")]
    watch: bool,

    /// With --watch: how often.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = at_least_a_second)]
    interval: Span,

    /// With --watch: how often in all, instead of until Ctrl-C.
    #[arg(long, value_name = "NUMBER", requires = "watch", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
}

/// Every value costs a read of the backend.
fn at_least_a_second(text: &str) -> Result<Span, String> {
    let span = Span::parse(text)?;
    match span.0 >= Duration::from_secs(1) {
        true => Ok(span),
        false => Err("must be at least 1s".to_owned()),
    }
}

/// As many values as fit beside the table.
const DRAWN: usize = 24;

impl Watch {
    /// Whether it is wanted.
    pub fn is_wanted(&self) -> bool {
        self.watch
    }

    /// Evaluates and draws until Ctrl-C; the last report.
    pub async fn run(&self, scaler: &Scaler, objects: &[Object]) -> Result<Report> {
        let mut ticks = interval(self.interval.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut history = History::default();
        let mut rounds = 0;
        let clear = match stdout().is_terminal() {
            // Home, and what is below it.
            true => "\u{1b}[H\u{1b}[2J",
            false => "",
        };
        loop {
            ticks.tick().await;
            let report = probe(scaler, objects.to_vec()).await;
            history.add(&report);
            let table = print::text_with(&report, Some(&history));
            to_stdout(&format!("{clear}{table}\n"))?;
            rounds += 1;
            if self.count.is_some_and(|count| rounds >= count) {
                return Ok(report);
            }
        }
    }
}

/// The last values of each trigger.
#[derive(Default)]
pub struct History(BTreeMap<(usize, usize), VecDeque<Option<f64>>>);

impl History {
    fn add(&mut self, report: &Report) {
        for (object, of) in report.objects.iter().enumerate() {
            for trigger in &of.triggers {
                let values = self.0.entry((object, trigger.index)).or_default();
                values.push_back(trigger.value);
                if values.len() > DRAWN {
                    values.pop_front();
                }
            }
        }
    }

    /// A sparkline of a trigger of an object.
    pub fn sparkline(&self, object: usize, trigger: usize) -> String {
        let values = self.0.get(&(object, trigger));
        let values: Vec<_> = values.into_iter().flatten().copied().collect();
        sparkline(&values)
    }
}

/// Bars from 0 to the largest value; a blank where there was none.
fn sparkline(values: &[Option<f64>]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let largest = values.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: &Option<f64>| match value {
        None => '·',
        Some(value) if largest > 0.0 => {
            let share = (value / largest).clamp(0.0, 1.0);
            BARS[(share * 7.0).round() as usize]
        }
        Some(_) => BARS[0],
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_goes_from_0_to_the_largest_value() {
        let values = [Some(0.0), Some(7.0), None, Some(14.0), Some(1.0)];
        assert_eq!(sparkline(&values), "▁▅·█▂");
        assert_eq!(sparkline(&[Some(0.0), Some(f64::NAN)]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }
}
