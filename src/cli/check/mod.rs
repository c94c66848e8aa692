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
    live::{Live, Stage},
    report::Report,
};
use super::{environment, probe, runtime, to_json, to_stdout};
use crate::{
    check::{Checker, Finding},
    error::{Error, Kind, Result},
    manifests::File,
    settings::{self, Settings},
};

/// Find mistakes in ScaledObjects, ScaledJobs and settings, without a cluster.
///
/// Reads manifests (YAML or JSON, any number of documents, lists as kubectl writes them) from files,
/// from folders and all below them, and from stdin; and the server's settings, where a file looks like
/// them. Errors are what Kubernetes, KEDA or the server would refuse; warnings what works otherwise than
/// one would expect. Every code is explained in docs/reference/checks.md:
///
///   backlog-scaler check deploy/
///
///   helm template chart | backlog-scaler check -
///
/// What depends on the server's settings (named connections, TLS, TriggerAuthentications) is checked
/// with --config. Values that variables have (keys that end in FromEnv) are not judged.
///
/// With --live it then goes the way of KEDA's calls, and says at each step what mends it: name,
/// connection, TLS and health of the server, the settings, the login to each backend, the value of each
/// trigger. Without a server that can be called, this process evaluates:
///
///   backlog-scaler check orders.yaml --live --address 127.0.0.1:9090
///
/// JSON: {"files", "errors", "warnings", "findings": [{code, severity, file, line, column, endLine,
/// endColumn, object, key, message, fix}], "stages": [{section, status (passed, warning or failed),
/// what, reason, fix}]}.
///
/// Exit codes: 0 no error, 1 errors or a failed step (with --strict: or warnings), 2 bad arguments, or a file that
/// cannot be read.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Check {
    /// Files and folders; `-` reads from stdin.
    #[arg(value_name = "FILE", required_unless_present_any = ["config", "codes"])]
    files: Vec<PathBuf>,

    /// The settings of the server that the triggers are for; they are checked as well.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Warnings end with exit code 1 as errors do.
    #[arg(long)]
    strict: bool,

    /// Text for people, JSON for programs, workflow commands of GitHub, or SARIF 2.1.0.
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
        let files = probe::files(&self.files)?;
        let (findings, stages) = runtime()?.block_on(async {
            let findings = findings(&config, &files)?;
            let stages = self.stages(&files).await?;
            Ok::<_, Error>((findings, stages))
        })?;
        let report = Report::new(files.len() + config.len(), findings, stages);
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

    async fn stages(&self, files: &[(File, bool)]) -> Result<Vec<Stage>> {
        match self.live.is_wanted() {
            true => {
                self.live
                    .run(probe::objects(files), self.config.as_ref())
                    .await
            }
            false => Ok(Vec::new()),
        }
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

/// Settings that can be read; what is wrong with others are findings.
fn readable(file: &File) -> Option<Settings> {
    settings::load_text(Some((file.name(), file.text())), environment()).ok()
}
