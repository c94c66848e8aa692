//! One Secret, ConfigMap or scale target: read once, then watched by its name.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep},
};
use tracing::warn;

use super::{
    client::ApiServer,
    environment::Keys,
    errors::Request,
    object::{ObjectId, Resource},
    pod_template::{Container, PodTemplate},
    retry::{Backoff, Revisions},
};
use crate::{
    error::{Error, Result},
    metadata::values::Secret,
    telemetry::{LogLimit, WatchStatus},
};

/// A watch that ends sooner is not started again at once.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// What an object holds. No `Debug`: secrets.
#[derive(PartialEq, Eq)]
pub enum Content {
    /// There is no such object.
    Missing,
    /// A Secret's or ConfigMap's `data`.
    Keys(Keys),
    /// The containers of a scale target's pod template.
    Containers(Vec<Container>),
}

/// What is known of an object.
#[derive(Clone, Default)]
pub struct State {
    /// `None`: nothing was ever read.
    pub content: Option<Arc<Content>>,
    /// Changes with the content.
    pub revision: u64,
    /// How many replicas a scale target is to have: its `spec.replicas`, where it has one. No part of the
    /// content: authentications do not depend on it.
    pub replicas: Option<u32>,
    /// The last failure, until the next success.
    pub error: Option<Error>,
}

/// Follows one object, forever.
pub struct Follower {
    pub api: Arc<ApiServer>,
    pub id: ObjectId,
    pub state: watch::Sender<State>,
    pub status: WatchStatus,
    pub revisions: Arc<Revisions>,
    pub log: Arc<LogLimit>,
}

impl Follower {
    pub async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            let started = Instant::now();
            match self.read_and_watch(&mut backoff).await {
                Ok(()) if started.elapsed() > SHORTEST_WATCH => continue,
                Ok(()) => {}
                Err(error) => self.failed(error),
            }
            backoff.wait().await;
        }
    }

    /// Until something fails, or the API server no longer knows the version that was seen last.
    async fn read_and_watch(&self, backoff: &mut Backoff) -> Result<()> {
        let mut version = match self.api.get(&self.id).await? {
            Some(body) => self.publish(parse(&body, Request::of("get", &self.id))?),
            None => {
                self.publish_content(Content::Missing, None);
                None
            }
        };
        let request = Request::of("watch", &self.id);
        let connection = self.api.watch_connection()?;
        loop {
            let started = Instant::now();
            let mut lines = self
                .api
                .watch(&connection, &self.id, version.as_deref())
                .await?;
            self.recovered();
            *backoff = Backoff::new();
            while let Some(line) = lines.next(request).await {
                let event: Event = parse(&line?, request)?;
                let (object, kind) = (event.object, event.r#type.as_str());
                match kind {
                    "ADDED" | "MODIFIED" => version = self.publish(object),
                    "DELETED" => {
                        version = object.metadata.resource_version;
                        self.publish_content(Content::Missing, None);
                    }
                    "BOOKMARK" => version = object.metadata.resource_version.or(version),
                    // The version is too old: the present state is read anew.
                    _ if object.code == GONE => return Ok(()),
                    _ => return Err(request.refused(object.code, &object.message)),
                }
            }
            sleep(SHORTEST_WATCH.saturating_sub(started.elapsed())).await;
        }
    }

    /// Returns the object's version.
    fn publish(&self, object: Object) -> Option<String> {
        let version = object.metadata.resource_version.clone();
        let replicas = object.replicas(&self.id.resource);
        self.publish_content(object.content(&self.id.resource), replicas);
        version
    }

    fn publish_content(&self, content: Content, replicas: Option<u32>) {
        self.status.event();
        let is_changed = self.state.send_if_modified(|state| {
            // Who follows changes wants those of the content.
            state.replicas = replicas;
            let is_same = state.content.as_deref() == Some(&content);
            if !is_same {
                state.content = Some(Arc::new(content));
                state.revision = self.revisions.next();
            }
            !is_same
        });
        if is_changed {
            self.revisions.announce();
        }
    }

    /// The watch is on: what is known is up to date.
    fn recovered(&self) {
        self.status.event();
        if self.state.borrow().error.is_some() {
            self.state.send_modify(|state| state.error = None);
        }
    }

    fn failed(&self, error: Error) {
        self.status.error(error.kind());
        // Once for each change, not once for each attempt.
        let (is_same, is_known) = {
            let state = self.state.borrow();
            (
                state.error.as_ref() == Some(&error),
                state.content.is_some(),
            )
        };
        if !is_same {
            self.log.warn(|suppressed| match is_known {
                true => warn!(suppressed, "what is known stays in use: {error}"),
                false => warn!(suppressed, "{} is not known yet: {error}", self.id),
            });
        }
        self.state.send_modify(|state| state.error = Some(error));
    }
}

