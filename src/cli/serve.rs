//! `serve`: the server.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;

use super::{environment, runtime};
use crate::{
    error::{Error, Kind, Result},
    server::{self, Listeners},
    settings::{self, Settings},
    telemetry::logs,
};

/// Serve KEDA's external-scaler protocol.
///
/// Runs without a file: gRPC on 127.0.0.1:9090, metrics and health on 127.0.0.1:9091. Every setting
/// can also come from the environment: BACKLOG_SCALER__LISTEN__GRPC=0.0.0.0:9090.
#[derive(Args)]
pub struct Serve {
    /// Settings in YAML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    pub fn run(self) -> Result<()> {
        let settings = settings::load(self.config.as_deref(), environment())?;
        start_log(&settings)?;
        runtime()?.block_on(async {
            let listeners = Listeners::bind(&settings.listen).await?;
            server::run(listeners, &settings, stop_signal()).await
        })
    }
}

fn start_log(settings: &Settings) -> Result<()> {
    logs::start(settings.log.format, &settings.log.level).map_err(|error| {
        let level = &settings.log.level;
        Error::new(
            Kind::Invalid,
            format!("log.level: `{level}` is not a level or filter: {error}"),
            "Levels are error, warn, info, debug and trace.",
        )
    })
}

/// Waits for SIGTERM or SIGINT, and says which came.
async fn stop_signal() -> String {
    let mut signals = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            error!("cannot wait for signals, so only SIGKILL ends this process: {error}");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = signals.0.recv() => "SIGTERM".to_owned(),
        _ = signals.1.recv() => "SIGINT".to_owned(),
    }
}
