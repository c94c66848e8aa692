//! `probe`: what KEDA would get for ScaledObjects, without KEDA.

mod cluster;
mod hosts;
mod manifest;
mod metadata;
mod offline;
mod print;
mod replicas;
mod report;
#[cfg(test)]
mod tests;
mod watch;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::{
    cluster::Cluster,
    report::{ObjectReport, Report},
    watch::Watch,
};
pub use self::{
    cluster::{Found, Place, Source, Wanted, parse_names, parse_with_kind},
    hosts::{Map, from_here, service_of},
    manifest::{Manifests, Object, is_external},
};
use super::{
    EXIT_BAD_CONFIGURATION, environment, registry, runtime, to_json, to_stderr, to_stdout,
};
use crate::{
    error::Result,
    keda::{
        Service, Streams,
        client::{Address, Scaler, TriggerResult},
    },
    manifests::{File, Input, collect, notes_on_charts},
    metadata::TriggerRef,
    sampling::Engine,
    server,
    settings::{self, Settings},
    telemetry::{Telemetry, logs},
};

/// Evaluate the triggers of ScaledObjects and ScaledJobs as KEDA would, and show the results.
///
/// Reads manifests (YAML or JSON, any number of documents, lists as kubectl writes them) and
/// evaluates every trigger of type external or external-push; others are shown as "not ours". The
/// results come from this process, which connects to the backends itself, or with --address from
/// a running server:
///
///   backlog-scaler probe orders.yaml
///
///   kubectl get scaledobjects,scaledjobs -A -o yaml | backlog-scaler probe - --address 127.0.0.1:9090
///
/// What `check` finds in the manifests goes to stderr. From a laptop, --map maps cluster names to
/// port-forwards:
///
///   kubectl -n shop port-forward service/redis 16379:6379
///
///   backlog-scaler probe orders.yaml --map redis.shop.svc:6379=127.0.0.1:16379
///
/// With --cluster the objects come from the Kubernetes API, with kubectl's configuration: from the
/// namespace of the kubeconfig's context, from that of -n, or with -A from all; either all objects or
/// those that you name as NAME, scaledobject/NAME or scaledjob/NAME. TriggerAuthentications are read
/// as by a server with kubernetes.enabled; with --address, that server reads them:
///
///   backlog-scaler probe --cluster -n shop orders
///
/// Keys that end in FromEnv are resolved from this process's environment; with --cluster from the
/// scaled container's, as KEDA does.
///
/// REPLICAS is the number that the values lead to if they do not change. ScaledObject: ceil(value / target)
/// between minReplicaCount (at least 1) and maxReplicaCount (100 if not given); an object without
/// an active trigger goes to idleReplicaCount, or to 0 if that is its minimum. The largest trigger
/// wins; "≥" means that a trigger which is not evaluated here may want more. ScaledJob: the jobs of
/// KEDA's default strategy, ceil(value / target) of active triggers within the same limits. Not
/// included is what depends on the current replicas and on the past: the HPA's tolerance of 10 %,
/// metricType Value, cooldown, stabilization windows and scaling policies.
///
/// JSON: {"objects": [{kind, namespace, name, minReplicas, maxReplicas, idleReplicas, replicas,
/// replicasAtLeast, replicasNote, "triggers": [{index, name, type, backend, status (ok, stale,
/// error or notOurs), metricName, metricType, value, target, active, replicas, replicasNote,
/// sampleAgeMs, staleBecause, rawValue, shapedBy, "error": {code, message}, hint}]}]}. Every field
/// is always present; unknown ones are null.
///
/// Exit codes: 0 every trigger has a value, 1 one failed, the cluster cannot be read, or `check` finds an
/// error in files (with --strict also a warning), 2 bad arguments, manifests or kubeconfig.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Probe {
    /// Manifest files, folders with manifests, or `-` for stdin; with --cluster, names of objects.
    #[arg(value_name = "FILE|NAME", required_unless_present = "cluster")]
    what: Vec<PathBuf>,

    #[command(flatten)]
    cluster: Cluster,

    /// Call the server at host:port or unix:/path, in plain text, instead of this process.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    address: Option<Address>,

    /// The server's settings, for its named connections.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A table for people, or JSON for programs.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    map: Map,

    #[command(flatten)]
    watch: Watch,

    /// Warnings about the manifests also give exit code 1, like errors.
    #[arg(long)]
    strict: bool,

    /// Log what happens to stderr.
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

impl Probe {
    /// Reads, evaluates and prints. `Ok` is the exit code; an error of one trigger is part of the print.
    pub fn run(self) -> Result<ExitCode> {
        if self.verbose {
            // The filter is ours and valid.
            let _ = logs::start(logs::Format::Text, "backlog_scaler=debug,warn");
        }
        let outcome = match self.cluster.is_given() {
            true => Some(runtime()?.block_on(self.cluster.probe(&self))?),
            false => self.probe_files()?,
        };
        Ok(match outcome {
            None => ExitCode::from(EXIT_BAD_CONFIGURATION),
            Some(true) => ExitCode::SUCCESS,
            Some(false) => ExitCode::FAILURE,
        })
    }

