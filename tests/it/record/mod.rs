//! `record`: what arrives in real queues, and what `simulate` makes of the file.

mod accuracy;
mod outages;
mod refusals;

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use backlog_scaler::keda::proto::ScaledObjectRef;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::program::HANGS;
use testkit::process;

/// A recording under way, in a process of its own.
struct Recorder {
    child: Child,
    folder: TempDir,
    log: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

/// What it has written.
struct Recorded {
    /// Of the file.
    path: PathBuf,
    text: String,
    log: String,
    rows: Vec<Row>,
    _folder: TempDir,
}

struct Row {
    seconds: f64,
    rate: f64,
    method: String,
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"));
    program.kill_on_drop(true).process_group(process::group());
    program
}

/// A manifest of one trigger.
fn manifest(trigger: &ScaledObjectRef) -> String {
    let ScaledObjectRef {
        namespace, name, ..
    } = trigger;
    // JSON is YAML as well.
    let metadata = serde_json::to_string(&trigger.scaler_metadata).unwrap();
    format!(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\n\
         metadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  scaleTargetRef: {{name: {name}}}\n  triggers:\n  - type: external\n    \
         metadata: {metadata}\n"
    )
}

/// As KEDA sends it.
fn with_address(mut trigger: ScaledObjectRef) -> ScaledObjectRef {
    let metadata = &mut trigger.scaler_metadata;
    metadata.insert("scalerAddress".to_owned(), "scaler:9090".to_owned());
    trigger
}

impl Recorder {
    /// Records a trigger by its manifest; returns once the first sample is there.
    async fn of(trigger: &ScaledObjectRef, arguments: &[&str]) -> Self {
        let folder = process::directory();
        let file = folder.path().join("worker.yaml");
        fs::write(&file, manifest(&with_address(trigger.clone()))).unwrap();
        let file = file.display().to_string();
        Recorder::start(folder, &[&[file.as_str()], arguments].concat()).await
    }

    async fn start(folder: TempDir, arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["record", "--every", "1s", "--to"])
            .arg(folder.path().join("load.csv"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let (kept, (records, begins)) = (log.clone(), oneshot::channel());
        let reading = tokio::spawn(async move {
            let mut records = Some(records);
            while let Ok(Some(line)) = lines.next_line().await {
                *kept.lock().unwrap() += &format!("{line}\n");
                if line.contains("note: records ") {
                    records.take().map(|records| records.send(()));
                }
            }
        });
        let begins = timeout(HANGS, begins).await.expect("begins in time");
        assert!(begins.is_ok(), "ended: {}", log.lock().unwrap());
        Recorder {
            child,
            folder,
            log,
            reading,
        }
    }

    /// Ends it as Ctrl-C does.
    async fn end(mut self) -> Recorded {
        let kill = format!("kill -s INT {}", self.child.id().expect("it runs"));
        let sent = Command::new("sh").args(["-c", &kill]).status().await;
        assert!(sent.unwrap().success());
        let status = timeout(HANGS, self.child.wait()).await.expect("it ends");
        self.reading.await.unwrap();
        let log = self.log.lock().unwrap().clone();
        assert!(status.unwrap().success(), "{log}");
        let path = self.folder.path().join("load.csv");
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let rows = lines.skip(1).map(Row::of).collect();
        Recorded {
            path,
            text,
            log,
            rows,
            _folder: self.folder,
        }
    }
}

impl Row {
    fn of(line: &str) -> Self {
        let [seconds, rate, _, method] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        Row {
            seconds: seconds.parse().unwrap(),
            rate: rate.parse().unwrap(),
            method: method.to_owned(),
        }
    }
}

impl Recorded {
    /// As many as the rows say, each until the next.
    fn items(&self) -> f64 {
        self.items_until(f64::INFINITY)
    }

    /// The same of the rows before a time.
    fn items_until(&self, seconds: f64) -> f64 {
        let pairs = self.rows.windows(2);
        pairs
            .filter(|pair| pair[0].seconds < seconds)
            .map(|pair| pair[0].rate * (pair[1].seconds - pair[0].seconds))
            .sum()
    }

    /// By which the rates are known.
    fn methods(&self) -> BTreeSet<&str> {
        let rows = self.rows.iter().filter(|row| row.method != "end");
        rows.map(|row| row.method.as_str()).collect()
    }

    /// What `simulate --load` finds to have arrived.
    async fn simulated(&self) -> f64 {
        let output = program()
            .args(["simulate", "deploy/examples/redis-list.yaml", "--load"])
            .arg(&self.path)
            .args(["--service-time", "1s", "-o", "json"])
            .output()
            .await
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}\n{}", self.text);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["simulations"][0]["items"].as_f64().unwrap()
    }
}

/// Asserts that a number is another one, or near it.
fn assert_near(found: f64, expected: f64, tolerance: f64, recorded: &Recorded) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{found}, not {expected}\n{}{}",
        recorded.text,
        recorded.log
    );
}

/// How long loads last. `docs/how-to/record.md` has the figures of RECORD_SECONDS=60.
fn load_length() -> Duration {
    let seconds = std::env::var("RECORD_SECONDS").ok();
    Duration::from_secs(seconds.map_or(10, |seconds| seconds.parse().expect("seconds")))
}
