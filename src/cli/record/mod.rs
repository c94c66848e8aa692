//! `record`: what arrives in a real queue, as a load for `simulate`.

mod api;
mod estimate;
mod options;
mod response;
mod source;
mod table;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use self::{
    api::Server,
    estimate::{Estimator, Method},
    options::{Workers, csv, every, length},
    source::{Chosen, Source},
    table::{Reader, Sum, Table},
};
use super::{
    EXIT_BAD_CONFIGURATION, environment,
    probe::{self, Map},
    runtime, to_stderr,
};
use crate::{
    error::{Error, Kind, Result},
    settings,
};

/// Record how many items arrive in a trigger's queue, as the CSV file that simulate --load reads.
///
/// This process connects to the backend and reads the queue itself. Or samples come from the admin
/// address of a running server, as KEDA requests them, without extra reads of the backend:
///
///   backlog-scaler record worker.yaml --length 1h --to monday.csv
///
///   backlog-scaler record shop/worker --server http://127.0.0.1:9091 --length 1d --to monday.csv
///
///   backlog-scaler simulate worker.yaml --load monday.csv --service-time 2s
///
/// A row has the time, the rate from then on in items per second, what the trigger measured, and how
/// the rate was determined:
///
///   counted    the backend counts arrivals: Kafka, and lagCount of Redis streams
///   reported   the backend's own average: Temporal, over 30 s
///   estimated  the change of the backlog plus what busy workers took, from --service-time and --replicas
///   at-least   the growth of the backlog; 0 if it fell
///
/// Of Redis lists, sets and hashes only the length is known. With --service-time and --replicas the
/// rate is estimated as long as work is always waiting.
///
/// Each row is written at once, so the file is usable whenever the recording stops, also by Ctrl-C.
/// While the queue cannot be read there are no rows; a comment gives the reason. The row before an
/// outage then holds the average over it: exact if the backend counts arrivals, else a minimum. A
/// reported rate holds until there are samples again.
///
/// Exit codes: 0 recorded, 1 the queue or the server cannot be read, or no rate was known, 2 bad
/// arguments, manifests or settings.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Record {
    /// A manifest, `-` for stdin; with --server the object as NAMESPACE/NAME.
    #[arg(value_name = "FILE|NAME")]
    what: PathBuf,

    #[command(flatten)]
    server: Server,

    /// The server's settings, for its named connections.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    map: Map,

    /// The object, if the file holds several: NAMESPACE/NAME or NAME.
    #[arg(long, value_name = "NAME", conflicts_with = "address")]
    object: Option<String>,

    /// Which trigger, if there are several: its index from 0 on; with --server its id or metric.
    #[arg(long, value_name = "TRIGGER")]
    trigger: Option<String>,

    /// How often to read; there is no row without a newer sample.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = every)]
    every: Duration,

    /// How long to record, at most 7d; Ctrl-C stops it earlier.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = length)]
    length: Duration,

    /// A new file, whose name ends in .csv, instead of stdout.
    #[arg(long, value_name = "FILE", value_parser = csv)]
    to: Option<PathBuf>,

    #[command(flatten)]
    workers: Workers,
}

