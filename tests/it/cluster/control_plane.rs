//! The processes of the control plane and of KEDA, on loopback, for the whole run.

mod api_server;
mod processes;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use testkit::{certs::Certs, process};

use super::kubectl::Kubectl;
pub use api_server::ApiServer;
use processes::{Ports, Processes};
pub use watch::{Replicas, Seen};

/// Starting takes 5 s; a busy machine may take much longer.
const DEADLINE: Duration = Duration::from_secs(120);

/// KEDA's own namespace.
pub const KEDA: &str = "keda";

/// A running control plane with KEDA.
pub struct ControlPlane {
    pub kubectl: Kubectl,
    /// Of all its servers. KEDA trusts their authority.
    pub certs: Certs,
    seen: watch::Watches,
    processes: Mutex<Processes>,
    ports: Ports,
    dir: TempDir,
}

impl ControlPlane {
    /// Starts everything; external metrics are served on return.
    pub fn start(tools: PathBuf) -> Self {
        let begun = Instant::now();
        let dir = process::directory();
        let certs = Certs::generate(dir.path());
        let ports = Ports::free();
        let config = write_kubeconfig(dir.path(), "kubeconfig", &certs, ports.api);
        let kubectl = Kubectl::new(tools.join("kubectl"), config);
        let mut processes = Processes::new(tools.clone(), dir.path().to_owned());

        processes.etcd(&ports);
        processes.api_server(&ports, &certs);
        until("the API server is ready", &mut processes, || {
            kubectl.attempt(&["get", "--raw", "/readyz"], "")
        });
        processes.controller_manager(&ports, kubectl.config());
        let crds = tools.join("crds").display().to_string();
        kubectl.run(&["apply", "--server-side", "-f", &crds], "");
        kubectl.run(
            &[
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                "-f",
                &crds,
            ],
            "",
        );
        kubectl.apply(&objects(&ports));
        processes.keda(&ports, &certs, kubectl.config());
        processes.kwok(&ports, kubectl.config());
        let metrics = "/apis/external.metrics.k8s.io/v1beta1";
        until("external metrics are served", &mut processes, || {
            kubectl.attempt(&["get", "--raw", metrics], "")
        });
        let seen = watch::Watches::start(&kubectl);
        println!(
            "Kubernetes and KEDA are up after {:.1?}; logs in {}",
            begun.elapsed(),
            dir.path().display()
        );
        ControlPlane {
            kubectl,
            certs,
            seen,
            processes: Mutex::new(processes),
            ports,
            dir,
        }
    }

    /// What the watches of Deployments and HPAs have seen last of a ScaledObject and its target,
    /// which have one name.
    pub fn seen(&self, namespace: &str, name: &str) -> Seen {
        self.seen.get(namespace, name)
    }

    /// The lines of KEDA's log about a namespace.
    pub fn keda_log(&self, namespace: &str) -> Vec<String> {
        let log = self.processes.lock().unwrap().log("keda-operator");
        let quoted = format!("\"{namespace}\"");
        let lines = log.lines().filter(|line| line.contains(&quoted));
        lines.map(str::to_owned).collect()
    }

    /// How often KEDA has failed to evaluate a trigger of a namespace, at its second attempt as well.
    pub fn keda_errors(&self, namespace: &str) -> usize {
        let log = self.keda_log(namespace);
        log.iter().filter(|line| line.contains("ERROR")).count()
    }

    /// The last lines, for a failed test.
    pub fn keda_log_tail(&self, namespace: &str) -> String {
        let lines = self.keda_log(namespace);
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// Polls until a call succeeds. A process that ends meanwhile is reported with its log.
fn until(what: &str, processes: &mut Processes, call: impl Fn() -> Result<String, String>) {
    let begun = Instant::now();
    while let Err(error) = call() {
        processes.must_run();
        let late = begun.elapsed() > DEADLINE;
        assert!(
            !late,
            "{what}: not within {DEADLINE:?}: {error}\n{}",
            processes.tails()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The administrator's token; any text that the API server's list of tokens has as well.
const TOKEN: &str = "administrator";

fn write_kubeconfig(dir: &Path, name: &str, certs: &Certs, port: u16) -> PathBuf {
    let tokens = dir.join("tokens.csv");
    std::fs::write(tokens, format!("{TOKEN},admin,admin,system:masters\n")).expect("tokens");
    let text = format!(
        "apiVersion: v1\nkind: Config\n\
         clusters: [{{name: test, cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: \"{}\"}}}}]\n\
         users: [{{name: admin, user: {{token: {TOKEN}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: admin, namespace: default}}}}]\n\
         current-context: test\n",
        certs.ca.path.display()
    );
    let file = dir.join(name);
    std::fs::write(&file, text).expect("the kubeconfig");
    file
}

/// KEDA's namespace, the way to its adapter, and a node.
///
/// The aggregator connects to a Service of type ExternalName by its name, with the port of the
/// APIService: neither DNS nor endpoints are needed. It would want the Service's name in the adapter's
/// certificate, which is the one of all test servers.
fn objects(ports: &Ports) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {KEDA}}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: keda-metrics-apiserver, namespace: {KEDA}}}\n\
         spec: {{type: ExternalName, externalName: 127.0.0.1}}\n---\n\
         apiVersion: apiregistration.k8s.io/v1\nkind: APIService\n\
         metadata: {{name: v1beta1.external.metrics.k8s.io}}\n\
         spec:\n  group: external.metrics.k8s.io\n  version: v1beta1\n  groupPriorityMinimum: 100\n  versionPriority: 100\n\
         \x20 service: {{name: keda-metrics-apiserver, namespace: {KEDA}, port: {}}}\n  insecureSkipTLSVerify: true\n---\n\
         apiVersion: v1\nkind: Node\nmetadata: {{name: {}}}\n",
        ports.adapter,
        super::objects::NODE,
    )
}
