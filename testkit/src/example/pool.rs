//! The replicas of a Deployment, each a process.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Options, Result,
    manifests::{Deployment, Readiness},
};
use crate::process;

/// Workers that end by themselves are started again, but not for ever.
const MOST_CRASHES: u32 = 5;
/// A probe of a process on the same machine.
const PROBE: Duration = Duration::from_millis(500);

/// The workers of one Deployment.
pub struct Pool {
    deployment: Deployment,
    directory: PathBuf,
    python: PathBuf,
    workers: Vec<Worker>,
    stopping: Vec<(Worker, Instant)>,
    started: u32,
    /// How many there were before all were stopped.
    pub last: u32,
    /// Workers that did not stop within their grace period.
    pub killed: u32,
    /// Workers that ended by themselves.
    pub crashed: u32,
    logs: TempDir,
}

struct Worker {
    child: Child,
    log: PathBuf,
    /// `None`: it is ready, or has no probe.
    not_ready: Option<u16>,
}

impl Pool {
    /// Without any workers.
    pub fn new(
        mut deployment: Deployment,
        options: &Options,
        env: &BTreeMap<String, String>,
    ) -> Self {
        deployment.env.extend(env.clone());
        Pool {
            deployment,
            directory: options.directory.clone(),
            python: options.python.clone(),
            workers: Vec::new(),
            stopping: Vec::new(),
            started: 0,
            last: 0,
            killed: 0,
            crashed: 0,
            logs: process::directory(),
        }
    }

    /// Those that are not stopping.
    pub fn running(&self) -> u32 {
        self.workers.len() as u32
    }

    /// Those that are ready. The HPA counts stopping ones as long as they run.
    pub fn ready(&self) -> u32 {
        let ready = self
            .workers
            .iter()
            .filter(|worker| worker.not_ready.is_none());
        (ready.count() + self.stopping.len()) as u32
    }

    /// Those that finish what they have in hand.
    pub fn stopping(&self) -> u32 {
        self.stopping.len() as u32
    }

    /// Starts or stops workers, so that there are so many. Those that are not ready go first, then the
    /// youngest, as a ReplicaSet does it.
    pub fn scale(&mut self, replicas: u32) -> Result<()> {
        while self.running() < replicas {
            let worker = self.start()?;
            self.workers.push(worker);
        }
        while self.running() > replicas {
            let not_ready = self
                .workers
                .iter()
                .rposition(|worker| worker.not_ready.is_some());
            let last = not_ready.unwrap_or(self.workers.len() - 1);
            let worker = self.workers.remove(last);
            signal(&worker.child, "TERM");
            self.stopping.push((worker, Instant::now()));
        }
        Ok(())
    }

    fn start(&mut self) -> Result<Worker> {
        self.started += 1;
        let Deployment {
            name,
            command: words,
            readiness,
            ..
        } = &self.deployment;
        let log = self
            .logs
            .path()
            .join(format!("{name}-{}.log", self.started));
        let mut env = self.deployment.env.clone();
        let port = readiness.as_ref().map(|Readiness { variable, .. }| {
            let port = process::free_port();
            env.insert(variable.clone(), port.to_string());
            port
        });
        let mut command = command_in(&self.directory, &self.python, words, &env, &log)?;
        let child = command.spawn();
        Ok(Worker {
            child: child.map_err(|error| format!("{words:?}: {error}"))?,
            log,
            not_ready: port,
        })
    }

    /// What a kubelet does: probes, starts what has crashed again, and kills what takes too long to stop.
    pub async fn tick(&mut self) -> Result<()> {
        let path = self.deployment.readiness.as_ref();
        let path = path.map_or(String::new(), |readiness| readiness.path.clone());
        for worker in &mut self.workers {
            if let Some(port) = worker.not_ready
                && is_ready(port, &path).await
            {
                worker.not_ready = None;
            }
        }
        self.restart_crashed()?;
        let grace = self.deployment.termination_grace_period;
        let mut killed = 0;
        self.stopping.retain_mut(|(worker, since)| {
            if !matches!(worker.child.try_wait(), Ok(None)) {
                return false;
            }
            if since.elapsed() > grace {
                killed += 1;
                let _ = worker.child.kill();
                let _ = worker.child.wait();
            }
            since.elapsed() <= grace
        });
        self.killed += killed;
        Ok(())
    }

    fn restart_crashed(&mut self) -> Result<()> {
        for at in 0..self.workers.len() {
            let Ok(Some(status)) = self.workers[at].child.try_wait() else {
                continue;
            };
            self.crashed += 1;
            let log = tail(&self.workers[at].log);
            let what = format!(
                "a worker of {} has ended ({status})\n{log}",
                self.deployment.name
            );
            if self.crashed > MOST_CRASHES {
                return Err(what);
            }
            eprintln!("{what}");
            self.workers[at] = self.start()?;
        }
        Ok(())
    }

    /// Stops all of them, and waits for it.
    pub async fn stop(&mut self) {
        self.last = self.running();
        // It only stops: nothing is started that could fail.
        let _ = self.scale(0);
        while !self.stopping.is_empty() {
            let _ = self.tick().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let stopping = self.stopping.iter_mut().map(|(worker, _)| worker);
        for worker in self.workers.iter_mut().chain(stopping) {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

async fn is_ready(port: u16, path: &str) -> bool {
    let get = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut response = Vec::new();
        stream.take(4096).read_to_end(&mut response).await.ok()?;
        let response = String::from_utf8_lossy(&response).into_owned();
        response.split(' ').nth(1).map(|status| status == "200")
    };
    matches!(timeout(PROBE, get).await, Ok(Some(true)))
}

/// A command of the example, in its directory, in the group of processes that end with this one.
/// `python` and `python3` are the one that has the client library.
pub fn command(
    options: &Options,
    words: &[String],
    env: &BTreeMap<String, String>,
    log: &Path,
) -> Result<Command> {
    command_in(&options.directory, &options.python, words, env, log)
}

fn command_in(
    directory: &Path,
    python: &Path,
    words: &[String],
    env: &BTreeMap<String, String>,
    log: &Path,
) -> Result<Command> {
    let (program, arguments) = words.split_first().ok_or("an empty command")?;
    let program = match program.as_str() {
        "python" | "python3" => python.as_os_str(),
        other => other.as_ref(),
    };
    let log = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let output = log.try_clone().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(directory)
        .envs(env)
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(log)
        .process_group(process::group());
    Ok(command)
}

/// Sends a signal to a child. One that has ended already is not reaped, so nobody else has its id.
pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let _ = Command::new("kill")
        .args(["-s", name, &id])
        .stderr(Stdio::null())
        .status();
}

/// The end of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
