//! Reads the settings: a YAML file, then the environment over it.

use std::{collections::HashMap, path::Path};

use config::{Case, Config, Environment, File, FileFormat};

use super::{Settings, invalid};
use crate::{
    error::{Error, Kind, Result},
    metadata::problem::without_text,
};

/// A setting's environment variable begins with this; `__` then separates the path's parts:
/// `BACKLOG_SCALER__ENGINE__CALL_TIMEOUT=2s`.
pub const ENV_PREFIX: &str = "BACKLOG_SCALER__";

/// Reads the settings. `env` is the process's environment, or what a test gives.
pub fn load(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings> {
    let mut builder = Config::builder();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            invalid(
                "--config",
                &format!("cannot read {}: {error}", path.display()),
            )
        })?;
        let source = File::from_str(&text, FileFormat::Yaml);
        // Built alone first, so that what is no YAML is blamed on the file.
        Config::builder()
            .add_source(source.clone())
            .build()
            .map_err(|error| {
                let reason = reason_of_yaml(&error.to_string());
                invalid(
                    &path.display().to_string(),
                    &format!("is not valid YAML: {reason}"),
                )
            })?;
        builder = builder.add_source(source);
    }
    let ours = env.into_iter().filter(|(name, _)| is_setting(name));
    let environment = Environment::with_prefix(ENV_PREFIX.trim_end_matches('_'))
        .prefix_separator("__")
        .separator("__")
        .convert_case(Case::Camel)
        .source(Some(ours.collect::<HashMap<_, _>>()));
    let config = builder
        .add_source(environment)
        .build()
        .map_err(|error| Error::new(Kind::Invalid, error.to_string(), ""))?;
    serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        let reason = match error.into_inner() {
            // The path says where; the library's own words would say it again, less precisely.
            config::ConfigError::Type {
                unexpected,
                expected,
                ..
            } => {
                format!("invalid type: {unexpected}, expected {expected}")
            }
            config::ConfigError::At { error, .. } => error.to_string(),
            other => other.to_string(),
        };
        let reason = without_text(&reason);
        match path.as_str() {
            "." => invalid("settings", &reason),
            path => invalid(path, &reason),
        }
    })
}

/// Why a file is no YAML, without what it holds: the library shows keys and values in some of its
/// reasons, and after a slip either may be a secret.
fn reason_of_yaml(text: &str) -> String {
    let duplicate = text.find("duplicated key in mapping");
    match duplicate {
        Some(at) => text[at..].to_owned(),
        None if text.ends_with("unsupported hash key type") => {
            "a key is a map, a list or null".to_owned()
        }
        None if text.ends_with("floating point number failed") => {
            "a number cannot be parsed".to_owned()
        }
        None => without_text(text),
    }
}

/// Kubernetes gives every container variables for the services of its namespace. For one named
/// `backlog-scaler--x` they begin like ours; none of our settings ends like theirs.
fn is_setting(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    upper.starts_with(ENV_PREFIX) && !is_service_link(&upper)
}

/// `{SVC}_SERVICE_HOST`, `{SVC}_SERVICE_PORT[_NAME]`, `{SVC}_PORT[_N_PROTO[_PROTO|_PORT|_ADDR]]`.
fn is_service_link(name: &str) -> bool {
    let after_port = |rest: &str| {
        rest.is_empty()
            || rest
                .strip_prefix('_')
                .is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()))
    };
    let port = name.rfind("_PORT_").map(|at| &name[at + "_PORT".len()..]);
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.ends_with("_TCP_ADDR")
        || name.ends_with("_TCP_PROTO")
        || port.is_some_and(after_port)
}

#[cfg(test)]
mod tests {
    use std::{io::Write, time::Duration};

    use super::*;
    use crate::settings::Address;

