//! Names of objects as kubectl takes them.

use std::path::{Path, PathBuf};

use crate::{
    error::{Error, Kind, Result},
    kubernetes::{Resource, is_name},
};

/// An object that is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Without a kind, both.
    pub kinds: Vec<Resource>,
    pub name: String,
}

/// KEDA's names of its kinds: singular, plural and short.
const SCALED_OBJECTS: [&str; 3] = ["scaledobject", "scaledobjects", "so"];
const SCALED_JOBS: [&str; 3] = ["scaledjob", "scaledjobs", "sj"];

/// `NAME`, `scaledobject NAME…`, `scaledobject/NAME`, or `scaledobject.keda.sh/NAME` as
/// `kubectl get -o name` prints it.
pub fn parse(arguments: &[PathBuf]) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    let texts: Vec<_> = arguments
        .iter()
        .map(|text| text.to_string_lossy())
        .collect();
    let (kind, names) = match texts.as_slice() {
        // A kind alone may be the name of an object.
        [kind, names @ ..] if !names.is_empty() && parse_kind(kind, kind).is_ok() => {
            (Some(kind), names)
        }
        names => (None, names),
    };
    for name in names {
        let wanted = match kind {
            Some(kind) if !name.contains('/') => parse_one(&format!("{kind}/{name}"))?,
            _ => parse_one(name)?,
        };
        if !all.contains(&wanted) {
            all.push(wanted);
        }
    }
    Ok(all)
}

fn parse_one(argument: &str) -> Result<Wanted> {
    let (kinds, name) = match argument.split_once('/') {
        None => (
            vec![Resource::ScaledObjects, Resource::ScaledJobs],
            argument,
        ),
        Some((kind, name)) => (vec![parse_kind(kind, argument)?], name),
    };
    match is_name(name) {
        true => Ok(Wanted {
            kinds,
            name: name.to_owned(),
        }),
        false => Err(Error::new(
            Kind::Invalid,
            format!("NAME: `{name}` is not a valid name of an object"),
            "With --cluster, give names of ScaledObjects and ScaledJobs; without it, a file.",
        )),
    }
}

/// An argument that has one of KEDA's kinds before its name, and so is no file.
pub fn parse_with_kind(argument: &Path) -> Option<Result<Wanted>> {
    let text = argument.to_string_lossy();
    let (kind, _) = text.split_once('/')?;
    parse_kind(kind, &text).ok().map(|_| parse_one(&text))
}

fn parse_kind(kind: &str, argument: &str) -> Result<Resource> {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.split_once('.').map_or(kind.as_str(), |(kind, _)| kind);
    if SCALED_OBJECTS.contains(&kind) {
        return Ok(Resource::ScaledObjects);
    }
    if SCALED_JOBS.contains(&kind) {
        return Ok(Resource::ScaledJobs);
    }
    Err(Error::new(
        Kind::Invalid,
        format!("NAME: `{argument}` has the kind `{kind}`, which has no triggers"),
        "Write scaledobject/NAME or scaledjob/NAME.",
    ))
}

/// A namespace, if it can be one.
pub fn check_namespace(name: &str) -> Result<String> {
    match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(Error::new(
            Kind::Invalid,
            format!("--namespace: `{name}` is not a valid name of a namespace"),
            "",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(arguments: &[&str]) -> Result<Vec<Wanted>, String> {
        let arguments: Vec<PathBuf> = arguments.iter().map(PathBuf::from).collect();
        parse(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_may_have_a_kind() {
        let of = |kinds: Vec<Resource>| Wanted {
            kinds,
            name: "orders".to_owned(),
        };
        let (object, job) = (|| Resource::ScaledObjects, Resource::ScaledJobs);
        for (argument, expected) in [
            ("orders", of(vec![object(), job.clone()])),
            ("scaledobject/orders", of(vec![object()])),
            ("ScaledObjects/orders", of(vec![object()])),
            ("scaledobject.keda.sh/orders", of(vec![object()])),
            ("sj/orders", of(vec![job])),
        ] {
            assert_eq!(
                wanted(&[argument, argument]),
                Ok(vec![expected]),
                "{argument}"
            );
        }
    }

    #[test]
    fn a_kind_may_stand_before_its_names() {
        let names = |arguments: &[&str]| -> Vec<(Vec<Resource>, String)> {
            let wanted = wanted(arguments).expect("names").into_iter();
            wanted.map(|wanted| (wanted.kinds, wanted.name)).collect()
        };
        let of = |kind: Resource, name: &str| (vec![kind], name.to_owned());
        let (object, job) = (|| Resource::ScaledObjects, || Resource::ScaledJobs);
        for argument in [
            "so",
            "scaledobject",
            "ScaledObjects",
            "scaledobject.keda.sh",
        ] {
            let expected = [of(object(), "orders"), of(object(), "mail")];
            assert_eq!(names(&[argument, "orders", "mail"]), expected, "{argument}");
        }
        assert_eq!(names(&["sj", "orders"]), [of(job(), "orders")]);
        assert_eq!(names(&["so", "sj/orders"]), [of(job(), "orders")]);
        assert_eq!(names(&["so"]), [(vec![object(), job()], "so".to_owned())]);
        assert!(wanted(&["deployment", "-"]).is_err());
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for (argument, expected) in [
            (
                "orders.yaml/../x",
                "NAME: `orders.yaml/../x` has the kind `orders`",
            ),
            (
                "deployment/orders",
                "NAME: `deployment/orders` has the kind `deployment`",
            ),
            ("Orders", "NAME: `Orders` is not a valid name of an object"),
            ("-", "NAME: `-` is not a valid name"),
            ("so/a/b", "NAME: `a/b` is not a valid name"),
        ] {
            let error = wanted(&[argument]).expect_err(argument);
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(check_namespace("../x").is_err());
    }
}
