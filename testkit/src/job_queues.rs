//! Job queues on Redis as their own libraries lay them out: BullMQ, Celery, RQ and Sidekiq.
//!
//! Each is a small program of `tests/servers/redis-clients` that adds, takes and counts jobs by
//! its library, one command a line.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::LazyLock,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{process, redis::Redis};

const PATIENCE: Duration = Duration::from_secs(60);

/// A library that keeps jobs in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Moves the jobs of a paused queue to another list.
    BullMq5,
    /// Leaves the jobs of a paused queue where they are.
    BullMq6,
    Celery,
    Rq,
    Sidekiq,
}

/// Whether the libraries are here: `install.sh` has run, and Sidekiq is installed.
pub fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        let mut check = std::process::Command::new(folder().join("install.sh"));
        let mut sidekiq = std::process::Command::new("ruby");
        let runs = |command: &mut std::process::Command| {
            let status = command.stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        runs(check.arg("--check")) && runs(sidekiq.args(["-e", "gem 'sidekiq'"]))
    });
    *AVAILABLE
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/redis-clients")
}

/// Where install.sh puts the libraries.
fn installed() -> &'static Path {
    static INSTALLED: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut command = std::process::Command::new(folder().join("install.sh"));
        let output = command.arg("--where").output().expect("install.sh");
        let path = String::from_utf8(output.stdout).expect("a path");
        path.trim_end().into()
    });
    &INSTALLED
}

/// A queue of a library. Its program ends when it is dropped, and with it what it has taken where
/// the library holds that in a process.
pub struct JobQueue {
    library: Library,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _program: Child,
}

impl JobQueue {
    /// Opens a queue of database 0, whose keys start with `prefix`: BullMQ's and RQ's own, `bull`
    /// and `rq`, or another; Celery's `global_keyprefix`. Sidekiq has none here.
    pub fn open(library: Library, redis: &Redis, queue: &str, prefix: &str) -> Self {
        let node_modules = installed().join("node_modules");
        let python = installed().join("venv/bin/python");
        let (program, script) = match library {
            Library::BullMq5 | Library::BullMq6 => (Path::new("node"), "bullmq.js"),
            Library::Celery => (&*python, "celery_queue.py"),
            Library::Rq => (&*python, "rq_queue.py"),
            Library::Sidekiq => (Path::new("ruby"), "sidekiq_queue.rb"),
        };
        let mut command = Command::new(program);
        command
            .arg(folder().join(script))
            .args([&redis.port().to_string(), queue]);
        match library {
            Library::BullMq5 => command.args([prefix, "bullmq5"]),
            Library::BullMq6 => command.args([prefix, "bullmq"]),
            Library::Celery => command.arg(prefix),
            Library::Rq => command.env("RQ_KEY_PREFIX", prefix),
            Library::Sidekiq => &mut command,
        };
        let mut program = command
            .env("NODE_PATH", node_modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(process::group())
            .spawn()
            .unwrap_or_else(|error| panic!("{script}: {error}"));
        let output = program.stdout.take().expect("is piped");
        JobQueue {
            library,
            input: program.stdin.take().expect("is piped"),
            output: BufReader::new(output).lines(),
            _program: program,
        }
    }

    /// Carries out one command of the program, such as `add 3`.
    pub async fn run(&mut self, command: &str) -> serde_json::Value {
        let line = format!("{command}\n");
        let written = self.input.write_all(line.as_bytes()).await;
        let reply = timeout(PATIENCE, self.output.next_line()).await;
        let reply = reply.ok().and_then(Result::ok).flatten();
        let reply = reply.and_then(|reply| serde_json::from_str(&reply).ok());
        reply.unwrap_or_else(|| panic!("{:?}, {command}: no reply; {written:?}", self.library))
    }

    /// One of the numbers that the library counts.
    pub async fn count(&mut self, name: &str) -> u64 {
        let counts = self.run("counts").await;
        let count = counts[name].as_u64();
        count.unwrap_or_else(|| panic!("{:?} has no {name}: {counts}", self.library))
    }
}
