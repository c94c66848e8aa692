//! One child process for each program, with its flags and its log.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use testkit::{certs::Certs, process};

use super::api_server;

/// All below the ephemeral range, so that no outgoing connection takes one.
pub struct Ports {
    pub api: u16,
    pub adapter: u16,
    pub keda_metrics: u16,
    pub etcd: u16,
    etcd_peer: u16,
    controller_manager: u16,
    keda_grpc: u16,
    keda_probe: u16,
    adapter_metrics: u16,
    kwok: u16,
}

impl Ports {
    pub fn free() -> Self {
        Ports {
            api: process::free_port(),
            adapter: process::free_port(),
            keda_metrics: process::free_port(),
            etcd: process::free_port(),
            etcd_peer: process::free_port(),
            controller_manager: process::free_port(),
            keda_grpc: process::free_port(),
            keda_probe: process::free_port(),
            adapter_metrics: process::free_port(),
            kwok: process::free_port(),
        }
    }
}

/// What runs, by name. The process group of the test servers ends it with this process.
pub struct Processes {
    tools: PathBuf,
    dir: PathBuf,
    running: Vec<(&'static str, Child)>,
}

impl Processes {
    pub fn new(tools: PathBuf, dir: PathBuf) -> Self {
        Processes {
            tools,
            dir,
            running: Vec::new(),
        }
    }

    pub fn etcd(&mut self, ports: &Ports) {
        let client = format!("http://127.0.0.1:{}", ports.etcd);
        let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
        self.start(
            "etcd",
            vec![
                "--name=test".to_owned(),
                format!("--data-dir={}", self.dir.join("etcd").display()),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=test={peer}"),
                // The data does not outlive the run.
                "--unsafe-no-fsync".to_owned(),
                "--log-level=warn".to_owned(),
            ],
        );
    }

    pub fn api_server(&mut self, ports: &Ports, certs: &Certs) {
        let arguments = api_server::arguments(&self.dir, ports.etcd, ports.api, certs);
        self.start("kube-apiserver", arguments);
    }

    pub fn controller_manager(&mut self, ports: &Ports, config: &Path) {
        let config = config.display();
        let controllers = [
            "deployment-controller",
            "replicaset-controller",
            "job-controller",
            "garbage-collector-controller",
            "namespace-controller",
            "horizontal-pod-autoscaler-controller",
        ];
        self.start(
            "kube-controller-manager",
            vec![
                format!("--kubeconfig={config}"),
                format!("--authentication-kubeconfig={config}"),
                format!("--authorization-kubeconfig={config}"),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={}", ports.controller_manager),
                "--leader-elect=false".to_owned(),
                "--use-service-account-credentials=false".to_owned(),
                format!("--controllers={}", controllers.join(",")),
                // 15 s and 5 min by default: a run would take an hour.
                "--horizontal-pod-autoscaler-sync-period=1s".to_owned(),
                "--horizontal-pod-autoscaler-downscale-stabilization=0s".to_owned(),
                "--kube-api-qps=200".to_owned(),
                "--kube-api-burst=400".to_owned(),
                "--profiling=false".to_owned(),
            ],
        );
    }

