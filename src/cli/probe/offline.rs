//! What `check` finds in the manifests, beside what evaluating them shows.

use crate::{
    check::{Checker, Severity},
    cli::{check::summary, to_stderr},
    error::Result,
    manifests::File,
    settings::Settings,
};

/// What a note, a hint or the error of the trigger says already.
const SHOWN: [&str; 9] = [
    "invalid-metadata",
    "no-scaler-address",
    "paused",
    "replicas-metric-type",
    "time-signal-metric-type",
    "unknown-key",
    "unquoted-value",
    "unreachable-authentication",
    "zero-threshold",
];

/// Writes the findings to stderr; `false`: some of them are errors (if `strict`, or warnings). Must be
/// called within a tokio runtime.
pub fn check(files: &[(File, bool)], settings: Option<&Settings>, strict: bool) -> Result<bool> {
    let checker = match settings {
        Some(settings) => Checker::of(settings)?,
        None => Checker::new()?,
    };
    let mut is_sound = true;
    for (file, in_folder) in files {
        for finding in checker.check(file, *in_folder) {
            let severity = finding.code.severity;
            is_sound &= severity == Severity::Warning && !strict;
            if !SHOWN.contains(&finding.code.name) {
                to_stderr(severity.label(), summary(&finding));
            }
        }
    }
    Ok(is_sound)
}
