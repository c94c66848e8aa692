//! What became of each trigger: for people, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    plan::Fate,
    rewrite::Migration,
    site::{Outcome, REFERENCE},
};
use crate::manifests::File;

/// How many triggers moved, stay, and are of other types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub moved: usize,
    pub stay: usize,
    pub others: usize,
}

impl Counts {
    pub fn of(migration: &Migration) -> Self {
        let mut counts = Counts::default();
        for file in &migration.files {
            counts.others += file.others;
            for trigger in &file.triggers {
                match trigger.refused.is_empty() {
                    true => counts.moved += 1,
                    false => counts.stay += 1,
                }
            }
        }
        counts
    }
}

/// The report for people.
pub fn text(files: &[File], migration: &Migration) -> String {
    let mut text = String::new();
    for (file, moved) in files.iter().zip(&migration.files) {
        for trigger in &moved.triggers {
            text += &of_trigger(file.name(), trigger);
        }
    }
    text += &summary(Counts::of(migration));
    let settings = migration.settings.yaml();
    if !settings.is_empty() {
        text += "\nThe server's settings need:\n\n";
        for line in settings.lines() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn summary(counts: Counts) -> String {
    let Counts {
        moved,
        stay,
        others,
    } = counts;
    let triggers = |count: usize| match count {
        1 => "1 trigger".to_owned(),
        _ => format!("{count} triggers"),
    };
    let mut text = match (moved, stay) {
        (0, 0) => "no trigger of KEDA's own that could move".to_owned(),
        _ => format!("{} moved, {stay} cannot", triggers(moved)),
    };
    if others > 0 {
        let _ = write!(text, "; {} of other types, as they were", triggers(others));
    }
    text + "\n"
}

fn of_trigger(file: &str, trigger: &Outcome) -> String {
    let Outcome {
        object,
        index,
        position,
        was,
        ..
    } = trigger;
    let (line, column) = (position.line, position.column);
    let mut text = format!("{file}:{line}:{column}: {object}, trigger {index}: {was} ");
    text += match trigger.refused.is_empty() {
        true => "moves\n",
        false => "cannot move\n",
    };
    let mut say = |line: String| {
        let _ = writeln!(text, "    {line}");
    };
    for (at, why) in &trigger.refused {
        say(format!("{file}:{}:{}: {why}", at.line, at.column));
    }
    if !trigger.refused.is_empty() {
        return text;
    }
    let stay: Vec<&str> = trigger
        .fates
        .iter()
        .filter(|(_, fate)| *fate == Fate::Stays)
        .map(|(key, _)| key.as_str())
        .chain(trigger.beside.iter().map(String::as_str))
        .collect();
    if !stay.is_empty() {
        say(format!("as before: {}", stay.join(", ")));
    }
    for (key, fate) in &trigger.fates {
        match fate {
            Fate::Stays => {}
            Fate::Differs(what) => say(format!("{key}: stays; {what}")),
            Fate::Becomes {
                key: new,
                value,
                why,
            } => {
                let value = value.map(|value| format!(": {value}")).unwrap_or_default();
                say(format!("{key}: is now `{new}{value}`; {why}"));
            }
            Fate::Goes(why) => say(format!("{key}: removed; {why}")),
            Fate::ToConnection => say(format!("{key}: is now of the named connection")),
        }
    }
    if let Some(why) = trigger.reference_goes {
        say(format!("{REFERENCE}: removed; {why}"));
    }
    for note in &trigger.notes {
        say(format!("note: {note}"));
    }
    text
}

/// The report for programs; `texts` are what each file becomes, where they are wanted.
pub fn json(files: &[File], migration: &Migration, texts: Vec<Option<String>>) -> Value {
    let Counts {
        moved,
        stay,
        others,
    } = Counts::of(migration);
    let all = files.iter().zip(&migration.files).zip(texts);
    let all = all.map(|((file, moved), text)| {
        let triggers: Vec<Value> = moved.triggers.iter().map(trigger_json).collect();
        json!({
            "file": file.name(),
            "changed": moved.text != file.text(),
            "triggers": triggers,
            "text": text,
        })
    });
    json!({
        "moved": moved,
        "cannotMove": stay,
        "others": others,
        "settings": migration.settings.yaml(),
        "files": all.collect::<Vec<_>>(),
    })
}

fn trigger_json(trigger: &Outcome) -> Value {
    let keys = trigger.fates.iter().map(|(key, fate)| {
        let (becomes, new, value, why) = match fate {
            Fate::Stays => ("same", None, None, None),
            Fate::Differs(what) => ("differs", None, None, Some((*what).to_owned())),
            Fate::Becomes { key, value, why } => {
                ("renamed", Some(*key), *value, Some((*why).to_owned()))
            }
            Fate::Goes(why) => ("removed", None, None, Some(why.clone())),
            Fate::ToConnection => ("connection", None, None, None),
        };
        json!({"key": key, "becomes": becomes, "newKey": new, "newValue": value, "why": why})
    });
    let reference = trigger.reference_goes.map(|why| {
        json!({"key": REFERENCE, "becomes": "removed", "newKey": null, "newValue": null, "why": why})
    });
    let refused = trigger.refused.iter();
    let refused =
        refused.map(|(at, why)| json!({"line": at.line, "column": at.column, "why": why}));
    json!({
        "object": trigger.object,
        "index": trigger.index,
        "line": trigger.position.line,
        "column": trigger.position.column,
        "backend": trigger.was,
        "moved": trigger.refused.is_empty(),
        "keys": keys.chain(reference).collect::<Vec<_>>(),
        "beside": trigger.beside,
        "notes": trigger.notes,
        "refused": refused.collect::<Vec<_>>(),
        "connection": trigger.connection,
    })
}