    /// The operator and the adapter, which call each other with one certificate.
    pub fn keda(&mut self, ports: &Ports, certs: &Certs, config: &Path) {
        let dir = self.dir.join("keda");
        fs::create_dir(&dir).expect("a directory");
        let files = [
            (&certs.ca, "ca.crt"),
            (&certs.server.cert, "tls.crt"),
            (&certs.server.key, "tls.key"),
        ];
        for (pem, name) in files {
            fs::write(dir.join(name), &pem.text).expect("a certificate");
        }
        let trusted = dir.join("trusted");
        fs::create_dir(&trusted).expect("a directory");
        fs::write(trusted.join("ca.crt"), &certs.ca.text).expect("a certificate");
        let (config, certs) = (config.display(), dir.display());
        self.start(
            "keda-operator",
            vec![
                format!("--kubeconfig={config}"),
                "--leader-elect=false".to_owned(),
                format!("--cert-dir={certs}"),
                // What its scalers trust beside the system's authorities.
                format!("--ca-dir={certs}/trusted"),
                "--enable-cert-rotation=false".to_owned(),
                format!("--metrics-bind-address=127.0.0.1:{}", ports.keda_metrics),
                format!("--health-probe-bind-address=127.0.0.1:{}", ports.keda_probe),
                format!(
                    "--metrics-service-bind-address=127.0.0.1:{}",
                    ports.keda_grpc
                ),
                // 20 and 30 by default: a hundred new objects would take most of a minute.
                "--kube-api-qps=200".to_owned(),
                "--kube-api-burst=400".to_owned(),
                "--zap-log-level=info".to_owned(),
                "--zap-encoder=console".to_owned(),
                "--zap-time-encoding=rfc3339nano".to_owned(),
            ],
        );
        self.start(
            "keda-adapter",
            vec![
                format!("--kubeconfig={config}"),
                format!("--lister-kubeconfig={config}"),
                format!("--authentication-kubeconfig={config}"),
                format!("--authorization-kubeconfig={config}"),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={}", ports.adapter),
                format!("--client-ca-file={certs}/ca.crt"),
                format!("--tls-cert-file={certs}/tls.crt"),
                format!("--tls-private-key-file={certs}/tls.key"),
                format!("--cert-dir={certs}"),
                format!("--metrics-service-address=127.0.0.1:{}", ports.keda_grpc),
                format!("--port={}", ports.adapter_metrics),
                "--zap-log-level=info".to_owned(),
                "--zap-encoder=console".to_owned(),
            ],
        );
    }

    pub fn kwok(&mut self, ports: &Ports, config: &Path) {
        let stages = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/cluster/kwok/stages.yaml"
        );
        self.start(
            "kwok",
            vec![
                format!("--kubeconfig={}", config.display()),
                "--manage-all-nodes=true".to_owned(),
                "--node-ip=127.0.0.1".to_owned(),
                "--cidr=10.0.0.0/16".to_owned(),
                format!("--server-address=127.0.0.1:{}", ports.kwok),
                "--node-lease-duration-seconds=40".to_owned(),
                format!("--config={stages}"),
            ],
        );
    }

    fn start(&mut self, name: &'static str, arguments: Vec<String>) {
        let child = self.spawn(name, name, arguments);
        self.running.push((name, child));
    }

    /// A process that its caller ends.
    pub fn spawn(&self, name: &str, log: &str, arguments: Vec<String>) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file(log));
        let log = log.expect("a log file");
        let child = Command::new(self.tools.join(name))
            .args(arguments)
            .env("POD_NAMESPACE", super::KEDA)
            .env("KEDA_CLUSTER_OBJECT_NAMESPACE", super::KEDA)
            // All namespaces.
            .env("WATCH_NAMESPACE", "")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .process_group(process::group())
            .spawn();
        child.unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `make test-cluster` builds it",
                self.tools.join(name).display()
            )
        })
    }

    /// Panics with the log of a process that has ended.
    pub fn must_run(&mut self) {
        let dir = self.dir.clone();
        for (name, child) in &mut self.running {
            if let Some(status) = child.try_wait().expect("the status of a child") {
                panic!("{name} ended ({status})\n{}", tail(&log_of(&dir, name)));
            }
        }
    }

    pub fn log(&self, name: &str) -> String {
        log_of(&self.dir, name)
    }

    /// The end of every log.
    pub fn tails(&self) -> String {
        let tails = self.running.iter().map(|(name, _)| {
            let log = self.log(name);
            format!("{name}:\n{}", tail(&log))
        });
        Vec::from_iter(tails).join("\n\n")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name).with_extension("log")
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (name, child) in self.running.iter_mut().rev() {
            let ended = child.kill().and_then(|()| child.wait());
            if let Err(error) = ended {
                eprintln!("{name} was not killed: {error}");
            }
        }
    }
}

fn log_of(dir: &Path, name: &str) -> String {
    let bytes = fs::read(dir.join(name).with_extension("log")).expect("a log file");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
