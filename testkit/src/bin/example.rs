//! Runs a system of `deploy/examples` on this machine; `make example NAME=…` calls it.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use testkit::example::{self, Options};
use tokio::signal::unix::{SignalKind, signal};

/// Runs a system of deploy/examples on this machine: real backend, real scaler, real workers.
#[derive(Parser)]
struct Cli {
    /// The example's directory.
    directory: PathBuf,
    /// backlog-scaler.
    #[arg(long)]
    program: PathBuf,
    /// The Python with the client library of the workers.
    #[arg(long)]
    python: PathBuf,
    /// Items of work in a second.
    #[arg(long)]
    rate: Option<f64>,
    /// For how long work comes.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many times as fast the clock of KEDA and the HPA goes.
    #[arg(long)]
    speed: Option<f64>,
    /// Workers of one Deployment at most.
    #[arg(long)]
    workers: Option<u32>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let options = Options {
        directory: absolute(cli.directory),
        program: absolute(cli.program),
        python: absolute(cli.python),
        rate: cli.rate,
        seconds: cli.seconds,
        speed: cli.speed,
        max_workers: cli.workers,
        shown: true,
    };
    match example::run(options, interrupted()).await {
        Ok(summary) if summary.lost == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, or SIGTERM.
async fn interrupted() {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    if let (Ok(mut interrupt), Ok(mut terminate)) = signals {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    }
}
