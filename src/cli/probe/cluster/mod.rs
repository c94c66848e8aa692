//! Objects of a cluster, with the authentications of their triggers.

mod names;
mod read;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use futures_util::{StreamExt, stream};

use self::{names::Wanted, read::Scope};
use super::{
    Probe, in_process,
    manifest::{self, Manifests, Object},
    metadata::{Environment, Variable},
    of_engine,
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
        // A second one is an error, and means the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wanted = names::parse(&probe_of.what)?;
        let settings = probe_of.settings()?;
        let access = self.access(&settings).await?;
        let scope = self.scope(&access)?;
        let options = options(&settings, &scope)?;
        let telemetry = Telemetry::default();
        let kubernetes = Kubernetes::new(access, options, telemetry.kubernetes())?;
        let is_off = probe_of.config.is_some() && !settings.kubernetes.enabled;
        let (objects, is_whole) = self
            .objects(
                &kubernetes,
                &scope,
                &wanted,
                is_off,
                &settings.kubernetes.namespaces,
            )
            .await?;
        let mut triggers = objects.iter().flat_map(|object| &object.triggers);
        let is_authenticated = triggers.any(|trigger| trigger.is_authenticated);
        let scaler = match &probe_of.address {
            Some(address) => Scaler::connect(address).await?,
            None if is_authenticated && !is_off => {
                let kubernetes = Arc::new(kubernetes.watch()?);
                kubernetes.settled().await;
                let hosts = probe_of.map.hosts();
                let engine = server::engine_with_authentications(
                    &settings, kubernetes, LOOK_UP, &telemetry, &hosts,
                )?;
                of_engine(engine, telemetry)
            }
            None => in_process(&settings, &probe_of.map)?,
        };
        let report = probe_of.evaluate(&scaler, &objects).await?;
        Ok(is_whole && !report.has_failures())
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

    /// The objects that can be evaluated, and whether these are all.
    async fn objects(
        &self,
        kubernetes: &Kubernetes,
        scope: &Scope,
        wanted: &[Wanted],
        is_off: bool,
        listed: &[String],
    ) -> Result<(Vec<Object>, bool)> {
        let found = read::objects(kubernetes, scope, wanted).await?;
        for note in found.notes {
            to_stderr("note", note);
        }
        let is_listed = |found: &read::Found| {
            let namespace = found.id.namespace.as_ref();
            listed.is_empty() || namespace.is_some_and(|namespace| listed.contains(namespace))
        };
        let note = |found: &read::Found| match is_off {
            true => Some(SWITCHED_OFF),
            false => (!is_listed(found)).then_some(NOT_LISTED),
        };
        let read = found.objects.into_iter();
        let read = read.map(|found| {
            let note = note(&found);
            evaluated(kubernetes, found, note)
        });
        let read: Vec<_> = stream::iter(read).buffered(AT_ONCE).collect().await;
        let (mut objects, mut is_whole) = (Vec::new(), true);
        for read in read {
            match read {
                Ok(Manifests { objects: of, notes }) => {
                    objects.extend(of);
                    notes.into_iter().for_each(|note| to_stderr("note", note));
                }
                Err(problems) => {
                    is_whole = false;
                    let problems = problems.into_iter();
                    problems.for_each(|problem| to_stderr("error", problem));
                }
            }
        }
        Ok((objects, is_whole))
    }
}

/// An object with the values of its triggers' `…FromEnv` keys.
async fn evaluated(
    kubernetes: &Kubernetes,
    read::Found { id, object }: read::Found,
    authentications: Option<&'static str>,
) -> Result<Manifests, Vec<String>> {
    let names: BTreeSet<String> = read::variables(&object);
    let values = kubernetes.environment(&id, &object, &names).await;
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
    manifest::of_object(&id.to_string(), &object, &env, authentications)
}

/// As the settings have them; a namespace that they do not list is refused as by the server.
fn options(settings: &Settings, scope: &Scope) -> Result<Options> {
    let enabled = KubernetesSettings {
        enabled: true,
        ..settings.kubernetes.clone()
    };
    let mut options = enabled.options()?.unwrap_or_default();
    if let Scope::Namespace(namespace) = scope
        && (options.namespaces.is_empty() || options.namespaces.contains(namespace))
    {
        options.namespaces = vec![namespace.clone()];
    }
    Ok(options)
}
