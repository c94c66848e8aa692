//! Values that are not known here, because a variable or a file has them: something of the right form,
//! so that everything else can be checked.

use crate::metadata::problem::{Problem, Problems};

/// A value of the form that a key of this name has.
pub fn value(key: &str) -> String {
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n\
                       -----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    let lower = key.to_lowercase();
    let is_address = ["address", "server", "broker", "endpoint"]
        .iter()
        .any(|word| lower.contains(word));
    match key {
        "ca" | "cert" | "key" => PEM.to_owned(),
        "tls" => "enable".to_owned(),
        _ if is_address => "elsewhere:1".to_owned(),
        _ => "1".to_owned(),
    }
}

/// The problems that are of the written values: those of the `stood_in` keys are of our own doing.
pub fn without(problems: Problems, stood_in: &[String]) -> Vec<Problem> {
    let is_ours = |problem: &Problem| {
        let key = problem.key.rsplit('.').next().unwrap_or_default();
        let same = |name: &String| {
            let base = ["FromEnv", "FromFile"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            key == name || Some(key) == base
        };
        stood_in.iter().any(same) && !problem.reason.starts_with("unknown key")
    };
    problems
        .0
        .into_iter()
        .filter(|problem| !is_ours(problem))
        .collect()
}
