//! Our program as a process of its own.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use backlog_scaler::keda::proto::{ScaledObjectRef, external_scaler_client::ExternalScalerClient};
use tokio::time::timeout;
use tonic::{Status, transport::Channel};

use testkit::{
    process,
    scaler::{self, Evaluation},
};

/// The most memory that the program may ever have had under attack, in MiB. Started and unused it has
/// some 4; every attack could take gigabytes if nothing bounded it.
const MEMORY: u64 = 96;
/// A server that has not reacted by now hangs.
pub const HANGS: Duration = Duration::from_secs(30);

/// Our program as a process of its own, so that its memory and its log can be looked at.
pub struct Program {
    child: Child,
    pub address: String,
    pub admin: String,
    log: Arc<Mutex<String>>,
}

/// What a program holds: memory in MiB, threads, and open files, sockets included.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    pub memory: u64,
    pub threads: u64,
    pub files: u64,
}

impl Program {
    /// Serves with settings in YAML and returns when it does.
    pub async fn start(yaml: &str) -> Self {
        Program::with_env(yaml, HashMap::new()).await
    }

    pub async fn with_env(yaml: &str, env: HashMap<&str, &str>) -> Self {
        let dir = process::directory();
        let config = dir.path().join("settings.yaml");
        std::fs::write(&config, yaml).unwrap();
        let admin = format!("127.0.0.1:{}", process::free_port());
        let mut child = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
            .args(["serve", "--config"])
            .arg(&config)
            .env("BACKLOG_SCALER__LISTEN__GRPC", "127.0.0.1:0")
            .env("BACKLOG_SCALER__LISTEN__ADMIN", &admin)
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(process::group())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let (serving, address) = tokio::sync::oneshot::channel();
        let kept = log.clone();
        // A thread, so that a full pipe never blocks the program.
        std::thread::spawn(move || {
            let mut serving = Some(serving);
            while let Some(Ok(line)) = lines.next() {
                if let Some((_, fields)) = line.split_once("serving grpc=")
                    && let Some(address) = fields.split(' ').next()
                    && let Some(serving) = serving.take()
                {
                    let _ = serving.send(address.to_owned());
                }
                *kept.lock().unwrap() += &format!("{line}\n");
            }
        });
        let address = timeout(HANGS, address).await.expect("serves in time");
        let address = address.unwrap_or_else(|_| panic!("ended: {}", log.lock().unwrap()));
        Program {
            child,
            address,
            admin,
            log,
        }
    }

    pub async fn client(&self) -> ExternalScalerClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        let connected = timeout(HANGS, endpoint.connect()).await;
        ExternalScalerClient::new(connected.expect("connects in time").unwrap())
    }

    /// One evaluation on a new connection.
    pub async fn evaluate(&self, trigger: &ScaledObjectRef) -> Result<Evaluation, Status> {
        let mut client = self.client().await;
        let evaluation = timeout(HANGS, scaler::evaluate(&mut client, trigger)).await;
        evaluation.expect("a call ends in time")
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The most resident memory so far, in MiB, without the pages of the program's own file, of which
    /// a debug build has many.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM").saturating_sub(self.status("RssFile")) / 1024
    }

    /// What it holds now.
    pub fn resources(&self) -> Resources {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        Resources {
            memory: self.status("VmRSS") / 1024,
            threads: self.status("Threads"),
            files: open.expect("the program runs").count() as u64,
        }
    }

    /// A number in /proc/PID/status.
    fn status(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).expect("the program runs");
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        let number = found.and_then(|found| found.strip_prefix(':')?.split_whitespace().next());
        number.unwrap().parse().unwrap()
    }

    pub fn assert_memory_is_bounded(&self) {
        let peak = self.peak_memory();
        assert!(peak <= MEMORY, "{peak} MiB\n{}", self.log());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
