//! The workers, and the bounds of a recording, as arguments.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// The workers that take from the queue meanwhile, in the words of `simulate`.
#[derive(Args)]
pub struct Workers {
    /// How long a worker takes for one item.
    #[arg(long, value_name = "TIME", value_parser = service_time, requires = "replicas")]
    service_time: Option<Duration>,

    /// How many items a worker processes at once.
    #[arg(long, value_name = "ITEMS", default_value_t = 1, requires = "service_time", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,

    /// How many workers run.
    #[arg(long, value_name = "NUMBER", requires = "service_time", value_parser = clap::value_parser!(u32).range(1..))]
    replicas: Option<u32>,
}

/// As long as a simulation may be. With a row each second that are fewer rows than a file of a load
/// may have.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

impl Workers {
    /// Items per second, of workers that have enough to do.
    pub fn capacity(&self) -> Option<f64> {
        let service_time = self.service_time?.as_secs_f64();
        let at_once = f64::from(self.replicas?) * f64::from(self.concurrency);
        Some(at_once / service_time)
    }
}

/// Every read costs the backend something, and a row is one of a million at most.
pub fn every(text: &str) -> std::result::Result<Duration, String> {
    within(text, Duration::from_secs(1), Duration::from_secs(3600))
}

pub fn length(text: &str) -> std::result::Result<Duration, String> {
    within(text, Duration::from_secs(1), LONGEST)
}

fn service_time(text: &str) -> std::result::Result<Duration, String> {
    within(text, Duration::from_millis(1), LONGEST)
}

fn within(text: &str, least: Duration, most: Duration) -> std::result::Result<Duration, String> {
    let time = humantime::parse_duration(text);
    let time = time.map_err(|error| format!("{error}; expected as 90s, 10m or 1h"))?;
    match (least..=most).contains(&time) {
        true => Ok(time),
        false => {
            let [least, most] = [least, most].map(humantime::format_duration);
            Err(format!("must be from {least} to {most}"))
        }
    }
}

pub fn csv(text: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().is_some_and(|extension| extension == "csv") {
        true => Ok(path),
        false => Err("must end in .csv, by which simulate --load knows a file".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        assert_eq!(every("1s"), Ok(Duration::from_secs(1)));
        for (found, error) in [
            (every("500ms"), "must be from 1s to 1h"),
            (length("8d"), "must be from 1s to 7days"),
            (length("0s"), "must be from 1s to 7days"),
            (service_time("0s"), "must be from 1ms to 7days"),
            (every("x"), "expected as 90s"),
        ] {
            let found = found.unwrap_err();
            assert!(found.contains(error), "{found}");
        }
        assert!(csv("load.csv").is_ok());
        assert!(csv("load.txt").is_err());
    }

    #[test]
    fn workers_take_what_all_of_them_can() {
        let workers = Workers {
            service_time: Some(Duration::from_millis(500)),
            concurrency: 5,
            replicas: Some(3),
        };
        assert_eq!(workers.capacity(), Some(30.0));
    }
}
