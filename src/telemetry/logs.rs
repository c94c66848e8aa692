//! The log: to stderr, as text for people or JSON for programs.

use std::io::{self, IsTerminal};

use schemars::JsonSchema;
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, util::SubscriberInitExt};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What libraries log by themselves comes to us as errors, and is logged once.
const LIBRARIES: &str = "h2=warn,hyper=warn,hyper_util=warn,kafka_protocol=warn,kube_client=error,\
                         kube_runtime=error,redis=error,reqwest=warn,rsasl=warn,rustls=error,\
                         tonic=warn,tower=warn";

/// A filter in the syntax of `RUST_LOG`; a level alone is that of our own log.
fn filter(level: &str) -> Result<EnvFilter, String> {
    if level.contains(['=', ',']) {
        return EnvFilter::try_new(level).map_err(|error| error.to_string());
    }
    // The syntax takes any other word for the name of a module, and would log nothing.
    let level: LevelFilter = level.parse().map_err(|_| "no such level".to_owned())?;
    EnvFilter::try_new(format!("{level},{LIBRARIES}")).map_err(|error| error.to_string())
}

/// Starts the process-wide log. `level` is a level or a filter in the syntax of `RUST_LOG`.
pub fn start(format: Format, level: &str) -> Result<(), String> {
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(filter);
    let started = match format {
        Format::Text => builder.with_target(false).finish().try_init(),
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    // Another subscriber is there already: in tests, where many servers run in one process.
    started.or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_leaves_libraries_quiet_and_a_filter_is_taken_as_it_is() {
        let text = |level: &str| filter(level).expect("a filter").to_string();
        assert!(text("debug").contains("redis=error"), "{}", text("debug"));
        assert_eq!(text("warn,redis=debug"), "redis=debug,warn");
        assert!(filter("loud").is_err());
    }
}
