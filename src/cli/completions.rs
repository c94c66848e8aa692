//! `completions` and `man`: what shells and manuals need, from the declared arguments.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, to_stdout};
use crate::error::{Error, Kind, Result};

/// Print shell completions.
///
///   backlog-scaler completions bash > ~/.local/share/bash-completion/completions/backlog-scaler
///
///   backlog-scaler completions zsh > "${fpath[1]}/_backlog-scaler"
///
///   backlog-scaler completions fish > ~/.config/fish/completions/backlog-scaler.fish
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints them.
    pub fn run(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), NAME, &mut script);
        to_stdout(&String::from_utf8_lossy(&script))
    }
}

const NAME: &str = "backlog-scaler";

/// Write a manual page for the program and for each of its commands into a folder.
#[derive(Args)]
pub struct Man {
    /// The folder, which is made if it is missing.
    folder: PathBuf,
}

impl Man {
    /// Writes them: `backlog-scaler.1`, `backlog-scaler-probe.1` and so on.
    pub fn run(self) -> Result<()> {
        let failed = |error: std::io::Error| {
            let what = format!("cannot write to {}: {error}", self.folder.display());
            Error::new(Kind::Invalid, what, "")
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        clap_mangen::generate_to(Cli::command(), &self.folder).map_err(failed)
    }
}
