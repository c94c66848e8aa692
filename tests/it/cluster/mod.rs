//! Real KEDA on a real Kubernetes control plane, with our program behind it: `make test-cluster`.
//!
//! etcd, kube-apiserver, kube-controller-manager with its HPA controller, KEDA's operator and
//! metrics adapter run on loopback; KWOK plays the node and its pods. All scenarios of a run share
//! them, each in a namespace of its own. Every scenario prints its timeline.

mod control_plane;
mod kubectl;
mod objects;
mod program;
mod timeline;

mod authentication;
mod backends;
mod check;
mod deploy;
mod examples;
mod exceptions;
mod jobs;
mod many;
mod outages;
mod pipeline;
mod pools;
mod probe;
mod push;
mod recorded;
mod refused;
mod replicas;
mod scaling;
mod sidecar;
mod signals;
mod tls;
mod watching;

use std::{
    io::Write,
    sync::{Arc, OnceLock},
    time::Duration,
};

use control_plane::ControlPlane;

/// Names the folder with the programs that `tests/cluster/install.sh` builds.
const TOOLS: &str = "CLUSTER_TOOLS";

/// The deadline of what takes seconds, for busy machines.
const SOON: Duration = Duration::from_secs(90);

/// The cluster of this run, started by the first scenario. `None` without its programs, which is
/// reported; `make test` does without, even when everything else must be there.
fn cluster() -> Option<Arc<ControlPlane>> {
    static CLUSTER: OnceLock<Arc<ControlPlane>> = OnceLock::new();
    let Some(tools) = std::env::var_os(TOOLS) else {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a scenario");
        let line = format!("skipped {test}: {TOOLS} is not set; `make test-cluster` runs it\n");
        // libtest captures print!, not a write to the stream itself.
        let _ = std::io::stderr().write_all(line.as_bytes());
        return None;
    };
    let cluster = CLUSTER.get_or_init(|| Arc::new(ControlPlane::start(tools.into())));
    Some(cluster.clone())
}

/// Skips a scenario where there is no cluster.
macro_rules! needs_cluster {
    () => {
        match $crate::cluster::cluster() {
            Some(cluster) => cluster,
            None => return,
        }
    };
}
pub(crate) use needs_cluster;
