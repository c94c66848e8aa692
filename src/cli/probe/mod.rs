//! `probe`: what KEDA would get for ScaledObjects, without KEDA.

mod cluster;
mod crd;
mod documents;
mod manifest;
mod metadata;
mod print;
mod replicas;
mod report;
#[cfg(test)]
mod tests;

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::{
    cluster::{Cluster, Evaluated},
    manifest::{Manifests, Object, is_external},
    report::{ObjectReport, Report},
};
use super::{
    EXIT_BAD_CONFIGURATION, environment, registry, runtime, to_json, to_stderr, to_stdout,
};
use crate::{
    error::{Error, Kind, Result},
    keda::{
        Service, Streams,
        client::{Address, Scaler, TriggerResult},
    },
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
/// With --cluster the objects come from the Kubernetes API, as kubectl reads it: of the namespace of
/// the kubeconfig's context, of -n, or of all with -A; all of them or those that are named, as NAME,
/// scaledobject/NAME or scaledjob/NAME. TriggerAuthentications are read as by a server with
/// kubernetes.enabled; with --address they are that server's business:
///
///   backlog-scaler probe --cluster -n shop orders
///
/// Keys that end in FromEnv are resolved from this process's environment; with --cluster from the
/// scaled container's, as KEDA does.
///
/// REPLICAS is where the values lead if they stay as they are. ScaledObject: ceil(value / target)
/// between minReplicaCount (at least 1) and maxReplicaCount (100 if not given); an object without
/// an active trigger goes to idleReplicaCount, or to 0 if that is its minimum. The largest trigger
/// wins; "≥" marks that a trigger which is not known here may want more. ScaledJob: the jobs of
/// KEDA's default strategy, ceil(value / target) of active triggers between the same bounds. Left
/// out is what depends on the replicas that run now and on the past: the HPA's tolerance of 10 %,
/// metricType Value, cooldown, stabilization windows and scaling policies.
///
/// JSON: {"objects": [{kind, namespace, name, minReplicas, maxReplicas, idleReplicas, replicas,
/// replicasAtLeast, replicasNote, "triggers": [{index, name, type, backend, status (ok, stale,
/// error or notOurs), metricName, metricType, value, target, active, replicas, replicasNote,
/// sampleAgeMs, staleBecause, rawValue, shapedBy, "error": {code, message}, hint}]}]}. Every field
/// is always there; what is not known is null.
///
/// Exit codes: 0 every trigger has a value, 1 one failed or the cluster cannot be read, 2 bad
/// arguments, manifests or kubeconfig.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Probe {
    /// A file of manifests, `-` for stdin; with --cluster, names of objects.
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
        let evaluated = match self.cluster.is_given() {
            true => Some(runtime()?.block_on(self.cluster.probe(&self))?),
            false => self.probe_file()?,
        };
        let Some(Evaluated { report, is_whole }) = evaluated else {
            return Ok(ExitCode::from(EXIT_BAD_CONFIGURATION));
        };
        to_stdout(&match self.output {
            Output::Table => print::text(&report),
            Output::Json => to_json(&report)?,
        })?;
        Ok(match report.has_failures() || !is_whole {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }

    /// `None`: the manifests are wrong, and it was said why.
    fn probe_file(&self) -> Result<Option<Evaluated>> {
        let env = |name: &str| std::env::var(name).ok();
        let file = self.file()?;
        let name = match reads_stdin(file) {
            true => "stdin".to_owned(),
            false => file.display().to_string(),
        };
        let Manifests { objects, notes } = match manifest::read(&name, &text(file, &name)?, &env) {
            Ok(manifests) => manifests,
            Err(problems) => {
                problems
                    .into_iter()
                    .for_each(|problem| to_stderr("error", problem));
                return Ok(None);
            }
        };
        notes.into_iter().for_each(|note| to_stderr("note", note));
        let report = runtime()?.block_on(async {
            let scaler = match &self.address {
                Some(address) => Scaler::connect(address).await?,
                None => {
                    let settings = self.settings()?;
                    let telemetry = Telemetry::default();
                    let engine = server::engine(&settings, &telemetry)?;
                    in_process(engine, telemetry)
                }
            };
            Ok::<_, Error>(probe(&scaler, objects).await)
        })?;
        Ok(Some(Evaluated {
            report,
            is_whole: true,
        }))
    }

    fn file(&self) -> Result<&Path> {
        match self.what.as_slice() {
            [file] => Ok(file),
            _ => Err(Error::new(
                Kind::Invalid,
                "FILE: more than one is given",
                "Concatenate them, with --- between, and read stdin: `probe -`. Names of objects in a \
                 cluster need --cluster.",
            )),
        }
    }

    fn settings(&self) -> Result<Settings> {
        settings::load(self.config.as_deref(), environment())
    }
}

fn reads_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn text(file: &Path, name: &str) -> Result<String> {
    let mut text = String::new();
    let read = match reads_stdin(file) {
        true => std::io::stdin().read_to_string(&mut text).map(|_| text),
        false => std::fs::read_to_string(file),
    };
    read.map_err(|error| Error::new(Kind::Invalid, format!("cannot read {name}: {error}"), ""))
}

/// The scaler within this process. Must be called within a tokio runtime.
fn in_process(engine: Arc<Engine>, telemetry: Telemetry) -> Scaler {
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
