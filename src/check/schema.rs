//! KEDA's custom resources, as far as they say which fields there are and what these may hold.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    error::{Error, Kind, Result},
    manifests::Scaled,
};

/// The version of KEDA whose fields these are.
pub const KEDA: &str = "2.21";

/// Both resources.
pub struct Schemas {
    object: Schema,
    job: Schema,
}

/// What one field may hold: the part of OpenAPI that the resources use.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// `None`: anything.
    #[serde(rename = "type")]
    pub holds: Option<Holds>,
    /// The fields of a map; none: those that it likes.
    #[serde(default)]
    pub properties: BTreeMap<String, Schema>,
    #[serde(default)]
    pub required: Vec<String>,
    pub items: Option<Box<Schema>>,
    #[serde(default, rename = "enum")]
    pub allowed: Vec<String>,
    pub minimum: Option<i64>,
    pub maximum: Option<i64>,
}

/// A type of JSON.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    Object,
    Array,
    String,
    Integer,
    Boolean,
}

impl Schemas {
    /// The two files are written by a test, `tests/it/check/crds.rs`, from KEDA's own, with the bounds
    /// that Kubernetes has for the HPA which KEDA creates.
    pub fn read() -> Result<Self> {
        let read = |text: &str| {
            serde_json::from_str(text).map_err(|error| {
                let what = format!("the embedded schema of KEDA {KEDA} cannot be read: {error}");
                Error::new(Kind::Internal, what, "").caused_by(error)
            })
        };
        Ok(Schemas {
            object: read(include_str!("crds/scaledobject.json"))?,
            job: read(include_str!("crds/scaledjob.json"))?,
        })
    }

    /// That of one of them, with apiVersion, kind, metadata and spec.
    pub fn of(&self, scaled: Scaled) -> &Schema {
        match scaled {
            Scaled::Object => &self.object,
            Scaled::Job => &self.job,
        }
    }
}
