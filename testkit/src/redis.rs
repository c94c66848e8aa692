//! Real Redis servers for tests: a single one, a cluster, or master and replica under sentinels.
//!
//! Every server is a child process with its own loopback port and its own directory; both go when
//! its handle is dropped. A handle belongs to no thread and no runtime, so tests may share one in
//! a `static`: what is never dropped ends with the test process, even if that is killed.
//!
//! What does not happen within [`PATIENCE`] panics with the end of the servers' logs.

mod cluster;
mod proxy;
mod sentinel;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

pub use redis::Value;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisResult,
};
use tempfile::TempDir;

use super::certs::Certs;
use super::process;

pub use cluster::Cluster;
pub use proxy::Proxy;
pub use sentinel::Sentinel;

const PATIENCE: Duration = Duration::from_secs(20);

/// As whom helpers, replicas and sentinels log in, with any password. The users and passwords of a
/// test are thus free to hold any character, to change and to be wrong.
const ADMIN: &str = "test-admin";

/// Whether these servers can run here: `redis-server`, which is the sentinel too, is on the PATH.
pub fn available() -> bool {
    let version = Command::new("redis-server").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// A server that keeps nothing on disk: after a kill its data is gone.
pub struct Redis {
    port: u16,
    bus_port: u16,
    mode: Mode,
    process: Mutex<Option<Child>>,
    dir: TempDir,
}

/// How to configure a server. The default is a plain port without a password.
#[derive(Clone, Default)]
pub struct Builder {
    lines: Vec<String>,
    tls: bool,
    mode: Mode,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Mode {
    #[default]
    Standalone,
    Cluster,
    Sentinel,
}

impl Builder {
    /// The password of the default user: any characters, at most 512 bytes.
    pub fn password(self, password: &str) -> Self {
        self.config(format!("requirepass {}", quoted(password)))
    }

    /// An ACL user with no more rights than `rules` give, such as `~jobs:* +llen`.
    /// The password may hold any character, the name any but white space.
    pub fn acl_user(self, name: &str, password: &str, rules: &str) -> Self {
        let password = quoted(format!(">{password}"));
        self.config(format!("user {} on {password} {rules}", quoted(name)))
    }

    /// TLS instead of the plain port; clients need no certificate.
    /// The files of `certs` must outlive the server.
    pub fn tls(self, certs: &Certs) -> Self {
        self.with_tls(certs, "no")
    }

    /// As [`Builder::tls`], but a client needs a certificate that `certs.ca` signed.
    pub fn mtls(self, certs: &Certs) -> Self {
        self.with_tls(certs, "yes")
    }

    fn with_tls(mut self, certs: &Certs, auth_clients: &str) -> Self {
        let (cert, key) = (&certs.server.cert, &certs.server.key);
        for (name, pem) in [("ca-cert", &certs.ca), ("cert", cert), ("key", key)] {
            self = self.config(format!("tls-{name}-file {}", quoted(&pem.path)));
        }
        self.tls = true;
        self.config(format!("tls-auth-clients {auth_clients}"))
            .config("tls-replication yes\ntls-cluster yes")
    }

    /// Adds to redis.conf, for example `databases 4`. Where lines contradict, the last one counts.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Starts a server that is ready on return.
    pub async fn start(self) -> Redis {
        // Another process may take a port between our look at it and the server's bind.
        for _ in 0..5 {
            let server = Redis {
                port: process::free_port(),
                bus_port: process::free_port(),
                mode: self.mode,
                process: Mutex::new(None),
                dir: process::directory(),
            };
            fs::write(server.file("redis.conf"), self.redis_conf(&server)).expect("redis.conf");
            match server.run().await {
                Ok(()) => return server,
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("redis-server did not start\n{log}"),
            }
        }
        panic!("redis-server found its ports taken five times in a row");
    }

    fn redis_conf(&self, server: &Redis) -> String {
        let port = if self.tls { "port 0\ntls-port" } else { "port" };
        let cluster = match self.mode {
            Mode::Cluster => format!("cluster-enabled yes\ncluster-port {}", server.bus_port),
            Mode::Standalone | Mode::Sentinel => String::new(),
        };
        format!(
            "bind 127.0.0.1\n{port} {}\n{cluster}\nunixsocket {}\ndir {}\nsave \"\"\n\
             user {ADMIN} on nopass ~* &* +@all\nmasteruser {ADMIN}\nmasterauth any\n\
             repl-diskless-sync-delay 0\n{}\n",
            server.port,
            quoted(server.file("socket")),
            quoted(server.dir.path()),
            self.lines.join("\n"),
        )
    }
}

impl Redis {
    /// A plain server without a password.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `127.0.0.1:port`; a restart does not change it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// None after a kill.
    pub fn pid(&self) -> Option<u32> {
        self.process.lock().unwrap().as_ref().map(Child::id)
    }

    /// SIGKILL. On return the port refuses connections.
    pub fn kill(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.kill().expect("to kill a child");
            process.wait().expect("to reap a child");
        }
    }

    /// Kills the server if it runs and starts it again, empty, on the same port.
    pub async fn restart(&self) {
        self.kill();
        let restarted = self.run().await;
        restarted.unwrap_or_else(|log| panic!("redis-server did not start again\n{log}"));
    }

    /// SIGSTOP: the kernel goes on accepting connections, but nothing responds.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.pid().expect("a running server"));
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kill}");
    }

    /// Runs a command with all rights, whatever login and TLS the server wants of others.
    /// An error reply panics.
    pub async fn command(&self, words: &[&str]) -> Value {
        let response = self.try_command(words).await;
        response.unwrap_or_else(|error| panic!("{words:?}: {error}\n{}", self.log_tail()))
    }

    /// As [`Redis::command`], but an error reply is the caller's to judge.
    pub async fn try_command(&self, words: &[&str]) -> RedisResult<Value> {
        let login = RedisConnectionInfo::default()
            .set_username(ADMIN)
            .set_password("any")
            .set_skip_set_lib_name();
        let socket = ConnectionAddr::Unix(self.file("socket")).into_connection_info()?;
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let mut connection = Client::open(socket.set_redis_settings(login))?
            .get_multiplexed_async_connection_with_config(&patient)
            .await?;
        Cmd::new().arg(words).query_async(&mut connection).await
    }

    /// Appends `n` items, at least one, to a list.
    pub async fn rpush(&self, list: &str, n: usize) {
        let mut words = vec!["RPUSH", list];
        words.resize(2 + n, "item");
        self.command(&words).await;
    }

    /// Whether the reply is a text with this part.
    async fn says(&self, words: &[&str], part: &str) -> bool {
        let response = self.try_command(words).await.map(String::from_redis_value);
        matches!(response, Ok(Ok(text)) if text.contains(part))
    }

    /// Starts the process and waits until it responds; the error is the end of its log.
    async fn run(&self) -> Result<(), String> {
        let log = File::create(self.file("log")).expect("a log file");
        let process = Command::new("redis-server")
            .arg(self.file("redis.conf"))
            .args((self.mode == Mode::Sentinel).then_some("--sentinel"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .process_group(process::group())
            .spawn()
            .expect("redis-server on the PATH");
        *self.process.lock().unwrap() = Some(process);
        let started = Instant::now();
        while !self.says(&["PING"], "PONG").await {
            if self.has_exited() || started.elapsed() > PATIENCE {
                return Err(self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn has_exited(&self) -> bool {
        let mut process = self.process.lock().unwrap();
        let status = process.as_mut().map(Child::try_wait);
        !matches!(status, Some(Ok(None)))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits a little for something that takes time, but not for ever.
async fn rest(since: Instant, problem: &str, servers: &[Redis]) {
    if since.elapsed() > PATIENCE {
        let logs: Vec<String> = servers.iter().map(Redis::log_tail).collect();
        panic!("{problem}\n{}", logs.join("\n\n"));
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// A word of redis.conf, whatever characters it holds.
fn quoted(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_encoded_bytes().iter();
    let escaped: String = bytes.map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{escaped}\"")
}
