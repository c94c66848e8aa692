//! The objects in the cluster: that they are there as they are written, and what KEDA and the HPA say of
//! them.

mod applied;
mod condition;
mod hpa;
mod keda;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::stage::{Mark, Stage};
use crate::{
    cli::{
        probe::{self, Found, Source, Wanted},
        registry,
    },
    error::{Error, Kind, Result},
    kubernetes::{Kubernetes, ObjectId, Resource},
    manifests::{File, Found as InFile, Object, Scaled},
    sampling::TypeKeys,
};

/// Objects that are read at once.
const AT_ONCE: usize = 16;

/// An object to look at.
pub enum Subject {
    /// As a file has it.
    Written(Written),
    /// As it was found in the cluster.
    Found(Found),
}

/// An object as a file has it.
pub struct Written {
    id: ObjectId,
    /// The name of the file.
    file: String,
    /// `jobs.yaml, document 2 (line 14)`.
    place: String,
    spec: Value,
}

/// What is known of an object.
struct State {
    id: ObjectId,
    written: Option<Written>,
    /// `None`: it does not exist.
    object: Result<Option<Value>>,
    /// `None`: it has none yet.
    hpa: Option<(ObjectId, Result<Option<Value>>)>,
}

/// Arguments as files and names: what has one of KEDA's kinds before it is a name; else `-`, a file's
/// ending, or that there is such a file or folder, make it a file.
pub fn split(arguments: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Wanted>)> {
    let is_file = |path: &&PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_manifest = matches!(extension, Some("yaml" | "yml" | "json"));
        probe::parse_with_kind(path).is_none()
            && (path.as_os_str() == "-" || is_manifest || path.exists())
    };
    let (files, names): (Vec<&PathBuf>, Vec<&PathBuf>) = arguments.iter().partition(is_file);
    if let (Some(file), Some(name)) = (files.first(), names.first()) {
        let (file, name) = (file.display(), name.display());
        return Err(Error::new(
            Kind::Invalid,
            format!("`{file}` is a file, and `{name}` is none"),
            "With --cluster, give files, or names of objects in the cluster.",
        ));
    }
    let own = |paths: Vec<&PathBuf>| paths.into_iter().cloned().collect::<Vec<_>>();
    Ok((own(files), probe::parse_names(&own(names))?))
}

/// The objects of files. `namespace` is that of objects that name none.
pub fn written(files: &[(File, bool)], namespace: Option<&str>) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for (file, _) in files {
        for object in InFile::of(file).objects {
            let id = id(&object, namespace)?;
            let spec = object.node.get("spec").map(|spec| spec.value());
            // Whatever is wrong with the text is a finding.
            let Some(Ok(spec)) = spec else { continue };
            subjects.push(Subject::Written(Written {
                id,
                file: file.name().to_owned(),
                place: object.place,
                spec,
            }));
        }
    }
    Ok(subjects)
}

fn id(object: &Object<'_>, namespace: Option<&str>) -> Result<ObjectId> {
    let resource = match object.scaled {
        Scaled::Object => Resource::ScaledObjects,
        Scaled::Job => Resource::ScaledJobs,
    };
    let namespace = object.namespace_or(namespace);
    ObjectId::new(resource, Some(&namespace), &object.name)
}

/// Adds the steps of each object, after one that names the cluster.
pub async fn check(source: &Source, subjects: Vec<Subject>, stages: &mut Vec<Stage>) {
    let kubernetes = &source.kubernetes;
    let states = subjects
        .into_iter()
        .map(|subject| read(kubernetes, subject));
    let states: Vec<State> = stream::iter(states).buffered(AT_ONCE).collect().await;
    let name = source.name();
    match states.iter().find_map(State::unreachable) {
        Some(error) => {
            let failed = Stage::new("cluster", Mark::Failed, name).because(error.what());
            let fix = "kubectl get --raw /readyz; another cluster: --context, --kubeconfig";
            stages.push(failed.mended_by(fix));
            return;
        }
        None => stages.push(Stage::new("cluster", Mark::Passed, name)),
    }
    let keys: Vec<TypeKeys> = registry().keys().collect();
    for state in &states {
        stages.extend(judge(state, source.keda_namespace(), &keys));
    }
}

