//! A file → the ScaledObjects and ScaledJobs to probe, with everything that is wrong with it and
//! notes for its author.

use std::collections::BTreeMap;

use serde_json::Value;

use super::metadata::{Environment, Resolver, Variable};
pub use crate::manifests::{Bounds, Combination, MetricType, Scaled, is_external};
use crate::{
    check::is_settings,
    error::{Error, Kind, one_line},
    manifests::{self, Cause, File, Found, Skipped},
};

/// A ScaledObject or ScaledJob.
#[derive(Clone)]
pub struct Object {
    pub scaled: Scaled,
    pub namespace: String,
    pub name: String,
    pub bounds: Bounds,
    pub combination: Combination,
    pub triggers: Vec<Trigger>,
}

/// One of its triggers. No `Debug`: the metadata may hold secrets.
#[derive(Clone)]
pub struct Trigger {
    pub name: Option<String>,
    pub trigger_type: String,
    pub metric_type: MetricType,
    /// As KEDA sends it: texts, with `…FromEnv` resolved.
    pub metadata: BTreeMap<String, String>,
    /// Whether it has an `authenticationRef`.
    pub is_authenticated: bool,
    /// Why the metadata are not known.
    pub failed: Option<Error>,
}

/// What a file holds, with notes for its author.
pub struct Manifests {
    /// Those that can be read. A trigger with a problem of its own is a failed one.
    pub objects: Vec<Object>,
    pub notes: Vec<String>,
    /// Everything that is wrong, each with the place.
    pub problems: Vec<String>,
}

impl Manifests {
    /// `Err`: what is wrong.
    #[cfg(test)]
    pub fn sound(self) -> Result<Self, Vec<String>> {
        match self.problems.is_empty() {
            true => Ok(self),
            false => Err(self.problems),
        }
    }
}