const GONE: u16 = 410;

/// An event of a watch. Its object may be a `Status`.
#[derive(Deserialize)]
struct Event {
    r#type: String,
    object: Object,
}

/// The parts of all objects that are followed, and of a `Status`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    data: Option<std::collections::BTreeMap<String, Secret>>,
    spec: Option<Spec>,
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: Option<String>,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    template: PodTemplate,
    /// Of a custom resource it may be anything.
    #[serde(default)]
    replicas: serde_json::Value,
}

/// The error has no word of the text, which may be a Secret.
fn parse<T: for<'a> Deserialize<'a>>(text: &[u8], request: Request<'_>) -> Result<T> {
    serde_json::from_slice(text).map_err(|_| request.unreadable("cannot be parsed"))
}

impl Object {
    fn replicas(&self, resource: &Resource) -> Option<u32> {
        let spec = self.spec.as_ref()?;
        let number = u32::try_from(spec.replicas.as_u64()?).ok();
        number.filter(|_| matches!(resource, Resource::Workloads(_)))
    }

    fn content(self, resource: &Resource) -> Content {
        let data = self.data.unwrap_or_default().into_iter();
        match resource {
            Resource::Secrets => Content::Keys(data.map(|(k, v)| (k, decoded(&v))).collect()),
            Resource::ConfigMaps => Content::Keys(data.map(|(k, v)| (k, Some(v))).collect()),
            _ => {
                let template = self.spec.map(|spec| spec.template).unwrap_or_default();
                Content::Containers(template.containers())
            }
        }
    }
}

/// A value of a Secret, if it is text.
fn decoded(value: &Secret) -> Option<Secret> {
    let bytes = STANDARD.decode(value.expose()).ok()?;
    Some(Secret(String::from_utf8(bytes).ok()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(resource: Resource, json: &str) -> Content {
        let id = ObjectId::new(resource.clone(), Some("shop"), "redis").unwrap();
        let object: Object = parse(json.as_bytes(), Request::of("get", &id)).unwrap();
        object.content(&resource)
    }

    #[test]
    fn a_secret_is_decoded_and_what_is_no_text_is_known_as_such() {
        let json =
            r#"{"metadata": {"resourceVersion": "7"}, "data": {"p": "aHVudGVyMg==", "b": "/w=="}}"#;
        let Content::Keys(keys) = content(Resource::Secrets, json) else {
            panic!("has keys");
        };
        assert_eq!(keys["p"].as_ref().unwrap().expose(), "hunter2");
        assert!(keys["b"].is_none());
    }

    #[test]
    fn a_response_that_cannot_be_parsed_is_not_shown() {
        let id = ObjectId::new(Resource::Secrets, Some("shop"), "redis").unwrap();
        let text = br#"{"data": {"password": ["hunter2"]}}"#;
        let error = parse::<Object>(text, Request::of("get", &id))
            .err()
            .unwrap();
        let expected = "Kubernetes API, get Secret shop/redis: the response cannot be parsed";
        assert_eq!(error.to_string(), expected);
    }
}
