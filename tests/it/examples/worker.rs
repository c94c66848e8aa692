//! A worker of an example as a process.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;
use testkit::process;

use super::{objects::path, python};

/// Longer than any pod has to end, and than a group needs to hand its partitions round.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running `worker.py`.
pub struct Worker {
    child: Child,
    log: NamedTempFile,
}

impl Worker {
    /// Starts the worker of an example, with these variables.
    pub fn start(example: &str, env: &[(&str, &str)]) -> Self {
        let log = NamedTempFile::new().expect("a log file");
        let python = python(example).expect("was asked for before");
        let child = Command::new(python)
            .arg("worker.py")
            .current_dir(path(&format!("deploy/examples/{example}")))
            .envs(env.iter().copied())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().expect("a log file"))
            .process_group(process::group())
            .spawn();
        Worker {
            child: child.expect("a worker"),
            log,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as TERM.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status();
        assert!(kill.is_ok_and(|status| status.success()), "{name}");
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the status of a child") {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not end: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// As `ended`, with success.
    pub async fn has_stopped(self) {
        let log = self.log.path().to_owned();
        let keep = self.log.reopen();
        let status = self.ended().await;
        drop(keep);
        assert!(
            status.success(),
            "{status}: {}",
            fs::read_to_string(log).unwrap_or_default()
        );
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
