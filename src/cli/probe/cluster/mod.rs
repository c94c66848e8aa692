//! Objects of a cluster, with the authentications of their triggers.

mod names;
mod read;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use futures_util::{StreamExt, stream};

use self::read::Scope;
pub use self::{
    names::{Wanted, parse as parse_names, parse_with_kind},
    read::Found,
};
use super::{
    Map, Probe, in_process,
    manifest::{self, Manifests, Object},
    metadata::{Environment, Variable},
    of_engine, said,
};
use crate::{
    cli::to_stderr,
    error::{Error, Result},
    keda::client::Scaler,
    kubernetes::{Access, Kubernetes, Options},
    server,
    settings::{KubernetesSettings, Settings},
    telemetry::Telemetry,
};

#[derive(Args)]
pub struct Cluster {
    /// Read ScaledObjects and ScaledJobs from the cluster, with their TriggerAuthentications.
    #[arg(long)]
    cluster: bool,

    #[command(flatten)]
    place: Place,
}

/// Which cluster, and where in it.
#[derive(Args)]
pub struct Place {
    /// The namespace, instead of that of the kubeconfig's context.
    #[arg(long, short, value_name = "NAMESPACE", requires = "cluster")]
    namespace: Option<String>,

    /// All namespaces.
    #[arg(long, short = 'A', requires = "cluster", conflicts_with = "namespace")]
    all_namespaces: bool,

    /// The kubeconfig's context, instead of its current one.
    #[arg(long, value_name = "NAME", requires = "cluster")]
    context: Option<String>,

    /// A kubeconfig, instead of what KUBECONFIG names or ~/.kube/config.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    kubeconfig: Option<PathBuf>,
}

/// A cluster to read. Nothing is requested until something is read.
pub struct Source {
    pub kubernetes: Kubernetes,
    access: Access,
    scope: Scope,
    settings: Settings,
    /// The settings are those of a server, and it reads no authentications.
    is_off: bool,
}

/// A look-up of an authentication may take this long: those of all triggers begin at once, and the API
/// server gets a few requests at a time.
const LOOK_UP: Duration = Duration::from_secs(60);

/// Objects whose environment is read at once.
const AT_ONCE: usize = 16;

const UNSET: &str = "the scaled container has no such variable, or it is empty, so the key is left out, \
    as KEDA does";

const NOT_LISTED: &str =
    "is not read, as kubernetes.namespaces of --config does not have its namespace";

const SWITCHED_OFF: &str = "is not read, as --config has kubernetes.enabled: false";

impl Cluster {
    pub fn is_given(&self) -> bool {
        self.cluster
    }

    /// Reads, evaluates and prints, and says on stderr what cannot be evaluated. Whether every trigger
    /// has a value.
    pub async fn probe(&self, probe_of: &Probe) -> Result<bool> {
        let wanted = parse_names(&probe_of.what)?;
        let settings = probe_of.settings()?;
        let source = self.place.open(settings, probe_of.config.is_some()).await?;
        let found = source.find(&wanted).await?;
        let (objects, is_whole) = source.objects(&found).await;
        let scaler = match &probe_of.address {
            Some(address) => Scaler::connect(address).await?,
            None => source.scaler(&objects, &probe_of.map).await?,
        };
        let report = probe_of.evaluate(&scaler, &objects).await?;
        Ok(is_whole && probe_of.passes(&report))
    }
}

impl Place {
    /// Whether it is all namespaces.
    pub fn is_everywhere(&self) -> bool {
        self.all_namespaces
    }

    /// Finds out how to reach it. `is_configured`: the settings are those of a server.
    pub async fn open(&self, settings: Settings, is_configured: bool) -> Result<Source> {
        // A second one is an error, and means the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let access = self.access(&settings).await?;
        let scope = self.scope(&access)?;
        let options = options(&settings, scope.namespace())?;
        let telemetry = Telemetry::default();
        Ok(Source {
            kubernetes: Kubernetes::new(access.clone(), options, telemetry.kubernetes())?,
            is_off: is_configured && !settings.kubernetes.enabled,
            access,
            scope,
            settings,
        })
    }

    /// Arguments come before the settings, and these before what kubectl would use.
    async fn access(&self, settings: &Settings) -> Result<Access> {
        let KubernetesSettings {
            kubeconfig,
            context,
            ..
        } = &settings.kubernetes;
        let file = self.kubeconfig.as_ref().or(kubeconfig.as_ref());
        let context = self.context.as_ref().or(context.as_ref());
        Access::of_kubectl(file.map(PathBuf::as_path), context.map(String::as_str)).await
    }

