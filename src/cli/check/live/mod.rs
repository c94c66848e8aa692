//! `check --live`: what a call of KEDA would meet, step by step, so that the first that fails is named.

mod backends;
mod cluster;
mod server;
mod stage;
mod tls;

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;

use self::{cluster::Subject, stage::Mark, tls::Tls};
use crate::{
    cli::{
        environment,
        probe::{self, Manifests, Source, Wanted},
    },
    error::{Error, Kind, Result},
    keda::client::Address,
    manifests::File,
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

    /// With --live: use TLS to the server, and trust this CA (PEM).
    #[arg(long, value_name = "FILE", requires = "live")]
    ca_cert: Option<PathBuf>,

    /// With --live: the client certificate to present (PEM).
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca_cert"])]
    cert: Option<PathBuf>,

    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// With --live: the name in the server's certificate, if it is not the host of the address, as behind a
    /// port-forward.
    #[arg(long, value_name = "NAME", requires = "live")]
    server_name: Option<String>,

    #[command(flatten)]
    map: probe::Map,

    /// With --live: read each object in the cluster as well: whether it is there as it is written, and
    /// the conditions of KEDA and of the HPA. Without files, the objects are those of the cluster.
    #[arg(long, requires = "live")]
    cluster: bool,

    #[command(flatten)]
    place: probe::Place,
}

/// What is checked.
pub struct Inputs<'a> {
    /// To evaluate.
    objects: Vec<probe::Object>,
    /// What keeps others from being evaluated.
    problems: Vec<String>,
    source: Option<&'a Source>,
    /// To look at in the cluster.
    subjects: Vec<Subject>,
}

impl<'a> Inputs<'a> {
    /// Objects of files.
    pub fn of_files(files: &[(File, bool)], source: Option<&'a Source>) -> Result<Self> {
        let namespace = source.and_then(Source::namespace);
        let Manifests {
            objects, problems, ..
        } = probe::manifests(files, namespace);
        Ok(Inputs {
            objects,
            problems,
            subjects: match source {
                Some(_) => cluster::written(files, namespace)?,
                None => Vec::new(),
            },
            source,
        })
    }

    /// Objects of the cluster, with their texts: those that are wanted, or all with a trigger of ours.
    pub async fn of_cluster(
        source: &'a Source,
        wanted: &[Wanted],
    ) -> Result<(Self, Vec<(File, bool)>)> {
        let mut found = source.find(wanted).await?;
        if wanted.is_empty() {
            found.retain(|found| found.has_external_trigger());
        }
        let (objects, is_whole) = source.objects(&found).await;
        let unread = (!is_whole).then(|| "what stderr says".to_owned());
        let files = found.iter().map(|found| (found.file(), false)).collect();
        let inputs = Inputs {
            objects,
            problems: Vec::from_iter(unread),
            source: Some(source),
            subjects: found.into_iter().map(Subject::Found).collect(),
        };
        Ok((inputs, files))
    }
}

impl Live {
    /// Whether it is wanted.
    pub fn is_wanted(&self) -> bool {
        self.live
    }

    /// The arguments as files, and as names of objects in the cluster.
    pub fn split(&self, arguments: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Wanted>)> {
        match self.cluster {
            true => {
                let (files, names) = cluster::split(arguments)?;
                self.check(&files)?;
                Ok((files, names))
            }
            false => Ok((arguments.to_vec(), Vec::new())),
        }
    }

    /// The cluster, if it is wanted.
    pub async fn open(&self, config: Option<&PathBuf>) -> Result<Option<Source>> {
        if !self.cluster {
            return Ok(None);
        }
        // What is wrong with settings is a step, and they are not needed to get there.
        let read = settings::load(config.map(PathBuf::as_path), environment());
        let is_configured = config.is_some() && read.is_ok();
        let source = self.place.open(read.unwrap_or_default(), is_configured);
        source.await.map(Some)
    }

    /// Whether files can be compared with what is meant to be in the cluster.
    fn check(&self, files: &[PathBuf]) -> Result<()> {
        match self.place.is_everywhere() && !files.is_empty() {
            true => Err(Error::new(
                Kind::Invalid,
                "-A: files name the namespaces of their objects",
                "Leave -A out; -n is for objects that name none.",
            )),
            false => Ok(()),
        }
    }

    /// All steps: server, settings, connections, triggers, and the objects in the cluster.
    pub async fn run(&self, inputs: Inputs<'_>, config: Option<&PathBuf>) -> Result<Vec<Stage>> {
        let Inputs {
            objects,
            problems,
            source,
            subjects,
        } = inputs;
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
            (None, Some(settings)) => Some(match source {
                Some(source) => source.scaler(&objects, &self.map).await?,
                None => probe::in_process(settings, &self.map)?,
            }),
            (None, None) => None,
        };
        if let Some(problem) = problems.first() {
            let what = match problems.len() {
                1 => "1 problem keeps triggers from being evaluated".to_owned(),
                number => format!("{number} problems keep triggers from being evaluated"),
            };
            let failed = Stage::new("manifests", Mark::Failed, what).because(problem);
            stages.push(failed.mended_by("mend what is found above, and run this again"));
        }
        match scaler {
            Some(scaler) => {
                if healthy.is_none() {
                    let what = "evaluated by this process, as no server can be called";
                    stages.push(Stage::new("evaluation", Mark::Warning, what));
                }
                let hosts = healthy.is_none().then(|| self.map.hosts());
                backends::check(&scaler, objects, hosts.as_ref(), &mut stages).await;
            }
            None => stages.push(
                Stage::new("triggers", Mark::Failed, "not evaluated")
                    .because("neither a server nor valid settings")
                    .mended_by("fix what is above, or give --config"),
            ),
        }
        if let Some(source) = source {
            cluster::check(source, subjects, &mut stages).await;
        }
        Ok(stages)
    }

    fn tls(&self, objects: &[probe::Object]) -> Result<Option<Tls>> {
        let triggers = objects.iter().flat_map(|object| &object.triggers);
        let wanted = triggers
            .filter_map(|trigger| trigger.metadata.get("enableTLS"))
            .any(|text| text.trim().eq_ignore_ascii_case("true"));
        let files = tls::Files {
            ca: self.ca_cert.as_deref(),
            identity: self.cert.as_deref().zip(self.key.as_deref()),
        };
        match (files.ca, wanted) {
            (None, false) => Ok(None),
            _ => Tls::new(&files, self.server_name.as_deref()).map(Some),
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
                        .mended_by("fix the setting; a file or variable of the server's own pod can only be read there"),
                );
                Ok(None)
            }
        }
    }
}
