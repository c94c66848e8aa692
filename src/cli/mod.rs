//! The command line: one file per subcommand. Results go to stdout, everything else to stderr.

mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Answers KEDA's question "how much work is waiting?" for queues.
#[derive(Parser)]
#[command(name = "backlog-scaler", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
}

/// Bad configuration or input.
const EXIT_BAD_CONFIGURATION: u8 = 2;

/// The program. Exit codes: 0 a clean end, 1 a failure, 2 bad configuration or arguments.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
    }
}

fn runtime() -> crate::error::Result<tokio::runtime::Runtime> {
    use crate::error::{Error, Kind};
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Internal, format!("cannot start: {error}"), ""))
}
