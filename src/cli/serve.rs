//! `serve`: the server.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use super::{environment, runtime};
use crate::{
    error::{Error, Kind, Result},
    server::{self, Listeners},
    settings::{self, Settings},
    telemetry::logs,
};

/// Serve KEDA's external-scaler protocol.
///
/// Works without a file: gRPC on 127.0.0.1:9090; status page, metrics and health on 127.0.0.1:9091.
/// Every setting can also come from the environment: BACKLOG_SCALER__LISTEN__GRPC=0.0.0.0:9090.
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
            let stop = stop_signal()?;
            let listeners = Listeners::bind(&settings.listen).await?;
            server::run(listeners, &settings, stop).await
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

/// SIGTERM and SIGINT, caught from now on: one that comes while the server starts still ends it
/// cleanly. The future says which came.
fn stop_signal() -> Result<impl Future<Output = String>> {
    let catch = |kind| {
        signal(kind).map_err(|error| {
            Error::new(Kind::Internal, format!("cannot catch signals: {error}"), "")
        })
    };
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut hangup = catch(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return "SIGTERM".to_owned(),
                _ = interrupt.recv() => return "SIGINT".to_owned(),
                _ = hangup.recv() => info!(
                    "SIGHUP: certificates and secret files are read again by themselves when they \
                     change; every other setting needs a restart"
                ),
            }
        }
    })
}
