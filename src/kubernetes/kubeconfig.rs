//! The kubeconfig of a person, found and read as kubectl does.

use std::{
    env,
    path::{Path, PathBuf},
};

use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::connect::{POD, without_proxy};
use crate::{
    error::{Error, Kind, Result},
    metadata::schema::nearest,
};

/// Contexts that an error lists at most.
const LISTED: usize = 20;

/// The file of `--kubeconfig`, or those of `KUBECONFIG`, or `~/.kube/config`; in a pod without any of
/// them, its ServiceAccount. With the context and the file that have been chosen, for people.
pub async fn config(file: Option<&Path>, context: Option<&str>) -> Result<(Config, String)> {
    let (name, read) = match file {
        Some(file) => (
            format!("--kubeconfig: {}", file.display()),
            Kubeconfig::read_from(file),
        ),
        None => match place() {
            Some(name) => (name, Kubeconfig::read()),
            None => return in_pod(context).map(|config| (config, POD.to_owned())),
        },
    };
    let kubeconfig = read.map_err(|error| unread(&name, error))?;
    check_context(&name, &kubeconfig, context)?;
    let chosen = context.or(kubeconfig.current_context.as_deref());
    let place = format!("context {} of {name}", chosen.unwrap_or_default());
    let selected = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..Default::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &selected).await;
    let config = config.map_err(|error| {
        let what = format!("{name}: {error}");
        Error::new(Kind::Invalid, what, "")
    })?;
    Ok((without_proxy(config, &name)?, place))
}

/// Where kubectl would read; `None`: there is no file.
fn place() -> Option<String> {
    let listed = env::var_os("KUBECONFIG").filter(|listed| !listed.is_empty());
    if let Some(listed) = listed {
        return Some(format!("KUBECONFIG: {}", listed.display()));
    }
    // Where `Kubeconfig::read` looks as well.
    let home = env::home_dir().map(|home| home.join(".kube").join("config"));
    home.filter(|file: &PathBuf| file.exists())
        .map(|file| file.display().to_string())
}

fn in_pod(context: Option<&str>) -> Result<Config> {
    let no_file = "KUBECONFIG is not set, there is no ~/.kube/config";
    if context.is_some() {
        let what = format!("--context: there is no kubeconfig: {no_file}");
        return Err(Error::new(Kind::Invalid, what, "Give --kubeconfig FILE."));
    }
    Config::incluster().map_err(|_| {
        let what = format!(
            "there is no kubeconfig: {no_file}, and this is not a pod with a ServiceAccount's token"
        );
        Error::new(Kind::Invalid, what, "Give --kubeconfig FILE.")
    })
}

/// The text of an error of parsing may have what is in the file.
fn unread(name: &str, error: KubeconfigError) -> Error {
    let what = match error {
        KubeconfigError::ReadConfig(error, _) => format!("{name}: cannot be read: {error}"),
        _ => format!("{name}: is not a kubeconfig"),
    };
    Error::new(Kind::Invalid, what, "")
}

fn check_context(name: &str, kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<()> {
    let contexts = || kubeconfig.contexts.iter().map(|known| known.name.as_str());
    let wanted = context.or(kubeconfig.current_context.as_deref());
    let wanted = wanted.filter(|wanted| !wanted.is_empty());
    let known: Vec<&str> = contexts().take(LISTED).collect();
    let known = match known.as_slice() {
        [] => "It has none.".to_owned(),
        known => format!("It has {}.", known.join(", ")),
    };
    match wanted {
        None => {
            let what = format!("{name}: has no current context");
            let next = format!("Give --context NAME. {known}");
            Err(Error::new(Kind::Invalid, what, next))
        }
        Some(wanted) if !contexts().any(|known| known == wanted) => {
            let next = match nearest(wanted, contexts()) {
                Some(near) => format!("Did you mean `{near}`? {known}"),
                None => known,
            };
            let what = format!("{name}: has no context `{wanted}`");
            Err(Error::new(Kind::Invalid, what, next))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    async fn error(text: &str, context: Option<&str>) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path();
        let error = config(Some(path), context).await.expect_err(text);
        assert_eq!(error.kind(), Kind::Invalid);
        let name = format!("--kubeconfig: {}: ", path.display());
        let error = error.to_string();
        error.strip_prefix(&name).expect(&error).to_owned()
    }

    const FILE: &str = "apiVersion: v1\nkind: Config\n\
        clusters: [{name: c, cluster: {server: \"https://127.0.0.1:1\"}}]\n\
        users: [{name: u, user: {token: hunter2}}]\n\
        contexts: [{name: production, context: {cluster: c, user: u, namespace: shop}},\n\
        \x20          {name: broken, context: {cluster: x, user: u}}]\n";

    #[tokio::test]
    async fn what_is_wrong_with_a_kubeconfig_is_named() {
        for (text, context, expected) in [
            (
                FILE,
                None,
                "has no current context. Give --context NAME. It has production, broken.",
            ),
            (
                FILE,
                Some("productoin"),
                "has no context `productoin`. Did you mean `production`? It has production, broken.",
            ),
            (
                FILE,
                Some("broken"),
                "failed to load the cluster of context: x",
            ),
            ("token: [hunter2", None, "is not a kubeconfig"),
            (
                "",
                None,
                "has no current context. Give --context NAME. It has none.",
            ),
        ] {
            assert_eq!(error(text, context).await, expected);
        }
        let missing = config(Some(Path::new("/nowhere/config")), None).await;
        let missing = missing.err().unwrap().to_string();
        let expected = "--kubeconfig: /nowhere/config: cannot be read: No such file";
        assert!(missing.starts_with(expected), "{missing}");
    }

    #[tokio::test]
    async fn the_context_has_the_namespace() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(FILE.as_bytes()).unwrap();
        let found = config(Some(file.path()), Some("production")).await;
        let (config, place) = found.unwrap();
        assert_eq!(config.default_namespace, "shop");
        let of = format!(
            "context production of --kubeconfig: {}",
            file.path().display()
        );
        assert_eq!(place, of);
    }
}
