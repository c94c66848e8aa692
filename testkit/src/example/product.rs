//! backlog-scaler itself, as a process.

use std::{
    fs::File,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Result, local::Local, pool::tail};
use crate::process;

const DEADLINE: Duration = Duration::from_secs(30);

/// The running server. It ends when it is dropped.
pub struct Product {
    /// Of gRPC.
    pub address: String,
    /// Of its metrics.
    pub admin: String,
    child: Child,
    log: PathBuf,
    _dir: TempDir,
}

impl Product {
    /// Serves on loopback.
    pub fn start(program: &Path, local: &Local) -> Result<Self> {
        let dir = process::directory();
        let log = dir.path().join("log");
        let mut settings = local.settings.clone();
        // A sample must not be older, by the clock of KEDA, than it would be in a cluster.
        let fresh_for = |seconds: f64| format!("{}ms", (seconds * 1000.0 / local.speed).max(100.0));
        let engine = settings.entry("engine").or_insert_with(|| json!({}));
        engine["freshFor"] = json!({
            "redis": fresh_for(1.0), "kafka": fresh_for(2.0), "temporal": fresh_for(5.0),
        });
        let text = Value::Object(settings).to_string();
        let io = |error: std::io::Error| format!("{}: {error}", program.display());
        std::fs::write(dir.path().join("settings.yaml"), text).map_err(io)?;
        let address = format!("127.0.0.1:{}", process::free_port());
        let admin = format!("127.0.0.1:{}", process::free_port());
        let child = Command::new(program)
            .args(["serve", "--config", "settings.yaml"])
            .current_dir(dir.path())
            .env("BACKLOG_SCALER__LISTEN__GRPC", &address)
            .env("BACKLOG_SCALER__LISTEN__ADMIN", &admin)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).map_err(io)?)
            .process_group(process::group())
            .spawn()
            .map_err(io)?;
        let mut product = Product {
            address,
            admin,
            child,
            log,
            _dir: dir,
        };
        let begun = Instant::now();
        while TcpStream::connect(&product.address).is_err() {
            product.must_run()?;
            if begun.elapsed() > DEADLINE {
                return Err(format!("it does not serve\n{}", tail(&product.log)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(product)
    }

    /// An error, with its log, if it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(format!(
                "backlog-scaler has ended ({status})\n{}",
                tail(&self.log)
            )),
            _ => Ok(()),
        }
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
