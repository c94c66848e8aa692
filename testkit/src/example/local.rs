//! `local.yaml`: what stands for the cluster on one machine.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{Options, Result, load_test::LoadTest};

/// The file beside an example's README.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Local {
    /// Which real server is started: `temporal`, `redis` or `kafka`.
    pub server: String,
    /// Addresses in the manifests, and in what follows here, for which this server stands.
    pub addresses: Vec<String>,
    /// Kafka topics that are created, with their partitions.
    #[serde(default)]
    pub topics: BTreeMap<String, i32>,
    /// What puts work in, and counts it. See [`super::load`].
    pub load: LoadCommand,
    /// Variables of every worker, over those of its Deployment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How many times as fast as here the clock of KEDA and the HPA goes: polling intervals, syncs,
    /// cooldown, stabilization windows and the periods of policies. Work takes its real time.
    pub speed: f64,
    /// Of one Deployment at most, whatever its `maxReplicaCount`: a worker is a process here.
    pub max_workers: u32,
    /// What `make load-test` simulates.
    #[serde(default)]
    pub load_test: Option<LoadTest>,
    /// More settings of the scaler, such as named connections.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// A command that runs beside the workers.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadCommand {
    /// `python` is the one with the client library.
    pub command: Vec<String>,
    /// Its variables, beside `RATE` and `SECONDS`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Items of work in a second.
    pub rate: f64,
    /// For how long they come.
    pub seconds: u64,
}

/// More workers than this are no more for one machine.
const MOST_WORKERS: u32 = 50;
/// A poll of 30 s then comes each 0.3 s.
const MOST_SPEED: f64 = 100.0;

impl Local {
    /// Reads and checks the file of a directory.
    pub fn read(directory: &Path) -> Result<Self> {
        let file = directory.join("local.yaml");
        let text = std::fs::read_to_string(&file);
        let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
        let local: Local = serde_saphyr::from_str(&text)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(local)
    }

    /// What the caller says goes over what the file says, within bounds.
    pub fn override_by(&mut self, options: &Options) {
        self.load.rate = options.rate.unwrap_or(self.load.rate).clamp(0.0, 1000.0);
        self.load.seconds = options.seconds.unwrap_or(self.load.seconds).min(24 * 3600);
        let speed = options.speed.unwrap_or(self.speed);
        self.speed = speed.clamp(1.0, MOST_SPEED);
        let workers = options.max_workers.unwrap_or(self.max_workers);
        self.max_workers = workers.clamp(1, MOST_WORKERS);
    }

    /// A text of the manifests with the real server's address in place of the cluster's.
    pub fn with_addresses(&self, text: &str, server: &str) -> String {
        let all = self.addresses.iter();
        all.fold(text.to_owned(), |text, address| {
            text.replace(address, server)
        })
    }

    /// What is to be seen, before it begins.
    pub fn introduction(&self) -> String {
        let Local {
            load: super::local::LoadCommand { rate, seconds, .. },
            speed,
            max_workers,
            ..
        } = self;
        format!(
            "{rate} items of work a second for {seconds} s; the clock of KEDA and the HPA goes {speed} times as \
             fast; at most {max_workers} workers of a Deployment (RATE, SECONDS, SPEED and WORKERS change this; \
             Ctrl-C ends it)"
        )
    }
}
