//! What puts work in, and counts it: a program of the example.
//!
//! Its contract: it puts in `RATE` items a second for `SECONDS`, and writes a line of JSON to stdout
//! each second, and when something changes: `{"put": 7, "done": 5, "waiting": 2, "ended": false}`.
//! `done` and `waiting` (which counts what workers have in hand as well) come from the backend, not
//! from the workers, so that lost work shows. After `SECONDS`, or on SIGTERM, it puts in no more,
//! says `"ended": true`, and goes on counting until it is killed.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use serde::Deserialize;
use tempfile::TempDir;

use super::{
    Options, Result,
    local::Local,
    pool::{command, signal, tail},
};
use crate::process;

/// What is known of the work.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Counts {
    /// Items that were put in.
    pub put: u64,
    /// Items that are done.
    pub done: u64,
    /// Items that are neither.
    #[serde(default)]
    pub waiting: u64,
    /// No more are put in.
    #[serde(default)]
    pub ended: bool,
}

/// The running program.
pub struct Load {
    child: Child,
    latest: Arc<Mutex<Counts>>,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
    _dir: TempDir,
}

impl Load {
    /// Starts it.
    pub fn start(options: &Options, local: &Local, server: &str) -> Result<Self> {
        let dir = process::directory();
        let log = dir.path().join("load.log");
        let mut env: BTreeMap<String, String> = local.load.env.clone();
        for value in env.values_mut() {
            *value = local.with_addresses(value, server);
        }
        env.insert("RATE".to_owned(), local.load.rate.to_string());
        env.insert("SECONDS".to_owned(), local.load.seconds.to_string());
        let mut command = command(options, &local.load.command, &env, &log)?;
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("{:?}: {error}", local.load.command))?;
        let stdout = child.stdout.take().ok_or("the load has no output")?;
        let latest = Arc::new(Mutex::new(Counts::default()));
        let shared = latest.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                match serde_json::from_str(&line) {
                    Ok(counts) => *shared.lock().unwrap() = counts,
                    Err(_) => eprintln!("load: {line}"),
                }
            }
        });
        Ok(Load {
            child,
            latest,
            reader: Some(reader),
            log,
            _dir: dir,
        })
    }

    /// The latest counts. An error if the program has ended.
    pub fn counts(&mut self) -> Result<Counts> {
        if let Ok(Some(status)) = self.child.try_wait() {
            let log = tail(Path::new(&self.log));
            return Err(format!("the load has ended ({status})\n{log}"));
        }
        Ok(*self.latest.lock().unwrap())
    }

    /// It only counts from now on.
    pub fn put_no_more(&self) {
        signal(&self.child, "TERM");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
