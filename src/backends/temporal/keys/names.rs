//! Names in the keys: of task queues, and of what becomes part of a query.

use std::collections::BTreeSet;

use crate::metadata::{
    patterns::Patterns,
    problem::{Problem, Problems},
    values::NameList,
};

/// The names of a list, or what is wrong with each entry.
pub fn parse_list(list: &NameList) -> Result<Patterns, Problems> {
    let entries = || list.0.iter().map(String::as_str);
    let parse_all = Patterns::parse(entries());
    parse_all.map_err(|reason| {
        let mut problems = Problems::default();
        for entry in entries() {
            let parsed = Patterns::parse([entry]);
            problems.keep(parsed.map_err(|reason| Problem::value("taskQueues", entry, reason)));
        }
        match problems.0.is_empty() {
            true => Problem::value("taskQueues", list.0.join(","), reason).into(),
            false => problems,
        }
    })
}

/// The server's limit of names, `limit.maxIDLength`, by default.
const LONGEST_NAME: usize = 1000;

pub fn check_queue(key: &str, name: &str) -> Result<(), Problem> {
    let reason = if name.trim().is_empty() {
        "is empty; it must be the name of a task queue"
    } else if name.starts_with("/_sys/") {
        "is the name of a partition; use the task queue's own, which stands for all of them"
    } else if name.len() > LONGEST_NAME {
        "is longer than the 1000 bytes that a task queue's name may have"
    } else {
        return Ok(());
    };
    Err(Problem::value(key, name, reason))
}

pub fn check_literals(
    key: &str,
    values: &BTreeSet<String>,
    needed_by: &str,
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for value in values {
        problems.keep(check_literal(key, value, needed_by));
    }
    problems.into_result()
}

/// Visibility queries, and those of workers, have no parameters: a value in one must not be able to
/// end its literal. `needed_by` is the key that has one sent.
pub fn check_literal(key: &str, value: &str, needed_by: &str) -> Result<(), Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '-');
    match !value.is_empty() && value.chars().all(good) {
        true => Ok(()),
        false => {
            let reason = format!(
                "cannot be part of a visibility query, which `{needed_by}` needs; allowed are letters, \
                 digits and _ . / : -"
            );
            Err(Problem::value(key, value, reason))
        }
    }
}