impl State {
    /// Why nothing can be read; what is wrong with one object alone is said there.
    fn unreachable(&self) -> Option<&Error> {
        let error = self.object.as_ref().err()?;
        matches!(error.kind(), Kind::Unreachable | Kind::TimedOut).then_some(error)
    }
}

async fn read(kubernetes: &Kubernetes, subject: Subject) -> State {
    let (id, written, object) = match subject {
        Subject::Found(Found { id, object }) => (id, None, Ok(Some(object))),
        Subject::Written(written) => {
            let object = kubernetes.get(&written.id).await;
            (written.id.clone(), Some(written), object)
        }
    };
    let name = object.as_ref().ok().and_then(Option::as_ref);
    let name = name.and_then(|object| object["status"]["hpaName"].as_str());
    let hpa = match name.filter(|name| !name.is_empty()) {
        None => None,
        Some(name) => {
            let namespace = id.namespace.as_deref();
            // A status is KEDA's, and still a text from elsewhere.
            match ObjectId::new(Resource::HorizontalPodAutoscalers, namespace, name) {
                Ok(hpa) => {
                    let read = kubernetes.get(&hpa).await;
                    Some((hpa, read))
                }
                Err(_) => None,
            }
        }
    };
    State {
        id,
        written,
        object,
        hpa,
    }
}

/// The steps of one object.
fn judge(state: &State, keda_namespace: &str, keys: &[TypeKeys]) -> Vec<Stage> {
    let section = state.id.to_string();
    let failed = |what: &str| Stage::new(&section, Mark::Failed, what);
    let object = match (&state.object, &state.written) {
        (Err(error), _) => return vec![failed("in the cluster").on(error)],
        (Ok(None), Some(written)) => {
            let because = format!("it does not exist, and {} has it", written.place);
            let apply = written.command("apply", &state.id);
            return vec![failed("in the cluster").because(because).mended_by(apply)];
        }
        (Ok(None), None) => return vec![failed("in the cluster").because("it does not exist")],
        (Ok(Some(object)), _) => object,
    };
    let mut stages = Vec::new();
    if let Some(written) = &state.written {
        stages.push(applied(&section, &state.id, written, object, keys));
    }
    let of = keda::Of {
        section: &section,
        id: &state.id,
        object,
        keda_namespace,
    };
    stages.extend(keda::judge(&of));
    if state.id.resource == Resource::ScaledObjects {
        match &state.hpa {
            None => stages.extend(keda::without_hpa(&of)),
            Some((hpa, Ok(Some(found)))) => stages.extend(hpa::judge(&of, hpa, found)),
            Some((_, Ok(None))) => stages.extend(keda::without_hpa(&of)),
            Some((hpa, Err(error))) => {
                stages.push(Stage::new(&section, Mark::Warning, format!("{hpa}")).on(error));
            }
        }
    }
    stages
}

fn applied(
    section: &str,
    id: &ObjectId,
    written: &Written,
    object: &Value,
    keys: &[TypeKeys],
) -> Stage {
    let place = &written.place;
    match applied::difference(&written.spec, &object["spec"], keys) {
        None => Stage::new(section, Mark::Passed, format!("applied as in {place}")),
        Some(difference) => {
            let what = format!("applied is another version than {place}");
            let fix = format!(
                "{} shows all of it, and {} applies it",
                written.command("diff", id),
                written.command("apply", id)
            );
            let warning = Stage::new(section, Mark::Warning, what);
            warning.because(difference).mended_by(fix)
        }
    }
}

impl Written {
    fn command(&self, verb: &str, id: &ObjectId) -> String {
        let namespace = id.namespace.as_deref().unwrap_or_default();
        let file = match self.file.as_str() {
            "stdin" => "FILE",
            file => file,
        };
        format!("`kubectl -n {namespace} {verb} -f {file}`")
    }
}
