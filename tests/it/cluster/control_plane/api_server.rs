//! The API server: how it is started, and another one that a scenario may stop.

use std::{
    path::Path,
    process::Child,
    sync::Arc,
    time::{Duration, Instant},
};

use testkit::{
    certs::{Certs, Pem},
    process,
};

use super::{ControlPlane, DEADLINE, write_kubeconfig};
use crate::cluster::kubectl::Kubectl;

const PROGRAM: &str = "kube-apiserver";

pub fn arguments(dir: &Path, etcd: u16, port: u16, certs: &Certs) -> Vec<String> {
    let path = |pem: &Pem| pem.path.display().to_string();
    let (cert, key) = (path(&certs.server.cert), path(&certs.server.key));
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        // The programs of the run are administrators (system:masters).
        "--authorization-mode=RBAC".to_owned(),
        "--anonymous-auth=false".to_owned(),
        format!("--token-auth-file={}", dir.join("tokens.csv").display()),
        format!("--tls-cert-file={cert}"),
        format!("--tls-private-key-file={key}"),
        format!("--client-ca-file={}", path(&certs.ca)),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={cert}"),
        format!("--service-account-signing-key-file={key}"),
        // The front proxy must be of another authority than clients.
        format!("--requestheader-client-ca-file={}", path(&certs.other_ca)),
        "--requestheader-allowed-names=stranger".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", path(&certs.stranger.cert)),
        format!("--proxy-client-key-file={}", path(&certs.stranger.key)),
        // No controller makes the service account that it would add to every pod.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--enable-priority-and-fairness=false".to_owned(),
        // Longer than a run: the watches do not end before it does.
        "--min-request-timeout=14400".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

/// Another API server of the same cluster, on the same etcd. KEDA and the HPA controller use the first
/// one, and go on while this one is stopped.
pub struct ApiServer {
    cluster: Arc<ControlPlane>,
    port: u16,
    kubectl: Kubectl,
    child: Option<Child>,
}

impl ApiServer {
    /// It is ready on return.
    pub fn start(cluster: Arc<ControlPlane>) -> Self {
        let port = process::free_port();
        let name = format!("kubeconfig-{port}");
        let config = write_kubeconfig(cluster.dir.path(), &name, &cluster.certs, port);
        let program = cluster.kubectl.program().to_owned();
        let mut api_server = ApiServer {
            kubectl: Kubectl::new(program, config),
            cluster,
            port,
            child: None,
        };
        api_server.restart();
        api_server
    }

    /// With the administrator's token.
    pub fn kubeconfig(&self) -> &Path {
        self.kubectl.config()
    }

    /// SIGKILL. On return its port refuses connections.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("to kill a child");
            child.wait().expect("to reap a child");
        }
    }

    /// Starts it again, on the same port; it is ready on return.
    pub fn restart(&mut self) {
        self.stop();
        let ControlPlane {
            ports, certs, dir, ..
        } = &*self.cluster;
        let log = format!("{PROGRAM}-{}", self.port);
        let arguments = arguments(dir.path(), ports.etcd, self.port, certs);
        let processes = self.cluster.processes.lock().unwrap();
        self.child = Some(processes.spawn(PROGRAM, &log, arguments));
        drop(processes);
        let begun = Instant::now();
        while let Err(error) = self.kubectl.attempt(&["get", "--raw", "/readyz"], "") {
            assert!(begun.elapsed() < DEADLINE, "it is not ready: {error}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}
