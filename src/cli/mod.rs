//! The command line: one file per subcommand. Results go to stdout, everything else to stderr.

mod check;
mod completions;
mod health;
mod keys;
mod migrate;
mod output;
mod probe;
mod record;
mod serve;
mod simulate;
mod table;
mod tune;

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    backends,
    error::{Error, Kind, Result},
    sampling::{Limits, Registry},
    telemetry::Telemetry,
};

/// A KEDA external scaler for queues: how much work is waiting?
#[derive(Parser)]
#[command(name = "backlog-scaler", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Probe(probe::Probe),
    Check(check::Check),
    Migrate(migrate::Migrate),
    Keys(keys::Keys),
    Health(health::Health),
    Simulate(simulate::Simulate),
    Record(record::Record),
    Tune(tune::Tune),
    Completions(completions::Completions),
    #[command(hide = true)]
    Man(completions::Man),
}

/// The command line as it is declared, for whoever checks what is written about it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Bad configuration or input.
const EXIT_BAD_CONFIGURATION: u8 = 2;

/// The program. Exit codes: 0 a clean end, 1 a failure, 2 bad configuration or arguments.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(serve) => serve.run().map(|()| ExitCode::SUCCESS),
        Command::Probe(probe) => probe.run(),
        Command::Check(check) => check.run(),
        Command::Migrate(migrate) => migrate.run(),
        Command::Keys(keys) => keys.run().map(|()| ExitCode::SUCCESS),
        Command::Health(health) => health.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Record(record) => record.run(),
        Command::Tune(tune) => tune.run(),
        Command::Completions(completions) => completions.run().map(|()| ExitCode::SUCCESS),
        Command::Man(man) => man.run().map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        // The log may not be up, and this is for a person either way.
        to_stderr("error", &error);
        exit_code(&error)
    })
}

fn exit_code(error: &Error) -> ExitCode {
    match error.kind() {
        Kind::Invalid => ExitCode::from(EXIT_BAD_CONFIGURATION),
        _ => ExitCode::FAILURE,
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Internal, format!("cannot start: {error}"), ""))
}

/// The process's environment, without variables that are no text: none of them is for us.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The trigger types, for their names and keys alone: nothing connects through this registry.
fn registry() -> Registry {
    backends::register(Registry::new(&Limits::default(), Telemetry::default()))
}

/// Writes a result to stdout. A reader that has seen enough (`| head`) is no failure.
fn to_stdout(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let what = format!("cannot write the result: {error}");
            Err(Error::new(Kind::Internal, what, ""))
        }
        _ => Ok(()),
    }
}

/// Writes a line to stderr, as `note: …`. A closed stderr is no error.
fn to_stderr(label: &str, text: impl std::fmt::Display) {
    let line = format!("{label}: {}", printable(&text.to_string()));
    let _ = writeln!(io::stderr(), "{line}");
}

/// The text without control characters, which must not reach a terminal. Line breaks stay.
fn printable(text: &str) -> String {
    let control = |c: char| c.is_control() && c != '\n';
    text.replace(control, "\u{fffd}")
}

fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map(|json| json + "\n")
        .map_err(|error| Error::new(Kind::Internal, format!("cannot write JSON: {error}"), ""))
}
