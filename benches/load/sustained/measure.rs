//! One run of the judge, with everybody else's CPU, memory, sockets and counters at its beginning,
//! its end and while it lasts.

use std::{
    ffi::OsStr,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    Options, PAUSE, SPARE,
    backlogs::{BACKENDS, Backlogs, Requests},
    judge::{Event, Judge, Mode, Plan, Report, seconds},
};
use crate::{
    servers::{Served, figure},
    usage::{Meter, Process},
};

/// How often `/metrics` is scraped, as Prometheus might.
const SCRAPE: Duration = Duration::from_secs(15);
const READS: &str = "backlog_scaler_batch_size_count";
const QUERIES: &str = "backlog_scaler_batch_size_sum";
const AHEAD: &str = "backlog_scaler_look_ahead_queries_total";
const STALE: &str = "backlog_scaler_stale_answers_total";
const AGE: &str = "backlog_scaler_trigger_sample_age_seconds";

/// What a run measured. All but the report's last part is about the measured time, without
/// warm-up and without the rounds at the end.
pub struct Measured {
    pub report: Box<Report>,
    pub wall: Duration,
    /// CPU of each backend's server.
    pub server_cpu: [Duration; 3],
    /// The same in seconds, less what it uses in that time while idle. As a difference of two
    /// measurements it is below zero where the server works more when idle than when called.
    pub server_cpu_above_idle: [f64; 3],
    /// Of the commands and requests that our and Temporal's counters know.
    pub requests: [Option<f64>; 3],
    /// Requests inside Temporal.
    pub matching: f64,
    /// None with built-in scalers.
    pub ours: Option<Ours>,
}

impl Measured {
    /// Microseconds of a server's CPU for an evaluation of its backend's triggers.
    pub fn above_idle(&self, backend: usize) -> f64 {
        let evaluations = self.report.groups[backend].evaluations.max(1) as f64;
        self.server_cpu_above_idle[backend] * 1e6 / evaluations
    }
}

/// What our process used, and what its `/metrics` showed.
pub struct Ours {
    pub cpu: Duration,
    pub rss_idle: f64,
    /// The most of any second.
    pub rss: f64,
    pub rss_flat_out: f64,
    pub threads: f64,
    pub sockets: [usize; 3],
    pub cpu_flat_out: Duration,
    /// By backend.
    pub reads: [f64; 3],
    pub fresh: [f64; 3],
    pub stale: [f64; 3],
    pub oldest: [f64; 3],
    pub scrape: Scrape,
}

/// One request of `/metrics` while nobody else calls.
pub struct Scrape {
    pub took: Duration,
    pub cpu: Duration,
    pub bytes: usize,
    pub lines: usize,
}

/// Polls the triggers, by KEDA's external scaler or its built-in ones.
pub async fn run(
    program: &OsStr,
    options: &Options,
    backlogs: &Backlogs,
    triggers: usize,
    mode: Mode,
) -> Result<Measured, String> {
    tokio::time::sleep(PAUSE).await;
    let idle = backlogs.idle().await;
    let served = match mode {
        Mode::External => Some(Served::ours().await),
        Mode::Builtin => None,
    };
    let plan = Plan {
        mode,
        scaler: served
            .as_ref()
            .map(|s| s.address.clone())
            .unwrap_or_default(),
        hpa: options.hpa,
        warm_up: seconds(options.warm_up),
        length: seconds(options.length),
        limit: seconds(options.warm_up + options.length + SPARE),
        rounds: options.rounds,
        groups: backlogs.groups(triggers),
    };
    let what = match mode {
        Mode::External => "ours",
        Mode::Builtin => "KEDA's built-in scalers",
    };
    eprintln!(
        "load: {what}, {triggers} triggers, {:?} to warm up and {:?}",
        options.warm_up, options.length
    );
    let mut watch = Watch::new(served.as_ref(), backlogs, idle);
    let mut judge = Judge::start(program, &plan).await?;
    let mut every_second = interval(Duration::from_secs(1));
    every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = judge.event() => match event? {
                Event::WarmingUp | Event::FlatOut => {}
                Event::Measuring => watch.begin().await,
                Event::Measured => watch.end().await,
                Event::Report(report) => return watch.measured(report),
            },
            _ = every_second.tick() => watch.look().await,
        }
    }
}

/// What is seen from outside while the judge polls.
struct Watch<'a> {
    served: Option<&'a Served>,
    backlogs: &'a Backlogs,
    /// CPU of each backend's server before the run, as a part of a core.
    idle: [f64; 3],
    rss_idle: f64,
    rss: f64,
    sockets: [usize; 3],
    threads: f64,
    oldest: [f64; 3],
    scraped: Instant,
    begun: Option<Snapshot>,
    ended: Option<Ended>,
}

/// Counters, and the CPU from then on.
struct Snapshot {
    at: Instant,
    servers: Meter<3>,
    own: Option<Meter<1>>,
    requests: Requests,
    page: String,
}

/// The measured time, and what follows it.
struct Ended {
    wall: Duration,
    server_cpu: [Duration; 3],
    cpu: Duration,
    requests: Requests,
    before: Requests,
    pages: [String; 2],
    rss: f64,
    scrape: Option<Scrape>,
    flat_out: Option<Meter<1>>,
}

