//! Which trigger of a file is tuned.

use super::edit::name;
use crate::{
    cli::to_stderr,
    error::{Error, Kind, Result},
    manifests::{File, Found, Scaled, is_external},
};

/// A trigger of a ScaledObject.
pub struct Chosen {
    /// `shop/worker`.
    pub object: String,
    /// Which of its triggers, counted from 0.
    pub trigger: usize,
    /// As after `backend:`.
    pub backend: String,
}

/// The object and the trigger that are chosen, or the only ones.
pub fn choose(file: &File, object: Option<&str>, trigger: Option<usize>) -> Result<Chosen> {
    let invalid = |what: String, next: &str| Err(Error::new(Kind::Invalid, what, next));
    let found = Found::of(file);
    if let Some(problem) = found.problems.first() {
        return invalid(problem.to_string(), "");
    }
    let all = found.objects.iter();
    let objects: Vec<_> = all.filter(|o| o.scaled == Scaled::Object).collect();
    let names: Vec<String> = objects.iter().map(|object| name(object)).collect();
    let is_chosen = |index: &usize| match object {
        Some(chosen) => names[*index] == chosen || objects[*index].name == chosen,
        None => true,
    };
    let chosen: Vec<usize> = (0..names.len()).filter(is_chosen).collect();
    let [chosen] = chosen[..] else {
        let what = match names.is_empty() {
            true => format!("{}: holds no ScaledObject", file.name()),
            false => format!("{}: holds {}", file.name(), names.join(", ")),
        };
        return invalid(what, "Choose one with --object.");
    };
    let (object, id) = (objects[chosen], &names[chosen]);
    let triggers = object.triggers.iter().enumerate();
    let external: Vec<usize> = triggers
        .filter(|(_, trigger)| is_external(&trigger.trigger_type))
        .map(|(index, _)| index)
        .collect();
    let trigger = match (trigger, &external[..]) {
        (None, [only]) => *only,
        (Some(chosen), all) if all.contains(&chosen) => chosen,
        (_, []) => return invalid(format!("{id}: has no trigger of type external"), ""),
        (_, all) => {
            let all: Vec<String> = all.iter().map(usize::to_string).collect();
            let what = format!("{id}: its external triggers are {}", all.join(", "));
            return invalid(
                what,
                "The load is that of one queue: choose one with --trigger.",
            );
        }
    };
    if object.triggers.len() > 1 {
        let note =
            format!("{id}: its other triggers are not simulated, and may want more replicas");
        to_stderr("note", note);
    }
    let backend = object.triggers[trigger].metadata.get("backend");
    let backend = backend
        .and_then(|backend| backend.as_str())
        .unwrap_or_default();
    Ok(Chosen {
        object: id.clone(),
        trigger,
        backend: backend.trim().to_owned(),
    })
}
