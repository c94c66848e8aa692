//! Events for ScaledObjects and ScaledJobs, which `kubectl describe` shows.
//!
//! One that repeats is counted in the event that is there already, as client-go's recorder does
//! (`tools/events/event_broadcaster.go`). kube's recorder, like client-go's, takes all events of one
//! object with one reason for repetitions of the first: the text of another trigger's error, or of the
//! next error, would never be seen. So they are told apart here by their text as well.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event as Written, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use lru::LruCache;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use super::{
    Kubernetes,
    client::ApiServer,
    object::{ObjectId, Resource},
};
use crate::error::Result;

/// What writes the events.
const CONTROLLER: &str = "backlog-scaler";
/// What was done when it happened.
const ACTION: &str = "Evaluate";
/// Of a note, in bytes (`NoteLengthLimit` of the API's validation).
const LONGEST_NOTE: usize = 1024;
/// Of the name of the instance (`ReportingInstanceLengthLimit`).
const LONGEST_INSTANCE: usize = 128;
/// Of an object's name in an event's: a name has at most 253 characters, and the time takes 17.
const LONGEST_NAME: usize = 230;

/// One that repeats within this time counts as the same (`finishTime`).
const SERIES: Duration = Duration::from_secs(6 * 60);
/// How many are remembered (`maxLruCacheEntries` of `tools/record/events_cache.go`).
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).expect("is not zero");

/// What happened to an object.
#[derive(Clone, Debug)]
pub struct Event {
    pub object: ObjectId,
    pub uid: Arc<str>,
    /// Or else all is well.
    pub is_warning: bool,
    /// In CamelCase.
    pub reason: &'static str,
    /// What a person reads; cut at 1,024 bytes.
    pub note: String,
    /// Equal for notes that say the same, whatever numbers are in them.
    pub class: u64,
}

/// Writes events.
pub struct EventWriter {
    api: Arc<ApiServer>,
    instance: String,
    written: Mutex<LruCache<Key, Series>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    uid: Arc<str>,
    reason: &'static str,
    class: u64,
}

#[derive(Clone)]
struct Series {
    event: ObjectId,
    count: i32,
    last: Instant,
}

impl Kubernetes {
    /// A writer of events.
    pub fn event_writer(&self) -> EventWriter {
        // A pod's name is its hostname.
        let host = hostname::get()
            .ok()
            .and_then(|host| host.into_string().ok());
        let host = host.filter(|host| !host.is_empty());
        EventWriter {
            api: self.api.clone(),
            instance: cut(
                host.unwrap_or_else(|| CONTROLLER.to_owned()),
                LONGEST_INSTANCE,
            ),
            written: Mutex::new(LruCache::new(REMEMBERED)),
        }
    }
}

impl EventWriter {
    /// Writes an event, or counts it in the one that says the same. An error: it is lost.
    pub async fn write(&self, event: &Event) -> Result<()> {
        let key = Key {
            uid: event.uid.clone(),
            reason: event.reason,
            class: event.class,
        };
        let before = self.written.lock().get(&key).cloned();
        let before = before.filter(|series| series.last.elapsed() < SERIES);
        let series = match before {
            Some(series) => self.repeat(series).await?,
            None => None,
        };
        let series = match series {
            Some(series) => series,
            None => self.create(event).await?,
        };
        self.written.lock().put(key, series);
        Ok(())
    }

    /// `None`: the API server has deleted the event, as it does after an hour by default.
    async fn repeat(&self, series: Series) -> Result<Option<Series>> {
        let count = series.count.saturating_add(1);
        let observed = EventSeries {
            count,
            last_observed_time: MicroTime(Timestamp::now()),
        };
        let patch = json!({ "series": observed });
        let exists = self.api.patch(&series.event, &patch).await?;
        Ok(exists.then(|| Series {
            count,
            last: Instant::now(),
            ..series
        }))
    }

    async fn create(&self, event: &Event) -> Result<Series> {
        let (object, now) = (&event.object, Timestamp::now());
        let name = cut_name(&object.name, LONGEST_NAME);
        // As client-go names them.
        let name = format!("{name}.{:x}", now.as_nanosecond());
        let id = ObjectId::new(Resource::Events, object.namespace.as_deref(), &name)?;
        let written = Written {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: object.namespace.clone(),
                ..Default::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(
                if event.is_warning {
                    "Warning"
                } else {
                    "Normal"
                }
                .to_owned(),
            ),
            reason: Some(event.reason.to_owned()),
            action: Some(ACTION.to_owned()),
            note: Some(cut(event.note.clone(), LONGEST_NOTE)),
            regarding: Some(ObjectReference {
                api_version: Some(object.resource.api_version()),
                kind: Some(object.resource.kind().to_owned()),
                name: Some(object.name.clone()),
                namespace: object.namespace.clone(),
                uid: Some(event.uid.to_string()),
                ..Default::default()
            }),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Default::default()
        };
        self.api.create(&id, &written).await?;
        Ok(Series {
            event: id,
            count: 1,
            last: Instant::now(),
        })
    }
}

fn cut(mut text: String, most: usize) -> String {
    const MARK: &str = "…";
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - MARK.len()));
        text.push_str(MARK);
    }
    text
}

/// A name must not end in `-` or `.`.
fn cut_name(name: &str, most: usize) -> &str {
    let name = &name[..name.floor_char_boundary(most)];
    name.trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_what_the_api_takes() {
        assert_eq!(cut("short".to_owned(), LONGEST_NOTE), "short");
        let long = cut("é".repeat(2000), LONGEST_NOTE);
        assert!(long.len() <= LONGEST_NOTE && long.ends_with('…'), "{long}");
        let name = format!("{}-{}", "a".repeat(229), "b".repeat(20));
        assert_eq!(cut_name(&name, LONGEST_NAME), "a".repeat(229));
    }
}
