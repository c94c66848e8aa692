//! Simulates the load test of a system of `deploy/examples`: prints its table, and draws its picture.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use testkit::example::load_test;

/// Simulates the load test of a system of deploy/examples.
#[derive(Parser)]
struct Cli {
    /// The example's directory.
    directory: PathBuf,
    /// Where to draw the picture, as SVG.
    picture: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let written = load_test::simulate(&cli.directory).and_then(|outcome| {
        println!("{}", outcome.table());
        let picture = std::fs::write(&cli.picture, outcome.picture());
        picture.map_err(|error| format!("{}: {error}", cli.picture.display()))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