impl<'a> Watch<'a> {
    fn new(served: Option<&'a Served>, backlogs: &'a Backlogs, idle: [f64; 3]) -> Self {
        Watch {
            served,
            backlogs,
            idle,
            rss_idle: served.map_or(0.0, |served| served.process().rss()),
            rss: 0.0,
            sockets: [0; 3],
            threads: 0.0,
            oldest: [0.0; 3],
            scraped: Instant::now(),
            begun: None,
            ended: None,
        }
    }

    fn own(&self) -> Option<Process> {
        self.served.map(Served::process)
    }

    async fn page(&self) -> String {
        match self.served {
            Some(served) => served.page().await,
            None => String::new(),
        }
    }

    async fn begin(&mut self) {
        self.begun = Some(Snapshot {
            page: self.page().await,
            requests: self.backlogs.requests().await,
            servers: Meter::start(self.backlogs.processes()),
            own: self.own().map(|own| Meter::start([own])),
            at: Instant::now(),
        });
        self.scraped = Instant::now();
        self.rss = 0.0;
    }

    /// Once a second. Memory counts from the beginning of the measured time, and at its end anew.
    async fn look(&mut self) {
        let (Some(served), Some(_)) = (self.served, &self.begun) else {
            return;
        };
        self.rss = self.rss.max(served.process().rss());
        if self.ended.is_some() || self.scraped.elapsed() < SCRAPE {
            return;
        }
        self.scraped = Instant::now();
        self.threads = self.threads.max(served.process().threads());
        for (most, port) in self.sockets.iter_mut().zip(self.backlogs.ports()) {
            *most = served.process().sockets_to(port).max(*most);
        }
        let page = served.page().await;
        for (oldest, backend) in self.oldest.iter_mut().zip(BACKENDS) {
            *oldest = oldest.max(largest_age(&page, backend));
        }
    }

    async fn end(&mut self) {
        let Some(begun) = self.begun.as_ref() else {
            return;
        };
        let server_cpu = begun.servers.used();
        let cpu = begun
            .own
            .as_ref()
            .map_or(Duration::ZERO, |own| own.used()[0]);
        let wall = begun.at.elapsed();
        let requests = self.backlogs.requests().await;
        let (before, first) = (begun.requests, begun.page.clone());
        let page = self.page().await;
        let scrape = match self.served {
            Some(served) => Some(scrape(served).await),
            None => None,
        };
        self.ended = Some(Ended {
            wall,
            server_cpu,
            cpu,
            requests,
            before,
            pages: [first, page],
            rss: std::mem::take(&mut self.rss),
            scrape,
            flat_out: self.own().map(|own| Meter::start([own])),
        });
    }

    fn measured(self, report: Box<Report>) -> Result<Measured, String> {
        let ended = self.ended.ok_or("the report came before its time")?;
        let more = |name, backend| {
            let [first, last] = &ended.pages;
            of_connection(last, name, backend) - of_connection(first, name, backend)
        };
        let each = |name| BACKENDS.map(|backend| more(name, backend));
        let ours = ended.scrape.map(|scrape| {
            let (queries, ahead) = (each(QUERIES), each(AHEAD));
            Ours {
                cpu: ended.cpu,
                rss_idle: self.rss_idle,
                rss: ended.rss,
                rss_flat_out: self.rss,
                threads: self.threads,
                sockets: self.sockets,
                cpu_flat_out: ended
                    .flat_out
                    .as_ref()
                    .map_or(Duration::ZERO, |own| own.used()[0]),
                reads: each(READS),
                // A call that found no fresh sample had its query read.
                fresh: std::array::from_fn(|i| {
                    let calls = report.groups[i].sample_calls();
                    1.0 - (queries[i] - ahead[i]) / calls.max(1.0)
                }),
                stale: each(STALE),
                oldest: self.oldest,
                scrape,
            }
        });
        let kafka = ours.as_ref().map(|ours| ours.reads[1]);
        let wall = ended.wall.as_secs_f64();
        let above_idle = |i: usize| ended.server_cpu[i].as_secs_f64() - self.idle[i] * wall;
        Ok(Measured {
            wall: ended.wall,
            server_cpu_above_idle: std::array::from_fn(above_idle),
            server_cpu: ended.server_cpu,
            requests: [
                Some(ended.requests.redis - ended.before.redis),
                kafka,
                Some(ended.requests.frontend - ended.before.frontend),
            ],
            matching: ended.requests.matching - ended.before.matching,
            report,
            ours,
        })
    }
}

async fn scrape(served: &Served) -> Scrape {
    const TIMES: u32 = 3;
    let meter = Meter::start([served.process()]);
    let started = Instant::now();
    let mut page = String::new();
    for _ in 0..TIMES {
        page = served.page().await;
    }
    Scrape {
        took: started.elapsed() / TIMES,
        cpu: meter.used()[0] / TIMES,
        bytes: page.len(),
        lines: page.lines().count(),
    }
}

/// The sum of a figure over the connections of a backend. Their label begins with its name.
fn of_connection(page: &str, name: &str, backend: &str) -> f64 {
    let mark = format!("connection=\"{backend} ");
    let lines = page.lines().filter(|line| line.contains(&mark));
    figure(&lines.collect::<Vec<_>>().join("\n"), name)
}

/// In seconds.
fn largest_age(page: &str, backend: &str) -> f64 {
    let mark = format!("backend=\"{backend}\"");
    let lines = page
        .lines()
        .filter(|line| line.starts_with(AGE) && line.contains(&mark));
    let ages = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    ages.fold(0.0, f64::max)
}
