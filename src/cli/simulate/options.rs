//! The load and the workers, as arguments.

use std::{fs, path::Path, time::Duration};

use clap::Args;

use super::span;
use crate::{
    error::{Error, Kind, Result},
    simulation::{
        ItemTime, Load, MetricTarget, Scalable, Simulation, Trigger, WorkerModel, failing,
    },
};

/// What arrives, and how workers handle it.
#[derive(Args)]
pub struct Workload {
    /// Items that arrive per second: a CSV file, or an expression such as 'sine(10..40/s, 1h)'.
    #[arg(long, value_name = "LOAD")]
    load: String,

    /// How long a worker takes for one item.
    #[arg(long, value_name = "TIME", value_parser = span)]
    service_time: Duration,

    /// How many items a worker processes at once.
    #[arg(long, value_name = "ITEMS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,

    /// How many items a job of a ScaledJob takes until it ends, --concurrency of them at once.
    #[arg(long, value_name = "ITEMS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    items_per_job: u32,

    /// The time from a worker's creation until it takes its first item.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = span)]
    startup: Duration,

    /// How long a removed worker may finish the items in progress; the rest is done again.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    grace_period: Duration,

    /// How long to simulate [default: the length of the load file, else 1h].
    #[arg(long, value_name = "TIME", value_parser = span)]
    length: Option<Duration>,

    /// How many items wait at the start.
    #[arg(long, value_name = "ITEMS", default_value_t = 0)]
    initial_backlog: u64,

    /// A time in which the queue cannot be read: FROM..UNTIL, such as 10m..15m.
    #[arg(long, value_name = "TIMES", value_parser = outage)]
    outage: Option<(Duration, Duration)>,
}

/// A simulation keeps a point for each second.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// And the wait of each item.
const MOST_ITEMS: f64 = 50_000_000.0;

impl Workload {
    /// The load.
    pub fn load(&self) -> Result<Load> {
        load(&self.load)
    }

    /// How many items so many replicas complete in a second.
    pub fn capacity(&self, replicas: u32) -> f64 {
        f64::from(replicas) * f64::from(self.concurrency) / self.service_time.as_secs_f64()
    }

    /// The time from a worker's creation until it takes its first item.
    pub fn startup(&self) -> Duration {
        self.startup
    }

    /// How long to simulate. An error: longer, or more items, than memory is for.
    pub fn length(&self, load: &Load) -> Result<Duration> {
        let measured = load.measured_until().filter(|until| !until.is_zero());
        let length = self.length.or(measured);
        let length = length.unwrap_or(Duration::from_secs(3600));
        if length > LONGEST {
            let what = format!(
                "--length: {} is more than 7 days",
                humantime::format_duration(length)
            );
            return Err(Error::new(Kind::Invalid, what, "Simulate a part of it."));
        }
        let seconds = 0..length.as_secs();
        let items: f64 = seconds
            .map(|second| load.rate(Duration::from_secs(second)))
            .sum();
        if items + self.initial_backlog as f64 > MOST_ITEMS {
            let what = format!("--load: {items:.0} items are more than {MOST_ITEMS:.0}");
            let next =
                "Simulate a shorter time, or a tenth of the rate with a tenth of the workers.";
            return Err(Error::new(Kind::Invalid, what, next));
        }
        Ok(length)
    }

    /// The simulation of one ScaledObject or ScaledJob.
    pub fn simulation(
        &self,
        load: &Load,
        object: impl Into<Scalable>,
        triggers: Vec<(MetricTarget, impl Trigger + 'static)>,
    ) -> Result<Simulation> {
        let workers = WorkerModel {
            item_time: ItemTime::Constant(self.service_time),
            concurrency: self.concurrency,
            startup: self.startup,
            termination_grace_period: self.grace_period,
        };
        let mut simulation = Simulation::new(load.clone(), workers, object)
            .items_per_job(self.items_per_job)
            .initial_backlog(self.initial_backlog);
        for (target, trigger) in triggers {
            simulation = match self.outage {
                Some((from, until)) => simulation.trigger(target, failing(from, until, trigger)),
                None => simulation.trigger(target, trigger),
            };
        }
        Ok(simulation)
    }
}

/// A load; a text that ends in `.csv` is a file.
pub fn load(text: &str) -> Result<Load> {
    let path = Path::new(text);
    if path.extension().is_none_or(|extension| extension != "csv") {
        return text.parse();
    }
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Error::new(Kind::Invalid, format!("cannot read {name}: {error}"), ""))?;
    Load::of_csv(&name, &text)
}

fn outage(text: &str) -> std::result::Result<(Duration, Duration), String> {
    let (from, until) = text
        .split_once("..")
        .ok_or("expected FROM..UNTIL, as 10m..15m")?;
    let (from, until) = (span(from.trim())?, span(until.trim())?);
    match from < until {
        true => Ok((from, until)),
        false => Err("must end after it begins".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_from_one_time_until_another() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(outage("10m..15m"), Ok((minutes(10), minutes(15))));
        for text in ["10m", "15m..10m", "10m..x", ".."] {
            assert!(outage(text).is_err(), "{text}");
        }
    }
}