/// Reads a file's text; `env` gives the value of an environment variable. `Err` is everything
/// that is wrong with it, each with the place.
#[cfg(test)]
pub fn read(
    file: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Manifests, Vec<String>> {
    read_all(&[(File::new(file, text), false)], env, None).sound()
}

/// The same of many files, some of them found in folders: those may be anything. `namespace` is that of
/// objects that name none.
pub fn read_all(
    files: &[(File, bool)],
    env: &dyn Fn(&str) -> Option<String>,
    namespace: Option<&str>,
) -> Manifests {
    let get = |name: &str| match env(name) {
        Some(value) => Variable::Value(value),
        None => Variable::Unset,
    };
    let env = Environment {
        get: &get,
        unset: NOT_SET_HERE,
    };
    let mut reader = Reader::new(&env, Some(NOT_IN_A_FILE));
    reader.namespace = namespace;
    for (file, in_folder) in files {
        if !in_folder || !is_settings(file) {
            reader.file(file, *in_folder);
        }
    }
    if reader.objects.is_empty() && reader.problems.is_empty() {
        // What they hold instead explains it.
        reader.problems.extend(reader.notes.iter().cloned());
        let names: Vec<&str> = files.iter().map(|(file, _)| file.name()).collect();
        let held = match &names[..] {
            [name] => format!("{name}: holds"),
            names => format!("{} files: hold", names.len()),
        };
        let problem = format!("{held} no ScaledObject or ScaledJob");
        reader.problems.push(problem);
    }
    reader.end()
}

/// Reads one object of the API. `place` is its kind and its name; `authentications` is a note for
/// triggers with an `authenticationRef`.
pub fn of_object(
    place: &str,
    object: &Value,
    env: &Environment<'_>,
    authentications: Option<&'static str>,
) -> Manifests {
    let file = File::new(place, object.to_string());
    let mut found = Found::of(&file);
    // It is in no document of a file.
    found
        .objects
        .iter_mut()
        .for_each(|object| object.place = place.to_owned());
    found
        .problems
        .iter_mut()
        .for_each(|problem| problem.place = place.to_owned());
    let mut reader = Reader::new(env, authentications);
    reader.found(found, false);
    reader.end()
}

const NOT_SET_HERE: &str = "the variable that it names is not set here, so the key is left out, as \
    KEDA does; KEDA looks in the environment of the scaled container, probe in its own";

const NOT_IN_A_FILE: &str = "its parameters are not in the manifest: a server with kubernetes.enabled \
    reads them from the cluster, as does `probe --cluster`";

fn skipped(skipped: &Skipped<'_>) -> String {
    let Skipped {
        place,
        kind,
        version,
        ..
    } = skipped;
    format!(
        "{place}: skipped a {kind} of apiVersion {version:?}; probed are ScaledObjects and ScaledJobs of keda.sh/v1alpha1"
    )
}

struct Reader<'a> {
    env: &'a Environment<'a>,
    authentications: Option<&'static str>,
    /// Of objects that name none.
    namespace: Option<&'a str>,
    objects: Vec<Object>,
    notes: Vec<String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(env: &'a Environment<'a>, authentications: Option<&'static str>) -> Self {
        Reader {
            env,
            authentications,
            namespace: None,
            objects: Vec::new(),
            notes: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn end(self) -> Manifests {
        let lines = |texts: Vec<String>| texts.into_iter().map(one_line).collect();
        Manifests {
            objects: self.objects,
            notes: lines(self.notes),
            problems: lines(self.problems),
        }
    }

    fn file(&mut self, file: &File, in_folder: bool) {
        self.found(Found::of(file), in_folder);
    }

    fn found(&mut self, found: Found<'_>, in_folder: bool) {
        let Found {
            objects,
            skipped,
            problems,
            unread: _,
        } = found;
        let problems = problems.iter();
        let problems = problems.filter(|problem| !in_folder || problem.cause != Cause::NoKind);
        self.problems.extend(problems.map(ToString::to_string));
        if !in_folder {
            self.notes.extend(skipped.iter().map(self::skipped));
        }
        for object in objects {
            self.object(object);
        }
    }

    fn object(&mut self, mut object: manifests::Object<'_>) {
        object.namespace = object.namespace_or(self.namespace);
        let id = format!("{}/{}", object.namespace, object.name);
        if object.paused {
            let note = "has an annotation that pauses it: KEDA does not scale it by these values";
            self.notes.push(format!("{id}: {note}"));
        }
        let place = &object.place;
        let mut triggers = Vec::new();
        for (i, item) in object.triggers.into_iter().enumerate() {
            let mut problems = Vec::new();
            let mut resolver = Resolver {
                env: self.env,
                path: format!("spec.triggers[{i}].metadata"),
                of: format!("{id}, trigger {i}"),
                notes: &mut self.notes,
                problems: &mut problems,
                failed: None,
            };
            let is_ours = is_external(&item.trigger_type);
            let is_authenticated = is_ours && item.has_authentication;
            if let Some(note) = self.authentications.filter(|_| is_authenticated) {
                resolver.note(&format!("authenticationRef: {note}"));
            }
            let metadata = match is_ours {
                true => resolver.resolve(item.metadata),
                false => BTreeMap::new(),
            };
            let unread = |problem: &String| Error::new(Kind::Invalid, problem, "");
            let failed = resolver.failed.or_else(|| problems.first().map(unread));
            let at_place = |problem| format!("{place}: {problem}");
            self.problems.extend(problems.into_iter().map(at_place));
            triggers.push(Trigger {
                name: item.name,
                metadata,
                is_authenticated,
                failed,
                trigger_type: item.trigger_type,
                metric_type: item.metric_type.unwrap_or_default(),
            });
        }
        self.objects.push(Object {
            scaled: object.scaled,
            namespace: object.namespace,
            name: object.name,
            bounds: object.bounds,
            combination: object.combination,
            triggers,
        });
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
