//! `migrate`: KEDA's own triggers as external ones, in the files that they are in.

mod authentications;
mod connections;
mod credentials;
mod edit;
mod existing;
mod figures;
mod fleet;
mod kedas_keys;
mod plan;
mod report;
mod rewrite;
mod server;
mod site;
#[cfg(test)]
mod tests;
mod verify;
mod written;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};

use self::{
    authentications::Authentications,
    report::Counts,
    rewrite::{Migration, Migrator, Moved, Options},
};
use super::{
    EXIT_BAD_CONFIGURATION, environment, output, registry, runtime, to_json, to_stderr, to_stdout,
};
use crate::{
    check::Checker,
    error::{Error, Kind, Result},
    manifests::{Cause, File, Found, Input, collect, notes_on_charts},
    sampling::TypeKeys,
    settings,
};

/// Move KEDA's own redis, kafka and temporal triggers to this scaler.
///
/// Reads manifests (YAML or JSON, any number of documents, lists as kubectl writes them) from files,
/// from folders and all below them, and from stdin. The type of each trigger that can move becomes
/// external, and its metadata gets scalerAddress and backend; everything else in the file stays as it is
/// written. Keys that KEDA's scaler ignored are removed, because here they would be errors or take effect.
/// Prints the changed files (from folders, only those that change), and reports to stderr what became of
/// each key:
///
///   backlog-scaler migrate orders.yaml > moved.yaml
///
///   backlog-scaler migrate deploy/ --diff
///
///   backlog-scaler migrate deploy/ --in-place
///
/// A TriggerAuthentication stays as it is; the server reads it if kubernetes.enabled is set. Include its
/// file, so that it is checked too. With --kubernetes=off, named connections replace it, and their settings
/// are printed. With --config, existing connections are used, and only missing ones are printed:
///
///   backlog-scaler migrate deploy/ --config settings.yaml --diff
///
/// A moved trigger is checked as the server would parse it (see check). A trigger that it would refuse stays
/// as it was, and the report says why.
///
/// What a whole cluster would save, and which triggers would share a connection:
///
///   kubectl get scaledobjects,scaledjobs,triggerauthentications,clustertriggerauthentications -A -o yaml
///     | backlog-scaler migrate - --report
///
/// JSON: {"moved", "cannotMove", "others", "settings", "files": [{file, changed, text, "triggers":
/// [{object, index, line, column, backend, moved, connection, beside, notes, "keys": [{key, becomes (same,
/// differs, renamed, removed or connection), newKey, newValue, why}], "refused": [{line, column,
/// why}]}]}]}; "text" is the new text, with --diff the changes, with --in-place null.
///
/// Exit codes: 0 all moved, 1 some cannot move, 2 bad arguments, or a file that cannot be read or
/// written.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Migrate {
    /// Files and folders; `-` reads from stdin.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Overwrite the files instead of printing them.
    #[arg(long, conflicts_with_all = ["diff", "report"])]
    in_place: bool,

    /// Print the changes as a unified diff.
    #[arg(long, conflicts_with = "report")]
    diff: bool,

    /// Only print what moving all triggers would save.
    #[arg(long)]
    report: bool,

    /// The address at which KEDA calls the server.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "backlog-scaler.keda.svc:9090"
    )]
    scaler_address: String,

    /// Use `external-push`: KEDA is notified of new work at once. Not for ScaledJobs.
    #[arg(long)]
    push: bool,

    /// The server's settings: named connections are used, triggers are checked against them, and get
    /// enableTLS if listen.tls is set.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Whether the server reads TriggerAuthentications (kubernetes.enabled in its settings). By default, as
    /// in --config, or else on.
    #[arg(long, value_enum)]
    kubernetes: Option<Kubernetes>,

    /// The report as text to stderr, or everything as JSON to stdout.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kubernetes {
    On,
    Off,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Migrate {
    /// Reads, moves and prints or writes. `Ok` is the exit code.
    pub fn run(self) -> Result<ExitCode> {
        self.check()?;
        let inputs = without_templates(collect(&self.files)?);
        let files: Vec<File> = inputs
            .iter()
            .map(|input| File::new(input.name.as_str(), input.text.as_str()))
            .collect();
        if has_problems(&inputs, &files) {
            return Ok(ExitCode::from(EXIT_BAD_CONFIGURATION));
        }
        let options = self.options()?;
        let migration = runtime()?.block_on(async {
            let checker = match &options.server {
                Some(settings) => Checker::of(settings)?,
                None => Checker::new()?,
            };
            Ok::<_, Error>(migrate(&files, &options, &checker))
        })?;
        if self.report {
            let fleet = fleet::Fleet::of(&migration);
            to_stdout(&match self.output {
                Output::Text => fleet.text(),
                Output::Json => to_json(&fleet.json())?,
            })?;
        } else {
            self.deliver(&inputs, &files, &migration)?;
        }
        Ok(match Counts::of(&migration).stay {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    fn check(&self) -> Result<()> {
        let invalid = |what: &str| Err(Error::new(Kind::Invalid, what, ""));
        let address = self.scaler_address.trim();
        // As KEDA's client takes it: a scheme of the web is none of gRPC.
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        let is_socket = address.starts_with("unix:");
        let is_web = ["http:", "https:", "grpc:", "grpcs:", "tcp:"];
        let is_web = is_web.iter().any(|scheme| address.starts_with(scheme));
        if is_web || !(is_socket || matches!(port, Some(Ok(_)))) {
            return invalid("--scaler-address: must be host:port, dns:///host:port or unix:/path");
        }
        if self.in_place && self.files.iter().any(|path| path.as_os_str() == "-") {
            return invalid(
                "--in-place: stdin cannot be written; leave it out to get the result on stdout",
            );
        }
        Ok(())
    }

    fn options(&self) -> Result<Options> {
        let load = |path: &PathBuf| settings::load(Some(path), environment());
        let server = self.config.as_ref().map(load).transpose()?;
        let known = server
            .as_ref()
            .is_none_or(|settings| settings.kubernetes.enabled);
        Ok(Options {
            scaler_address: self.scaler_address.trim().to_owned(),
            push: self.push,
            kubernetes: self
                .kubernetes
                .map_or(known, |kubernetes| kubernetes == Kubernetes::On),
            server,
        })
    }

    fn deliver(&self, inputs: &[Input], files: &[File], migration: &Migration) -> Result<()> {
        if self.in_place {
            for (input, moved) in inputs.iter().zip(&migration.files) {
                if let Some(path) = input.path.as_ref().filter(|_| moved.text != input.text) {
                    output::replace(path, &moved.text)?;
                }
            }
        }
        let all = inputs.iter().zip(&migration.files);
        let texts: Vec<Option<String>> =
            all.map(|(input, moved)| self.text(input, moved)).collect();
        if self.output == Output::Json {
            return to_stdout(&to_json(&report::json(files, migration, texts))?);
        }
        let texts: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
        to_stdout(&match self.diff {
            true => texts.concat(),
            false => output::joined(&texts),
        })?;
        eprint_text(&report::text(files, migration));
        Ok(())
    }

    /// What is printed of a file.
    fn text(&self, input: &Input, moved: &Moved) -> Option<String> {
        let changed = moved.text != input.text;
        match (self.in_place, self.diff) {
            (true, _) => None,
            (_, true) => changed.then(|| output::diff(&input.name, &input.text, &moved.text)),
            // In a folder may be anything.
            _ => (changed || !input.in_folder).then(|| moved.text.clone()),
        }
    }
}

/// Moves what can be moved in files. Must be called within a tokio runtime.
fn migrate(files: &[File], options: &Options, checker: &Checker) -> Migration {
    let mut authentications = Authentications::default();
    for file in files {
        authentications.read(&Found::of(file));
    }
    let keys: Vec<TypeKeys> = registry().keys().collect();
    let migrator = Migrator {
        options,
        authentications: &authentications,
        checker,
        keys: &keys,
    };
    migrator.migrate(files)
}

/// Without the templates of Helm charts in folders that are no YAML, which stderr says.
fn without_templates(inputs: Vec<Input>) -> Vec<Input> {
    let is_no_yaml = |input: &Input| {
        let file = File::new(input.name.as_str(), input.text.as_str());
        file.documents().iter().any(|part| part.content.is_err())
    };
    let (templates, inputs): (Vec<_>, Vec<_>) = inputs
        .into_iter()
        .partition(|input| input.is_template() && is_no_yaml(input));
    for note in notes_on_charts(&templates) {
        to_stderr("note", note);
    }
    inputs
}

/// Whether a file cannot be read as manifests; each reason is printed.
fn has_problems(inputs: &[Input], files: &[File]) -> bool {
    let mut any = false;
    for (input, file) in inputs.iter().zip(files) {
        for problem in Found::of(file).problems {
            // In a folder may be anything.
            if !input.in_folder || problem.cause != Cause::NoKind {
                any = true;
                to_stderr("error", problem);
            }
        }
    }
    any
}

fn eprint_text(text: &str) {
    use std::io::Write as _;
    // A closed stderr is no error.
    let _ = write!(std::io::stderr(), "{}", super::printable(text));
}
