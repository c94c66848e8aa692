//! Our program as a process, on ports that a restart does not change.

use std::{
    ffi::OsString,
    fs::File,
    net::TcpStream,
    os::unix::{net::UnixStream, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use testkit::{process, scaler::page};

/// A release build of the program, if the tests are not to run their own debug build.
const VARIABLE: &str = "BACKLOG_SCALER";

const DEADLINE: Duration = Duration::from_secs(30);

pub struct Program {
    listens: Listens,
    admin: u16,
    dir: TempDir,
    child: Option<Child>,
}

enum Listens {
    Tcp { host: String, port: u16 },
    Socket(PathBuf),
}

impl Program {
    /// Serves with settings in YAML.
    pub fn start(settings: &str) -> Self {
        Program::at("127.0.0.1", process::free_port(), settings)
    }

    pub fn at(host: &str, port: u16, settings: &str) -> Self {
        let host = host.to_owned();
        Program::listening(Listens::Tcp { host, port }, process::directory(), settings)
    }

    /// On a Unix socket, as a sidecar of KEDA's operator.
    pub fn on_socket(settings: &str) -> Self {
        let dir = process::directory();
        let socket = dir.path().join("scaler.sock");
        Program::listening(Listens::Socket(socket), dir, settings)
    }

    fn listening(listens: Listens, dir: TempDir, settings: &str) -> Self {
        let mut program = Program {
            listens,
            admin: process::free_port(),
            dir,
            child: None,
        };
        std::fs::write(program.dir.path().join("settings.yaml"), settings).expect("the settings");
        program.restart();
        program
    }

    /// For KEDA.
    pub fn address(&self) -> String {
        match &self.listens {
            Listens::Tcp { host, port } => format!("{host}:{port}"),
            Listens::Socket(socket) => format!("unix://{}", socket.display()),
        }
    }

    fn setting(&self) -> String {
        match &self.listens {
            Listens::Tcp { .. } => self.address(),
            Listens::Socket(socket) => format!("unix:{}", socket.display()),
        }
    }

    fn serves(&self) -> bool {
        match &self.listens {
            Listens::Tcp { .. } => TcpStream::connect(self.address()).is_ok(),
            Listens::Socket(socket) => UnixStream::connect(socket).is_ok(),
        }
    }

    /// Its metrics and health.
    pub fn admin(&self) -> String {
        format!("127.0.0.1:{}", self.admin)
    }

    /// Starts it, again if it ran; it serves on return.
    pub fn restart(&mut self) {
        self.kill();
        let program = executable();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"));
        let child = Command::new(&program)
            .args(["serve", "--config", "settings.yaml"])
            .current_dir(self.dir.path())
            .env("BACKLOG_SCALER__LISTEN__GRPC", self.setting())
            .env("BACKLOG_SCALER__LISTEN__ADMIN", self.admin())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log file"))
            .process_group(process::group())
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        self.child = Some(child);
        let begun = Instant::now();
        while !self.serves() {
            assert!(
                begun.elapsed() < DEADLINE,
                "it does not serve\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("to kill a child");
            child.wait().expect("to reap a child");
        }
    }

    /// SIGTERM; returns when it has drained and ended, with success.
    pub fn drain(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let kill = format!("kill -s TERM {}", child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{kill}");
        let status = child.wait().expect("to reap a child");
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// The resident memory of the process, in KiB.
    pub fn resident(&self) -> usize {
        let pid = self.child.as_ref().expect("it runs").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let words = line.expect("has its memory").split_whitespace().next();
        words
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    /// The series of a metric: the labels of each, and its value.
    pub async fn series(&self, metric: &str) -> Vec<(String, f64)> {
        let (status, page) = page(&self.admin(), "/metrics").await;
        assert_eq!(status, 200, "{page}");
        let series = page.lines().filter_map(|line| line.strip_prefix(metric));
        let series = series.filter(|rest| rest.starts_with(['{', ' ']));
        let pairs = series.filter_map(|rest| rest.rsplit_once(' '));
        pairs
            .map(|(labels, value)| (labels.to_owned(), value.parse().expect("a number")))
            .collect()
    }

    /// The sum of a metric's series with this label.
    pub async fn figure(&self, metric: &str, label: &str) -> f64 {
        let series = self.series(metric).await.into_iter();
        let labelled = series.filter(|(labels, _)| labels.contains(label));
        labelled.map(|(_, value)| value).sum()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("a log")
    }
}

/// Which build it is.
pub fn executable() -> OsString {
    let debug = || OsString::from(env!("CARGO_BIN_EXE_backlog-scaler"));
    std::env::var_os(VARIABLE).unwrap_or_else(debug)
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
