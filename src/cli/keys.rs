//! `keys`: the declared keys of the trigger types.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use super::{registry, table, to_json, to_stdout};
use crate::{
    error::{Error, Kind, Result},
    metadata::schema::{Key, nearest_of_words},
    sampling::TypeKeys,
};

/// Show the keys that a trigger may have under `metadata:`.
///
/// Without BACKEND, those of every trigger type. Every key can also be given as <key>FromEnv.
///
/// JSON: [{backend, "query": [{name, meaning, allowed, default, required, secret}], "connection",
/// "tls" and "common" alike}]. `default` is null where there is none.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Keys {
    /// A trigger type, as after `backend:`.
    backend: Option<String>,

    /// A table for people, a page of the reference, or JSON for programs.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Markdown,
    Json,
}

/// How wide a table is drawn.
const WIDTH: u16 = 120;

impl Keys {
    /// Prints the keys.
    pub fn run(self) -> Result<()> {
        let mut types = types();
        if let Some(backend) = &self.backend {
            if !types.iter().any(|keys| keys.trigger_type == backend) {
                return Err(unknown(backend, &types));
            }
            types.retain(|keys| keys.trigger_type == backend);
        }
        to_stdout(&match self.output {
            Output::Table => text(&types),
            Output::Markdown => markdown(&types),
            Output::Json => to_json(&types)?,
        })
    }
}

/// Every trigger type, with meanings on one line: their doc comments break where the source does.
fn types() -> Vec<TypeKeys> {
    let mut types: Vec<TypeKeys> = registry().keys().collect();
    for keys in &mut types {
        let TypeKeys {
            query,
            connection,
            tls,
            common,
            ..
        } = keys;
        for key in [query, connection, tls, common].into_iter().flatten() {
            key.meaning = key.meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
    types
}

fn unknown(backend: &str, types: &[TypeKeys]) -> Error {
    let known: Vec<_> = types.iter().map(|keys| keys.trigger_type).collect();
    let hint = nearest_of_words(backend, &known)
        .map(|near| format!("Did you mean `{near}`?"))
        .unwrap_or_default();
    let what = format!(
        "backend: {backend:?} is not known; known are {}",
        known.join(", ")
    );
    Error::new(Kind::Invalid, what, hint)
}

/// A heading, and the keys below it.
struct Section<'a> {
    title: String,
    keys: &'a [Key],
}

/// What belongs to each type, then what is the same for all of them.
fn sections(types: &[TypeKeys]) -> Vec<Section<'_>> {
    let section = |title: String, keys| Section { title, keys };
    let of_type = types.iter().flat_map(|keys| {
        let backend = keys.trigger_type;
        [
            section(format!("{backend}: what to measure"), &keys.query[..]),
            section(
                format!("{backend}: address and credentials"),
                &keys.connection[..],
            ),
        ]
    });
    let common = types.first().map(|keys| {
        [
            section("Every backend: TLS".to_owned(), &keys.tls[..]),
            section("Every trigger".to_owned(), &keys.common[..]),
        ]
    });
    of_type.chain(common.into_iter().flatten()).collect()
}

fn text(types: &[TypeKeys]) -> String {
    let tables = sections(types).into_iter().map(|Section { title, keys }| {
        let rows = keys.iter().map(|key| {
            let meaning = format!("{} ({})", key.meaning, key.allowed);
            [key.name.clone(), default(key), meaning]
        });
        let table = table::wrapped(&["KEY", "DEFAULT", "MEANING"], rows, WIDTH);
        format!("{title}\n\n{table}")
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn markdown(types: &[TypeKeys]) -> String {
    let mut page = String::from(
        "# Trigger keys\n\nEvery key can also be given as `<key>FromEnv`, which names an environment variable of the scaled\ncontainer; KEDA sends its value.\n",
    );
    for Section { title, keys } in sections(types) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "\n## {title}\n\n| Key | Default | Allowed | Meaning |\n| --- | --- | --- | --- |"
        );
        for key in keys {
            let default = match &key.default {
                Some(default) => format!("`{default}`"),
                None if key.required => "**required**".to_owned(),
                None => String::new(),
            };
            let [allowed, meaning] = [&key.allowed, &key.meaning].map(|text| cell(text));
            let _ = writeln!(
                page,
                "| `{}` | {default} | {allowed} | {meaning} |",
                key.name
            );
        }
    }
    page
}

fn default(key: &Key) -> String {
    match &key.default {
        Some(default) => default.clone(),
        None if key.required => "required".to_owned(),
        None => "-".to_owned(),
    }
}

/// Text that does not end its cell, nor becomes a tag.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_every_type_is_in_every_form() {
        let types = types();
        let (text, markdown) = (text(&types), markdown(&types));
        for keys in &types {
            let sections = [&keys.query, &keys.connection, &keys.tls, &keys.common];
            for key in sections.into_iter().flatten() {
                assert!(text.contains(&format!("\n{} ", key.name)), "{}", key.name);
                let row = format!("\n| `{}` | ", key.name);
                assert!(markdown.contains(&row), "{}", key.name);
            }
            assert!(markdown.contains(&format!("\n## {}: ", keys.trigger_type)));
        }
    }

    #[test]
    fn a_line_fits_a_screen() {
        for line in text(&types()).lines() {
            assert!(line.chars().count() <= usize::from(WIDTH), "{line}");
        }
    }

    #[test]
    fn a_key_without_meaning_is_a_gap_in_the_reference() {
        for keys in types() {
            let sections = [keys.query, keys.connection, keys.tls, keys.common];
            for key in sections.into_iter().flatten() {
                assert!(
                    !key.meaning.is_empty(),
                    "{}: {}",
                    keys.trigger_type,
                    key.name
                );
                assert!(!key.meaning.contains('\n'), "{}", key.meaning);
            }
        }
    }

    #[test]
    fn an_unknown_backend_is_told_the_known_ones() {
        let error = unknown("redis-stream", &types());
        assert_eq!(error.kind(), Kind::Invalid);
        let error = error.to_string();
        assert!(error.contains("known are redis, redis-cluster"), "{error}");
        assert!(error.contains("Did you mean `redis-streams`?"), "{error}");
        let error = unknown("redis-list", &types()).to_string();
        assert!(error.contains("Did you mean `redis`?"), "{error}");
    }

    #[test]
    fn markdown_stays_within_its_cell() {
        assert_eq!(cell("a | b <c>"), "a \\| b &lt;c>");
    }
}