    fn from_yaml(yaml: &str) -> Result<Settings> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(yaml.as_bytes()).unwrap();
        load(Some(file.path()), [])
    }

    fn from_env(vars: &[(&str, &str)]) -> Result<Settings> {
        load(
            None,
            vars.iter().map(|(k, v)| (k.to_string(), v.to_string())),
        )
    }

    fn error(settings: Result<Settings>) -> String {
        settings.expect_err("is invalid").to_string()
    }

    #[test]
    fn nothing_is_needed() {
        let settings = from_env(&[]).unwrap();
        assert_eq!(settings.listen.grpc.to_string(), "127.0.0.1:9090");
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"engine: {callTimeout: 1s, maxStaleness: 5s}")
            .unwrap();
        let env = [(
            "BACKLOG_SCALER__ENGINE__CALL_TIMEOUT".to_owned(),
            "2s".to_owned(),
        )];
        let settings = load(Some(file.path()), env).unwrap();
        assert_eq!(settings.engine.call_timeout.0, Duration::from_secs(2));
        assert_eq!(settings.engine.max_staleness.0, Duration::from_secs(5));
    }

    #[test]
    fn a_unix_socket_is_an_address() {
        let settings = from_yaml("listen: {grpc: 'unix:/run/b.sock'}").unwrap();
        assert_eq!(settings.listen.grpc, Address::Unix("/run/b.sock".into()));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_path() {
        let text = error(from_yaml("engine: {callTimeuot: 1s}"));
        assert!(
            text.contains("engine") && text.contains("callTimeuot"),
            "{text}"
        );
        let text = error(from_env(&[("BACKLOG_SCALER__LISTEN__GRCP", "1")]));
        assert!(text.contains("listen") && text.contains("grcp"), "{text}");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_path() {
        let text = error(from_yaml("engine: {inlineConnections: maybe}"));
        assert!(text.starts_with("engine.inlineConnections: "), "{text}");
        let text = error(from_yaml("engine: {callTimeout: soon}"));
        assert!(text.starts_with("engine.callTimeout: "), "{text}");
        let text = error(from_yaml("listen: {grpc: 'localhost'}"));
        assert!(text.starts_with("listen.grpc: "), "{text}");
        let text = error(from_yaml("connections: {orders: {address: {a: b}}}"));
        assert!(text.starts_with("connections.orders.address"), "{text}");
    }

    #[test]
    fn what_is_no_yaml_is_blamed_on_the_file() {
        assert!(error(from_yaml("a: [")).contains("is not valid YAML"));
    }

    #[test]
    fn a_secret_at_a_wrong_place_is_not_shown() {
        for yaml in [
            "connections: {orders: hunter2}",
            "connections: hunter2",
            "connections: {orders: {hunter2: a, hunter2: b}}",
            "? {password: hunter2}\n: x",
            "hunter2",
            "[hunter2]",
            "engine: hunter2",
        ] {
            let text = error(from_yaml(yaml));
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn service_link_variables_are_no_settings() {
        let links = [
            "BACKLOG_SCALER_SERVICE_HOST",
            "BACKLOG_SCALER_PORT",
            "BACKLOG_SCALER_PORT_9090_TCP_ADDR",
            // Of a service named backlog-scaler--x.
            "BACKLOG_SCALER__X_SERVICE_HOST",
            "BACKLOG_SCALER__X_SERVICE_PORT",
            "BACKLOG_SCALER__X_SERVICE_PORT_GRPC",
            "BACKLOG_SCALER__X_PORT",
            "BACKLOG_SCALER__X_PORT_9090_TCP",
            "BACKLOG_SCALER__X_PORT_9090_TCP_PROTO",
            "BACKLOG_SCALER__X_PORT_9090_TCP_PORT",
            "BACKLOG_SCALER__X_PORT_9090_TCP_ADDR",
        ];
        for link in links {
            assert!(from_env(&[(link, "tcp://10.0.0.1:9090")]).is_ok(), "{link}");
        }
    }
}
