//! Reads the settings: a YAML file, then the environment over it.

use std::{collections::HashMap, path::Path};

use config::{Case, Config, Environment, File, FileFormat};

use super::{Settings, invalid};
use crate::{
    error::Result,
    metadata::{problem::without_text, schema::nearest},
};

/// A setting's environment variable begins with this; `__` then separates the path's parts:
/// `BACKLOG_SCALER__ENGINE__CALL_TIMEOUT=2s`.
pub const ENV_PREFIX: &str = "BACKLOG_SCALER__";

/// Reads the settings. `env` is the process's environment, or what a test gives.
pub fn load(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings> {
    let text = file.map(|path| {
        let read = std::fs::read_to_string(path);
        let read = read.map_err(|error| {
            let reason = format!("cannot read {}: {error}", path.display());
            invalid("--config", &reason)
        });
        read.map(|text| (path.display().to_string(), text))
    });
    let text = text.transpose()?;
    let text = text
        .as_ref()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    load_text(text, env).map_err(|Wrong { path, reason }| invalid(&path, &reason))
}

/// A setting that cannot be.
pub struct Wrong {
    /// Its path, as `engine.callTimeout`; or the file's name.
    pub path: String,
    pub reason: String,
}

/// The same from a text, with the name of its file.
pub fn load_text(
    text: Option<(&str, &str)>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, Wrong> {
    let mut builder = Config::builder();
    if let Some((name, text)) = text {
        let source = File::from_str(text, FileFormat::Yaml);
        // Built alone first, so that what is no YAML is blamed on the file.
        let built = Config::builder().add_source(source.clone()).build();
        built.map_err(|error| Wrong {
            path: name.to_owned(),
            reason: format!("is not valid YAML: {}", reason_of_yaml(&error.to_string())),
        })?;
        builder = builder.add_source(source);
    }
    let ours = env.into_iter().filter(|(name, _)| is_setting(name));
    let environment = Environment::with_prefix(ENV_PREFIX.trim_end_matches('_'))
        .prefix_separator("__")
        .separator("__")
        .convert_case(Case::Camel)
        .source(Some(ours.collect::<HashMap<_, _>>()));
    let config = builder.add_source(environment).build();
    let config = config.map_err(|error| Wrong {
        path: "settings".to_owned(),
        reason: error.to_string(),
    })?;
    serde_path_to_error::deserialize(config.clone()).map_err(|error| {
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
        wrong(path, &reason, &config)
    })
}

fn wrong(path: String, reason: &str, config: &Config) -> Wrong {
    let reason = match unknown_setting(reason) {
        Some(reason) => reason,
        None => with_value(&path, &without_text(reason), config),
    };
    let path = if path == "." {
        "settings".to_owned()
    } else {
        path
    };
    Wrong { path, reason }
}

/// Of an unknown setting, the one that was meant.
fn unknown_setting(reason: &str) -> Option<String> {
    let rest = reason.strip_prefix("unknown field `")?;
    let (name, known) = rest.split_once("`, expected ")?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    Some(match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown setting `{name}`; did you mean `{near}`?"),
        None => format!("unknown setting `{name}`; known are {}", known.join(", ")),
    })
}

/// The reason behind the value, where that is a text or a number that cannot be a secret: what has the
/// wrong type may be one at the wrong place, and a connection has secrets.
fn with_value(path: &str, reason: &str, config: &Config) -> String {
    let is_type = reason.starts_with("invalid type");
    let value = config.get_string(path).ok();
    let value = value.filter(|_| !is_type && !path.starts_with("connections"));
    match value {
        Some(value) if !reason.contains(&format!("`{value}`")) => format!("`{value}` {reason}"),
        _ => reason.to_owned(),
    }
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
    fn a_slip_names_what_was_meant() {
        for (yaml, expected) in [
            ("engine: {callTimeuot: 1s}", "did you mean `callTimeout`?"),
            ("conections: {}", "did you mean `connections`?"),
            (
                "listen: {tls: {certfile: a, keyFile: b}}",
                "did you mean `certFile`?",
            ),
            ("log: {colour: red}", "known are format, level"),
        ] {
            let text = error(from_yaml(yaml));
            assert!(text.contains(expected), "{text}");
        }
        let text = error(from_env(&[("BACKLOG_SCALER__LISTEN__GRCP", "1")]));
        assert!(text.contains("did you mean `grpc`?"), "{text}");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_path() {
        let text = error(from_yaml("engine: {inlineConnections: maybe}"));
        assert!(text.starts_with("engine.inlineConnections: "), "{text}");
        let text = error(from_yaml("engine: {callTimeout: soon}"));
        assert!(
            text.starts_with("engine.callTimeout: `soon` must be a time"),
            "{text}"
        );
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