    /// Whether every trigger has a value, and nothing else is wrong. `None`: not all of the manifests can
    /// be read, and it was said why.
    fn probe_files(&self) -> Result<Option<bool>> {
        let files = files(&self.what)?;
        let (objects, is_whole) = read(&files);
        if objects.is_empty() {
            return Ok(None);
        }
        runtime()?.block_on(async {
            let settings = match &self.address {
                Some(_) => None,
                None => Some(self.settings()?),
            };
            let is_sound = offline::check(&files, self.known(&settings), self.strict)?;
            let scaler = match (&self.address, &settings) {
                (Some(address), _) => Scaler::connect(address).await?,
                (None, settings) => {
                    in_process(settings.as_ref().unwrap_or(&Settings::default()), &self.map)?
                }
            };
            let report = self.evaluate(&scaler, &objects).await?;
            Ok(is_whole.then(|| is_sound && self.passes(&report)))
        })
    }

    fn passes(&self, report: &Report) -> bool {
        !(report.has_failures() || self.strict && report.has_warnings())
    }

    /// Settings that were given: those of the server that the triggers are for.
    fn known<'a>(&self, settings: &'a Option<Settings>) -> Option<&'a Settings> {
        settings.as_ref().filter(|_| self.config.is_some())
    }

    /// Evaluates and prints: once, or with `--watch` until it is stopped.
    async fn evaluate(&self, scaler: &Scaler, objects: &[Object]) -> Result<Report> {
        if self.watch.is_wanted() {
            return self.watch.run(scaler, objects).await;
        }
        let mut report = probe(scaler, objects.to_vec()).await;
        if self.address.is_none() {
            hosts::hint(&mut report, objects, &self.map).await;
        }
        to_stdout(&match self.output {
            Output::Table => print::text(&report),
            Output::Json => to_json(&report)?,
        })?;
        Ok(report)
    }

    fn settings(&self) -> Result<Settings> {
        settings::load(self.config.as_deref(), environment())
    }
}

/// The files, each with whether it was found in a folder. Templates of Helm charts in folders are left
/// out, which stderr says.
pub fn files(paths: &[PathBuf]) -> Result<Vec<(File, bool)>> {
    let (templates, inputs): (Vec<_>, Vec<_>) =
        collect(paths)?.into_iter().partition(Input::is_template);
    for note in notes_on_charts(&templates) {
        to_stderr("note", note);
    }
    Ok(inputs
        .into_iter()
        .map(|input| (File::new(input.name, input.text), input.in_folder))
        .collect())
}

/// The objects of files that can be read, and whether those are all; stderr has notes and what is wrong.
pub fn read(files: &[(File, bool)]) -> (Vec<Object>, bool) {
    said(manifests(files, None))
}

/// What files hold, for commands that say themselves what is wrong with it. `namespace` is that of
/// objects that name none.
pub fn manifests(files: &[(File, bool)], namespace: Option<&str>) -> Manifests {
    let env = |name: &str| std::env::var(name).ok();
    manifest::read_all(files, &env, namespace)
}

/// The objects, and whether those are all, after the rest was written to stderr.
fn said(manifests: Manifests) -> (Vec<Object>, bool) {
    let Manifests {
        objects,
        notes,
        problems,
    } = manifests;
    let is_whole = problems.is_empty();
    notes.into_iter().for_each(|note| to_stderr("note", note));
    let problems = problems.into_iter();
    problems.for_each(|problem| to_stderr("error", problem));
    (objects, is_whole)
}

/// The scaler within this process. Must be called within a tokio runtime.
pub fn in_process(settings: &Settings, map: &Map) -> Result<Scaler> {
    let telemetry = Telemetry::default();
    let engine = server::engine_through(settings, &telemetry, &map.hosts())?;
    Ok(of_engine(engine, telemetry))
}

/// The same, of an engine.
fn of_engine(engine: Arc<Engine>, telemetry: Telemetry) -> Scaler {
    let streams = Streams {
        shutdown: CancellationToken::new(),
        max_age: Duration::ZERO,
    };
    Scaler::in_process(Service::new(engine, telemetry, streams))
}

/// How many triggers are queried at once. A server's HTTP/2 takes several thousand small
/// requests that come at once on one connection for an attack, and closes it.
const AT_ONCE: usize = 1000;

/// Queries all triggers at once, as so many HPAs would.
async fn probe(scaler: &Scaler, objects: Vec<Object>) -> Report {
    let turns = Semaphore::new(AT_ONCE);
    let registry = registry();
    let backends: Vec<_> = registry.names().collect();
    let reports = objects.into_iter().map(async |object| {
        let results = object.triggers.iter().map(async |trigger| {
            if !is_external(&trigger.trigger_type) {
                return None;
            }
            if let Some(error) = &trigger.failed {
                return Some(TriggerResult::refused(error.clone()));
            }
            let request = TriggerRef {
                name: object.name.clone(),
                namespace: object.namespace.clone(),
                metadata: trigger.metadata.clone(),
            };
            // Never closed, so never an error.
            let _turn = turns.acquire().await;
            Some(scaler.call(request).await)
        });
        let results = join_all(results).await;
        ObjectReport::new(object, results, &backends)
    });
    Report {
        objects: join_all(reports).await,
    }
}
