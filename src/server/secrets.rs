//! Secrets of named connections that change while the server runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};
use tracing::warn;

use crate::{
    error::{Error, Kind, Result},
    sampling::{Engine, NamedConnection},
    settings::ConnectionSettings,
    telemetry::{SecretMetrics, Telemetry},
};

/// How often the files are looked at. Kubernetes itself takes about a minute to update a mounted
/// Secret, by a symlink that file watchers miss.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The connections as they are written, and what their files last held.
pub struct Secrets {
    written: Arc<BTreeMap<String, ConnectionSettings>>,
    read: BTreeMap<String, Seen>,
}

/// What was last found of one connection: an error is reported once.
#[derive(PartialEq, Eq)]
enum Seen {
    Keys(Box<NamedConnection>),
    Unreadable(String),
}

impl Secrets {
    /// `read` is what the connections were started with.
    pub fn new(
        written: &BTreeMap<String, ConnectionSettings>,
        read: BTreeMap<String, NamedConnection>,
    ) -> Self {
        let keys = |(name, connection)| (name, Seen::Keys(Box::new(connection)));
        Secrets {
            written: Arc::new(written.clone()),
            read: read.into_iter().map(keys).collect(),
        }
    }

    /// Looks for changes until the engine has ended.
    pub async fn watch(mut self, engine: Weak<Engine>, telemetry: Telemetry) {
        if !self.written.values().any(ConnectionSettings::has_files) {
            return;
        }
        let metrics = telemetry.secrets();
        loop {
            sleep(LOOK_EVERY).await;
            let written = self.written.clone();
            // A volume over the network may block for long.
            let Ok(found) = spawn_blocking(move || read(&written)).await else {
                continue;
            };
            let Some(engine) = engine.upgrade() else {
                return;
            };
            for (name, found) in found {
                self.apply(&engine, name, found, &metrics);
            }
        }
    }

    fn apply(
        &mut self,
        engine: &Engine,
        name: String,
        found: Result<NamedConnection>,
        metrics: &SecretMetrics,
    ) {
        let found = match found {
            Ok(keys) => Seen::Keys(Box::new(keys)),
            Err(error) => Seen::Unreadable(error.to_string()),
        };
        if self.read.get(&name) == Some(&found) {
            return;
        }
        let used = match &found {
            Seen::Keys(keys) => engine.replace_connection(&name, keys),
            Seen::Unreadable(reason) => Err(Error::new(Kind::Invalid, reason, "")),
        };
        if let Err(reason) = used {
            metrics.reload_failed();
            warn!(
                connection = name,
                "its secrets changed and cannot be used, and the old ones stay: {reason}"
            );
        }
        self.read.insert(name, found);
    }
}

fn read(written: &BTreeMap<String, ConnectionSettings>) -> Vec<(String, Result<NamedConnection>)> {
    let with_files = written.iter().filter(|(_, c)| c.has_files());
    let resolved = with_files.map(|(name, connection)| {
        let path = format!("connections.{name}");
        (name.clone(), connection.resolve(&path))
    });
    resolved.collect()
}
