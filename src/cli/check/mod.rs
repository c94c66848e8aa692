//! `check`: mistakes in manifests and settings, before a cluster sees them.

mod annotations;
mod live;
mod page;
mod report;
mod sarif;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};

pub use self::report::summary;
use self::{
    live::{Inputs, Live, Stage},
    report::Report,
};
use super::{
    environment,
    probe::{self, Wanted},
    runtime, to_json, to_stdout,
};
use crate::{
    check::{Checker, Finding, is_settings},
    error::{Error, Kind, Result},
    manifests::{File, Found},
    settings::{self, Settings},
};

/// Find mistakes in ScaledObjects, ScaledJobs and settings, without a cluster.
///
/// Reads manifests (YAML or JSON, any number of documents, lists as kubectl writes them) from files,
/// from folders and all below them, and from stdin; and files that look like the server's settings.
/// Errors are what Kubernetes, KEDA or the server would refuse; warnings are accepted, but probably not
/// what you want. Every code is explained in docs/reference/checks.md:
///
///   backlog-scaler check deploy/
///
///   helm template chart | backlog-scaler check -
///
/// Helm templates in folders are skipped, with a note.
///
/// What depends on the server's settings (named connections, TLS, TriggerAuthentications) is checked
/// with --config. Values from variables (keys that end in FromEnv) are not checked.
///
/// With --live it then follows the path of KEDA's calls, and prints a fix for each step that fails: the
/// server's name, connection, TLS and health, the settings, the login to each backend, the value of each
/// trigger. If no server can be reached, this process evaluates the triggers itself:
///
///   backlog-scaler check orders.yaml --live --address 127.0.0.1:9090
///
/// With --live --cluster it also reads the objects in the cluster, as kubectl would: whether each is applied
/// as in the file, KEDA's conditions, failures that count towards a fallback, the HPA's conditions, metrics
/// and replicas. Objects without a namespace are in that of -n, or of the kubeconfig's context. Without
/// files it checks what is in the cluster: the objects named NAME, scaledobject/NAME or scaledjob/NAME, else
/// all in the namespace, or with -A in all. TriggerAuthentications and variables are read as by
/// `probe --cluster`:
///
///   backlog-scaler check --live --cluster -n shop orders
///
/// JSON: {"files", "errors", "warnings", "findings": [{code, severity, file, line, column, endLine,
/// endColumn, object, key, message, fix}], "stages": [{section, status (passed, warning or failed),
/// what, reason, fix}]}.
///
/// Exit codes: 0 no error, 1 errors or a failed step (with --strict also warnings), 2 bad arguments, or a file
/// that cannot be read.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Check {
    /// Files and folders; `-` reads from stdin. With --cluster also names of objects: NAME, scaledobject/NAME or
    /// scaledjob/NAME.
    #[arg(value_name = "FILE|NAME", required_unless_present_any = ["config", "codes", "cluster"])]
    files: Vec<PathBuf>,

    /// The settings of the server that the triggers are for; they are checked as well.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Warnings also give exit code 1, like errors.
    #[arg(long)]
    strict: bool,

    /// Text for people, JSON for programs, GitHub workflow commands, or SARIF 2.1.0.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,

    #[command(flatten)]
    live: Live,

    /// Explain every code, in Markdown.
    #[arg(long, conflicts_with_all = ["files", "config", "strict"])]
    codes: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Output {
    Text,
    Json,
    Github,
    Sarif,
}

impl Check {
    /// Reads, checks and prints. `Ok` is the exit code.
    pub fn run(self) -> Result<ExitCode> {
        if self.codes {
            to_stdout(&page::markdown())?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.live.is_wanted() && !matches!(self.output, Output::Text | Output::Json) {
            let what = "--output: with --live, it is text or json";
            return Err(Error::new(Kind::Invalid, what, ""));
        }
        let config: Vec<PathBuf> = self.config.iter().cloned().collect();
        let config = probe::files(&config)?;
        let (paths, names) = self.live.split(&self.files)?;
        let files = probe::files(&paths)?;
        let report = runtime()?.block_on(self.report(config, files, &names))?;
        to_stdout(&match self.output {
            Output::Text => report.text(),
            Output::Json => to_json(&report.json())?,
            Output::Github => annotations::of(&report),
            Output::Sarif => to_json(&sarif::of(&report))?,
        })?;
        Ok(match report.fails(self.strict) {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }

    async fn report(
        &self,
        config: Vec<(File, bool)>,
        mut files: Vec<(File, bool)>,
        names: &[Wanted],
    ) -> Result<Report> {
        if !self.live.is_wanted() {
            let findings = findings(&config, &files)?;
            if config.is_empty() && findings.is_empty() && !files.iter().any(holds_something) {
                return Err(nothing());
            }
            return Ok(Report::new(
                files.len() + config.len(),
                findings,
                Vec::new(),
            ));
        }
        let source = self.live.open(self.config.as_ref()).await?;
        let (inputs, noun) = match &source {
            Some(source) if files.is_empty() => {
                let (inputs, texts) = Inputs::of_cluster(source, names).await?;
                files = texts;
                (inputs, "object")
            }
            source => (Inputs::of_files(&files, source.as_ref())?, "file"),
        };
        let findings = findings(&config, &files)?;
        let stages: Vec<Stage> = self.live.run(inputs, self.config.as_ref()).await?;
        let number = files.len() + config.len();
        Ok(Report {
            noun,
            ..Report::new(number, findings, stages)
        })
    }
}

/// Everything that is found. Must be called within a tokio runtime.
fn findings(config: &[(File, bool)], files: &[(File, bool)]) -> Result<Vec<Finding>> {
    let settings = config.first().map(|(file, _)| file);
    let checker = match settings.and_then(readable) {
        Some(settings) => Checker::of(&settings).or_else(|_| Checker::new())?,
        None => Checker::new()?,
    };
    let mut findings: Vec<Finding> = Vec::new();
    for (file, _) in config {
        findings.extend(checker.check_settings(file));
    }
    for (file, in_folder) in files {
        findings.extend(checker.check(file, *in_folder));
    }
    Ok(findings)
}

/// Whether there is something to check in a file.
fn holds_something((file, _): &(File, bool)) -> bool {
    is_settings(file) || !Found::of(file).objects.is_empty()
}

/// As with `kubectl apply`: most likely the command before this one printed nothing.
fn nothing() -> Error {
    let what = "no ScaledObject, ScaledJob or settings to check";
    let next = "Did the command that writes the manifests fail, or is this another folder?";
    Error::new(Kind::Invalid, what, next)
}

/// Settings that can be read; what is wrong with others are findings.
fn readable(file: &File) -> Option<Settings> {
    settings::load_text(Some((file.name(), file.text())), environment()).ok()
}