    fn scope(&self, access: &Access) -> Result<Scope> {
        if self.all_namespaces {
            return Ok(Scope::All);
        }
        let given = self.namespace.as_deref();
        names::check_namespace(given.unwrap_or(access.namespace())).map(Scope::Namespace)
    }
}

impl Source {
    /// Which cluster it is, for people.
    pub fn name(&self) -> String {
        self.access.name()
    }

    /// The namespace of what names none; `None`: all of them are read.
    pub fn namespace(&self) -> Option<&str> {
        self.scope.namespace()
    }

    /// KEDA's own namespace.
    pub fn keda_namespace(&self) -> &str {
        &self.settings.kubernetes.keda_namespace
    }

    /// All objects, or those that are wanted, as they are written.
    pub async fn find(&self, wanted: &[Wanted]) -> Result<Vec<Found>> {
        let found = read::objects(&self.kubernetes, &self.scope, wanted).await?;
        for note in found.notes {
            to_stderr("note", note);
        }
        Ok(found.objects)
    }

    /// Those that can be evaluated, and whether these are all.
    pub async fn objects(&self, found: &[Found]) -> (Vec<Object>, bool) {
        let listed = &self.settings.kubernetes.namespaces;
        let is_listed = |found: &Found| {
            let namespace = found.id.namespace.as_ref();
            listed.is_empty() || namespace.is_some_and(|namespace| listed.contains(namespace))
        };
        let note = |found: &Found| match self.is_off {
            true => Some(SWITCHED_OFF),
            false => (!is_listed(found)).then_some(NOT_LISTED),
        };
        let read = found.iter();
        let read = read.map(|found| evaluated(&self.kubernetes, found, note(found)));
        let read: Vec<_> = stream::iter(read).buffered(AT_ONCE).collect().await;
        let (mut objects, mut is_whole) = (Vec::new(), true);
        for read in read {
            let (of, whole) = said(read);
            objects.extend(of);
            is_whole &= whole;
        }
        (objects, is_whole)
    }

    /// The scaler within this process. It reads the authentications of these objects, if they have any.
    pub async fn scaler(&self, objects: &[Object], map: &Map) -> Result<Scaler> {
        let mut triggers = objects.iter().flat_map(|object| &object.triggers);
        let is_authenticated = triggers.any(|trigger| trigger.is_authenticated);
        if !is_authenticated || self.is_off {
            return in_process(&self.settings, map);
        }
        // Of all namespaces there is one watch, not one for each.
        let named = objects.iter().filter(|_| self.namespace().is_some());
        let namespaces = named.map(|object| object.namespace.as_str());
        let options = options(&self.settings, namespaces)?;
        let telemetry = Telemetry::default();
        let access = self.access.clone();
        let kubernetes = Kubernetes::new(access, options, telemetry.kubernetes())?.watch()?;
        let kubernetes = Arc::new(kubernetes);
        kubernetes.settled().await;
        let engine = server::engine_with_authentications(
            &self.settings,
            kubernetes,
            LOOK_UP,
            &telemetry,
            &map.hosts(),
        )?;
        Ok(of_engine(engine, telemetry))
    }
}

/// An object with the values of its triggers' `…FromEnv` keys.
async fn evaluated(
    kubernetes: &Kubernetes,
    Found { id, object }: &Found,
    authentications: Option<&'static str>,
) -> Manifests {
    let names: BTreeSet<String> = read::variables(object);
    let values = kubernetes.environment(id, object, &names).await;
    let get = |name: &str| match &values {
        Ok(values) => match values.get(name) {
            Some(Ok(Some(value))) => Variable::Value(value.expose().to_owned()),
            Some(Ok(None)) | None => Variable::Unset,
            Some(Err(error)) => Variable::Failed(error.clone()),
        },
        Err(error) => Variable::Failed(Error::clone(error)),
    };
    let env = Environment {
        get: &get,
        unset: UNSET,
    };
    manifest::of_object(&id.to_string(), object, &env, authentications)
}

/// As the settings have them, for these namespaces; without any, for all of the settings. One that the
/// settings do not list is refused as by the server.
fn options<'a>(
    settings: &Settings,
    namespaces: impl IntoIterator<Item = &'a str>,
) -> Result<Options> {
    let enabled = KubernetesSettings {
        enabled: true,
        ..settings.kubernetes.clone()
    };
    let mut options = enabled.options()?.unwrap_or_default();
    let is_listed = |namespace: &String| {
        options.namespaces.is_empty() || options.namespaces.contains(namespace)
    };
    let namespaces: BTreeSet<String> = namespaces.into_iter().map(str::to_owned).collect();
    let namespaces: Vec<String> = namespaces.into_iter().filter(is_listed).collect();
    if !namespaces.is_empty() {
        options.namespaces = namespaces;
    }
    Ok(options)
}
