//! `check --live`: what a call of KEDA would meet, step by step, so that the first that fails is named.

mod backends;
mod server;
mod stage;

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;

use self::{server::Tls, stage::Mark};
use crate::{
    cli::{environment, probe},
    error::Result,
    keda::client::Address,
    settings::{self, Settings},
};
pub use stage::{Stage, text};

/// What belongs to `--live` alone.
#[derive(Args)]
pub struct Live {
    /// Then connect: to the scaler, with its settings to the backends, and evaluate every trigger.
    #[arg(long)]
    live: bool,

    /// With --live: the server, instead of the triggers' scalerAddress (host:port or unix:/path).
    #[arg(long, value_name = "ADDRESS", requires = "live")]
    address: Option<Address>,

    /// With --live: use TLS to the server, and trust this authority (PEM).
    #[arg(long, value_name = "FILE", requires = "live")]
    ca_cert: Option<PathBuf>,

    #[command(flatten)]
    map: probe::Map,
}

impl Live {
    /// Whether it is wanted.
    pub fn is_wanted(&self) -> bool {
        self.live
    }

    /// All steps: server, settings, connections, triggers.
    pub async fn run(
        &self,
        objects: Vec<probe::Object>,
        config: Option<&PathBuf>,
    ) -> Result<Vec<Stage>> {
        let mut stages = Vec::new();
        let tls = self.tls(&objects)?;
        let mut healthy = None;
        for address in self.addresses(&objects, &mut stages) {
            if server::check(&address, tls.as_ref(), &mut stages).await {
                healthy.get_or_insert(address);
            }
        }
        let settings = self.settings(config, &mut stages)?;
        let scaler = match (&healthy, &settings) {
            (Some(address), _) => Some(server::scaler(address, tls.as_ref()).await?),
            // Its own settings are better than none; what they lack is said by the triggers.
            (None, Some(settings)) => Some(probe::in_process(settings, &self.map)?),
            (None, None) => None,
        };
        match scaler {
            Some(scaler) => {
                if healthy.is_none() {
                    let what = "evaluated by this process, as no server can be called";
                    stages.push(Stage::new("triggers", Mark::Warning, what));
                }
                backends::check(&scaler, objects, &mut stages).await;
            }
            None => stages.push(
                Stage::new("triggers", Mark::Failed, "not evaluated")
                    .because("neither a server nor valid settings")
                    .mended_by("mend what is above, or give --config"),
            ),
        }
        Ok(stages)
    }

    fn tls(&self, objects: &[probe::Object]) -> Result<Option<Tls>> {
        let triggers = objects.iter().flat_map(|object| &object.triggers);
        let wanted = triggers
            .filter_map(|trigger| trigger.metadata.get("enableTLS"))
            .any(|text| text.trim().eq_ignore_ascii_case("true"));
        match (&self.ca_cert, wanted) {
            (None, false) => Ok(None),
            (ca, _) => Tls::new(ca.as_deref()).map(Some),
        }
    }

    /// The servers to call, each once.
    fn addresses(&self, objects: &[probe::Object], stages: &mut Vec<Stage>) -> Vec<Address> {
        if let Some(address) = &self.address {
            return vec![address.clone()];
        }
        let triggers = objects.iter().flat_map(|object| &object.triggers);
        let written = triggers.filter_map(|trigger| trigger.metadata.get("scalerAddress"));
        let written: BTreeSet<&str> = written.map(|text| text.trim()).collect();
        let mut addresses = Vec::new();
        for text in written {
            match text.parse::<Address>() {
                Ok(address) => addresses.push(address),
                Err(reason) => stages.push(
                    Stage::new("server", Mark::Failed, format!("scalerAddress {text}"))
                        .because(reason)
                        .mended_by("write host:port, or give --address"),
                ),
            }
        }
        addresses
    }

    /// The settings with their secrets, where they can be read here. `None`: they are wrong.
    fn settings(
        &self,
        config: Option<&PathBuf>,
        stages: &mut Vec<Stage>,
    ) -> Result<Option<Settings>> {
        let read = settings::load(config.map(PathBuf::as_path), environment());
        let read = read.and_then(|settings| settings.named_connections().map(|_| settings));
        match (read, config) {
            (Ok(settings), Some(path)) => {
                let number = settings.connections.len();
                let what = format!("{}: {number} named connections", path.display());
                stages.push(Stage::new("settings", Mark::Passed, what));
                Ok(Some(settings))
            }
            (Ok(settings), None) => {
                let what = "none given; those of the server are not known here";
                stages.push(Stage::new("settings", Mark::Warning, what));
                Ok(Some(settings))
            }
            (Err(error), _) => {
                stages.push(
                    Stage::new("settings", Mark::Failed, "cannot be used here")
                        .because(error)
                        .mended_by("mend the setting; a file or variable of the server's own pod can be read there alone"),
                );
                Ok(None)
            }
        }
    }
}
