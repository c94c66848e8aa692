//! A system of `deploy/examples/NAME` on one machine: the real backend and the real scaler, workers as
//! processes, and in place of the cluster [`Autoscaler`]: what KEDA's loop and the HPA decide with the
//! directory's own ScaledObjects. `make example NAME=…` runs it, and so do tests.
//!
//! The directory's `local.yaml` says what stands for the cluster here; see [`local::Local`].

pub mod load;
pub mod load_test;
pub mod local;
pub mod manifests;
mod pool;
mod product;
mod scaled;
mod screen;
mod servers;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use load::{Counts, Load};
use local::Local;
use manifests::System;
use product::Product;
use scaled::Scaled;
use screen::Screen;
use servers::Server;

/// What went wrong, for a person.
pub type Result<T> = std::result::Result<T, String>;

/// How to run an example. `None`: as its `local.yaml` says.
pub struct Options {
    /// `deploy/examples/NAME`.
    pub directory: PathBuf,
    /// The scaler's program.
    pub program: PathBuf,
    /// The Python that has the client library of the workers.
    pub python: PathBuf,
    /// Items of work in a second.
    pub rate: Option<f64>,
    /// For how long work comes.
    pub seconds: Option<u64>,
    /// How many times as fast as here the clock of KEDA and the HPA goes.
    pub speed: Option<f64>,
    /// Of one Deployment at most.
    pub max_workers: Option<u32>,
    /// Whether what happens is printed.
    pub shown: bool,
}

/// What a run comes to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Items of work that were put in.
    pub put: u64,
    /// Those that were done.
    pub done: u64,
    /// Those that wait at the end, or are not finished.
    pub waiting: u64,
    /// Those that are neither done nor waiting. Must be 0.
    pub lost: u64,
    /// Workers that did not stop within their grace period.
    pub killed: u32,
    /// Workers that ended by themselves.
    pub crashed: u32,
    /// Of each ScaledObject its name, and its replicas at the start, at most and at the end.
    pub replicas: Vec<(String, [u32; 3])>,
    /// How long it ran.
    pub took: Duration,
}

/// How often it is looked at what is due.
const TICK: Duration = Duration::from_millis(200);
/// How long the rest of the work may take, once no more comes.
const DRAIN: Duration = Duration::from_secs(300);
/// How long it is waited for, at most, that the replicas go down again.
const DOWN: Duration = Duration::from_secs(120);
/// How long counts of a backend may need to become right: Temporal's visibility lags.
const SETTLE: Duration = Duration::from_secs(20);

/// Runs an example until its work is done and its replicas went down again, or until `interrupted`.
/// On return everything that it started has ended.
pub async fn run(options: Options, interrupted: impl Future<Output = ()>) -> Result<Summary> {
    let mut local = Local::read(&options.directory)?;
    local.override_by(&options);
    let mut screen = Screen::new(options.shown);
    screen.say(&format!("starting {} for real, on loopback", local.server));
    let server = Server::start(&local).await?;
    let system = System::read(&options.directory, &local, &server.address())?;
    let product = Product::start(&options.program, &local)?;
    screen.say(&format!(
        "{} listens on {}; its numbers: curl -s {}/metrics | grep trigger_",
        local.server,
        server.address(),
        product.admin
    ));
    let mut run = Run {
        begun: Instant::now(),
        scaled: Vec::new(),
        load: None,
        product,
        speed: local.speed,
    };
    for note in &system.notes {
        screen.say(note);
    }
    screen.say(&local.introduction());
    for object in system.objects {
        let scaled = Scaled::start(object, &options, &local, &run.product.address).await?;
        run.scaled.push(scaled);
    }
    run.load = Some(Load::start(&options, &local, &server.address())?);
    tokio::select! {
        ended = run.until_done(&mut screen) => ended?,
        () = interrupted => screen.say("stopping: workers finish what they have in hand"),
    }
    let summary = run.end().await?;
    screen.say(&summary.to_string());
    Ok(summary)
}

struct Run {
    begun: Instant,
    scaled: Vec<Scaled>,
    load: Option<Load>,
    product: Product,
    speed: f64,
}

impl Run {
    /// Until all work is done, and the replicas are again what they were without any.
    async fn until_done(&mut self, screen: &mut Screen) -> Result<()> {
        let (mut no_more_work, mut drained): (Option<Instant>, Option<Instant>) = (None, None);
        loop {
            self.tick().await?;
            let counts = self.counts()?;
            screen.show(self.begun.elapsed(), &self.scaled, counts);
            if counts.ended && no_more_work.is_none() {
                screen.say("no more work comes");
                no_more_work = Some(Instant::now());
            }
            let is_done = counts.ended && counts.done >= counts.put;
            if is_done && drained.is_none() {
                screen.say("all work is done; now the replicas go down again");
                drained = Some(Instant::now());
            }
            if drained.is_some() && self.scaled.iter().all(Scaled::is_at_rest) {
                return Ok(());
            }
            if drained.is_some_and(|since| since.elapsed() > DOWN) {
                screen.say("not waiting longer for the replicas to go down");
                return Ok(());
            }
            let late = no_more_work.is_some_and(|since| since.elapsed() > DRAIN);
            if late && drained.is_none() {
                screen.say("the rest of the work takes too long");
                return Ok(());
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn tick(&mut self) -> Result<()> {
        self.product.must_run()?;
        let now = self.begun.elapsed().mul_f64(self.speed);
        let ticks = self.scaled.iter_mut().map(|scaled| scaled.tick(now));
        for ticked in join_all(ticks).await {
            ticked?;
        }
        Ok(())
    }

    fn counts(&mut self) -> Result<Counts> {
        match &mut self.load {
            Some(load) => load.counts(),
            None => Ok(Counts::default()),
        }
    }

    /// Stops the workers as Kubernetes does, and counts what became of the work.
    async fn end(mut self) -> Result<Summary> {
        if let Some(load) = &mut self.load {
            load.put_no_more();
        }
        let stops = self.scaled.iter_mut().map(Scaled::stop);
        join_all(stops).await;
        let begun = Instant::now();
        let mut counts = self.counts()?;
        while counts.put > counts.done + counts.waiting && begun.elapsed() < SETTLE {
            tokio::time::sleep(TICK).await;
            counts = self.counts()?;
        }
        let Counts {
            put, done, waiting, ..
        } = counts;
        let pools = || self.scaled.iter().map(|scaled| &scaled.pool);
        Ok(Summary {
            put,
            done,
            waiting,
            lost: put.saturating_sub(done + waiting),
            killed: pools().map(|pool| pool.killed).sum(),
            crashed: pools().map(|pool| pool.crashed).sum(),
            replicas: self.scaled.iter().map(Scaled::summary).collect(),
            took: self.begun.elapsed(),
        })
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary {
            put,
            done,
            waiting,
            lost,
            killed,
            crashed,
            replicas,
            took,
        } = self;
        writeln!(f, "after {} s:", took.as_secs())?;
        writeln!(
            f,
            "  work: {put} put in, {done} done, {waiting} waiting, {lost} lost"
        )?;
        for (name, [first, most, last]) in replicas {
            writeln!(
                f,
                "  {name}: {first} replicas at the start, {most} at most, {last} at the end"
            )?;
        }
        write!(
            f,
            "  workers: {killed} killed after their grace period, {crashed} crashed"
        )
    }
}