impl Record {
    /// Records until it ends.
    pub fn run(self) -> Result<ExitCode> {
        let api = self.server.open()?;
        let files = match api {
            Some(_) => Vec::new(),
            None => probe::files(std::slice::from_ref(&self.what))?,
        };
        let objects = match api {
            Some(_) => Vec::new(),
            None => match probe::read(&files) {
                (objects, true) => objects,
                (_, false) => return Ok(ExitCode::from(EXIT_BAD_CONFIGURATION)),
            },
        };
        runtime()?.block_on(async {
            let (object, wanted) = (self.object.as_deref(), self.trigger.as_deref());
            let source = match api {
                Some(api) => Source::of_server(api, &self.what.to_string_lossy(), wanted).await?,
                None => {
                    let settings = settings::load(self.config.as_deref(), environment())?;
                    let chosen = Chosen {
                        object,
                        trigger: wanted,
                    };
                    Source::in_process(objects, chosen, &settings, &self.map).await?
                }
            };
            self.record(&source).await
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn record(&self, source: &Source) -> Result<()> {
        let mut stop = std::pin::pin!(stop_signal()?);
        // What is wrong from the beginning is no outage.
        let first = tokio::select! {
            () = &mut stop => return Ok(()),
            first = source.read() => first.map_err(|error| source.located(error))?,
        };
        if first.arrivals.is_none() && !source.is_backlog {
            let what = format!(
                "{}: reports a time, and the backend no arrivals",
                source.title
            );
            let next = "Record a trigger with `signal: backlog`.";
            return Err(Error::new(Kind::Invalid, what, next));
        }
        let mut recording = Recording::start(self, source)?;
        recording.estimator.add(first);
        let end = Instant::now() + self.length;
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one is now, as the first sample is.
        ticks.tick().await;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                _ = ticks.tick() => {}
                () = sleep_until(end) => break,
            }
            let read = tokio::select! {
                () = &mut stop => break,
                read = source.read() => read,
            };
            if recording.add(read)? == Reader::Gone {
                break;
            }
        }
        recording.end()
    }
}

/// A recording under way.
struct Recording {
    estimator: Estimator,
    table: Table,
    sum: Sum,
    has_workers: bool,
    is_failing: bool,
    has_advised: bool,
}

impl Recording {
    fn start(record: &Record, source: &Source) -> Result<Self> {
        let mut table = Table::create(record.to.as_deref())?;
        let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
        table.head(&format!("{}, from {now}", source.title))?;
        let every = humantime::format_duration(record.every);
        to_stderr("note", format!("records {}, every {every}", source.title));
        let capacity = record.workers.capacity();
        Ok(Recording {
            estimator: Estimator::new(source.is_backlog, capacity),
            table,
            sum: Sum::default(),
            has_workers: capacity.is_some(),
            is_failing: false,
            has_advised: false,
        })
    }

    fn add(&mut self, read: Result<estimate::Sample>) -> Result<Reader> {
        let sample = match read {
            Ok(sample) => sample,
            Err(error) => return self.fail(&error),
        };
        if std::mem::take(&mut self.is_failing) {
            to_stderr("note", "there are samples again");
        }
        let Some(interval) = self.estimator.add(sample) else {
            return Ok(Reader::Reads);
        };
        self.sum.add(&interval);
        if matches!(interval.rate, Ok((_, Method::AtLeast))) && !self.has_advised {
            self.has_advised = true;
            to_stderr("note", at_least(self.has_workers));
        }
        self.table.interval(&interval)
    }

    /// Written once for each outage.
    fn fail(&mut self, error: &Error) -> Result<Reader> {
        self.estimator.failed();
        if std::mem::replace(&mut self.is_failing, true) {
            return Ok(Reader::Reads);
        }
        to_stderr("note", format!("no samples from now on: {error}"));
        self.table.gap(error)
    }

    fn end(mut self) -> Result<()> {
        let Some(until) = self.table.end()? else {
            let what = "nothing is recorded: a rate needs two samples";
            let next = "Record for longer. With --server samples come as often as KEDA requests the value, \
                        usually each pollingInterval.";
            return Err(Error::new(Kind::Undetermined, what, next));
        };
        let Sum {
            rows,
            items,
            at_least,
            unknown,
        } = self.sum;
        let until = humantime::format_duration(Duration::from_secs(until.as_secs()));
        let least = if at_least > 0 { "at least " } else { "" };
        let mut text = format!("{rows} rows over {until}: {least}{items:.0} items");
        if at_least > 0 {
            text += &format!("; in {at_least} rows the rate is a lower bound");
        }
        if unknown > 0 {
            text += &format!("; {unknown} times without a rate, in which the one before holds");
        }
        to_stderr("note", text);
        Ok(())
    }
}

fn at_least(has_workers: bool) -> &'static str {
    match has_workers {
        true => {
            "the queue is empty at times, so that workers may be idle: the rate is what the backlog grew \
             by then, and more may have arrived"
        }
        false => {
            "the backend does not count what arrives: the rate is what the backlog grew by, and more may \
             have arrived. With --service-time and --replicas it is estimated while work waits"
        }
    }
}

/// Ends with SIGINT, SIGTERM, or when the terminal is closed.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let catch = |kind| {
        signal(kind).map_err(|error| {
            Error::new(Kind::Internal, format!("cannot catch signals: {error}"), "")
        })
    };
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    let mut hangup = catch(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
