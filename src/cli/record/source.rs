//! Where samples come from: this process, or a running server.

use std::{sync::Arc, time::SystemTime};

use tokio::time::Instant;

use super::{api::Api, estimate::Sample, response::Trigger};
use crate::{
    cli::probe::{Map, Object, is_external},
    error::{Error, Kind, Result},
    metadata::{TriggerRef, signal::Signal},
    sampling::{Arrivals, Engine},
    server,
    settings::Settings,
    telemetry::Telemetry,
};

/// A trigger that is recorded.
pub struct Source {
    /// `shop/worker, trigger 0`; errors of a server name the object themselves.
    name: Option<String>,
    /// What it is, for people: `shop/worker: length of jobs, redis 127.0.0.1:6379`.
    pub title: String,
    /// Whether its value is a backlog, and not a time.
    pub is_backlog: bool,
    from: From,
}

enum From {
    Process {
        engine: Arc<Engine>,
        request: TriggerRef,
        started: Instant,
    },
    Server {
        api: Api,
        id: String,
    },
}

impl Source {
    /// A trigger of a manifest, read by this process. Must be called within a tokio runtime.
    pub async fn in_process(
        objects: Vec<Object>,
        chosen: Chosen<'_>,
        settings: &Settings,
        map: &Map,
    ) -> Result<Self> {
        let (index, request) = chosen.of(objects)?;
        let engine = server::engine_through(settings, &Telemetry::default(), &map.hosts())?;
        let name = format!("{}/{}, trigger {index}", request.namespace, request.name);
        let trigger = engine.authenticated(&request).await;
        let trigger = trigger.map_err(|error| error.at(&name))?;
        Ok(Source {
            title: title(&name, &trigger.measures(), trigger.connection().address),
            name: Some(name),
            is_backlog: trigger.signal == Signal::Backlog,
            from: From::Process {
                engine,
                request,
                started: Instant::now(),
            },
        })
    }

    /// A trigger that a server knows.
    pub async fn of_server(api: Api, object: &str, wanted: Option<&str>) -> Result<Self> {
        let (namespace, name) = object.split_once('/').ok_or_else(|| {
            let what = format!("{object:?} is not an object");
            invalid(what, "With --server it is named as NAMESPACE/NAME.")
        })?;
        let mut found = api.triggers(namespace, name).await?;
        found.retain(|trigger| trigger.namespace == namespace && trigger.object == name);
        let trigger = one_of(object, found, wanted)?;
        if trigger.signal.is_none() {
            let refused = trigger.error.map(Error::from);
            return Err(refused.unwrap_or_else(|| no_sample(object)).at(object));
        }
        let measures = trigger.measures.unwrap_or_default();
        let connection = trigger.connection.map(|connection| connection.address);
        Ok(Source {
            title: title(object, &measures, &connection.unwrap_or_default()),
            name: None,
            is_backlog: trigger.signal.as_deref() == Some("backlog"),
            from: From::Server {
                api,
                id: trigger.id,
            },
        })
    }

    /// An error of a read, with the trigger that it is of.
    pub fn located(&self, error: Error) -> Error {
        match &self.name {
            Some(name) => error.at(name),
            None => error,
        }
    }

    /// The newest sample. An error: there is none but perhaps an older one.
    pub async fn read(&self) -> Result<Sample> {
        match &self.from {
            From::Process {
                engine,
                request,
                started,
            } => {
                let trigger = engine.authenticated(request).await?;
                let evaluation = engine.evaluate(request, &trigger).await?;
                let at = started.elapsed().saturating_sub(evaluation.age);
                if let Some(error) = evaluation.stale {
                    return Err(error);
                }
                let raw = evaluation.shaped.and_then(|shaped| shaped.raw_value);
                Ok(Sample {
                    at,
                    value: raw.unwrap_or(evaluation.reading.value),
                    arrivals: evaluation.arrivals,
                })
            }
            From::Server { api, id } => sample(api.trigger(id).await?),
        }
    }
}

fn title(name: &str, measures: &str, address: &str) -> String {
    format!("{name}: {measures}, {address}")
}

/// The trigger of a file that `--object` and `--trigger` name.
pub struct Chosen<'a> {
    /// NAMESPACE/NAME or NAME.
    pub object: Option<&'a str>,
    /// An index.
    pub trigger: Option<&'a str>,
}

impl Chosen<'_> {
    /// The one that is named, or the only one there is.
    fn of(&self, objects: Vec<Object>) -> Result<(usize, TriggerRef)> {
        trigger_of(self.object_of(objects)?, self.trigger)
    }

    fn object_of(&self, objects: Vec<Object>) -> Result<Object> {
        let names: Vec<_> = objects.iter().map(name_of).collect();
        let Some(wanted) = self.object else {
            let only = <[Object; 1]>::try_from(objects);
            return only.map(|[object]| object).map_err(|_| {
                let what = format!("{} objects: {}", names.len(), listed(&names));
                invalid(what, "Choose one with --object NAMESPACE/NAME.")
            });
        };
        let mut found = objects;
        found.retain(|object| name_of(object) == wanted || object.name == wanted);
        match (found.pop(), found.is_empty()) {
            (Some(object), true) => Ok(object),
            (found, _) => {
                let is = if found.is_some() {
                    "is several"
                } else {
                    "is none"
                };
                let what = format!("--object {wanted}: {is} of {}", listed(&names));
                Err(invalid(what, "Name one of them as NAMESPACE/NAME."))
            }
        }
    }
}

/// The one external trigger of an object, or that of an index.
fn trigger_of(object: Object, wanted: Option<&str>) -> Result<(usize, TriggerRef)> {
    let name = name_of(&object);
    let count = object.triggers.len();
    let ours = object.triggers.into_iter().enumerate();
    let mut ours: Vec<_> = ours
        .filter(|(_, trigger)| is_external(&trigger.trigger_type))
        .collect();
    if let Some(wanted) = wanted {
        let index = wanted.parse::<usize>().ok();
        ours.retain(|(at, _)| Some(*at) == index);
    }
    let found = ours.len();
    let [(index, trigger)] = <[_; 1]>::try_from(ours).map_err(|_| {
        let (what, next) = match (wanted, found) {
            (Some(wanted), _) => (
                format!("--trigger {wanted}: {name} has {count} triggers, and no external one of this index"),
                "They are counted from 0.",
            ),
            (None, 0) => (format!("{name}: has no external trigger"), "Others are KEDA's own to read."),
            (None, _) => (
                format!("{name}: has {found} external triggers"),
                "Choose one by its index, from 0 on: --trigger 0.",
            ),
        };
        invalid(what, next)
    })?;
    if let Some(error) = trigger.failed {
        return Err(error.at(name));
    }
    let request = TriggerRef {
        namespace: object.namespace,
        name: object.name,
        metadata: trigger.metadata,
    };
    Ok((index, request))
}

fn name_of(object: &Object) -> String {
    format!("{}/{}", object.namespace, object.name)
}

/// The one trigger of an object that a server knows, or that of an id or metric.
fn one_of(object: &str, mut found: Vec<Trigger>, wanted: Option<&str>) -> Result<Trigger> {
    if let Some(wanted) = wanted {
        found.retain(|trigger| trigger.id == wanted || trigger.metric.as_deref() == Some(wanted));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            let of = wanted.map_or(String::new(), |wanted| format!(" {wanted}"));
            let next = "It knows the triggers that KEDA has requested lately; check the name, and with \
                        several servers behind one address, name one of them.";
            let what = format!("the server knows no trigger{of} of {object}");
            Err(Error::new(Kind::NotFound, what, next))
        }
        count => {
            let triggers = found.iter().map(|trigger| {
                let measures = trigger.measures.as_deref().unwrap_or("refused");
                format!("{} ({measures})", trigger.id)
            });
            let triggers: Vec<_> = triggers.collect();
            let what = format!("{object} has {count} triggers: {}", listed(&triggers));
            Err(invalid(what, "Choose one by its id: --trigger ID."))
        }
    }
}

/// As many as fit into an error.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What a server's JSON says of its last good sample; an error if that is not a new one.
fn sample(trigger: Trigger) -> Result<Sample> {
    if let Some(reason) = trigger.error {
        return Err(reason.into());
    }
    let object = format!("{}/{}", trigger.namespace, trigger.object);
    let value = trigger.measured.ok_or_else(|| no_sample(&object))?;
    let at = trigger.measured_at.as_deref();
    let at = at.and_then(|at| humantime::parse_rfc3339(at).ok());
    let at = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let at = at.ok_or_else(|| {
        let what = format!("{object}: the server does not say when it was measured");
        Error::new(
            Kind::Unreadable,
            what,
            "It is older than this program: update it.",
        )
    })?;
    let arrivals = trigger.arrivals.and_then(|arrivals| {
        let total = arrivals.total.map(|items| Arrivals::Total {
            items,
            parts: arrivals.parts.unwrap_or(1),
        });
        let per_second = arrivals
            .per_second
            .filter(|rate| rate.is_finite() && *rate >= 0.0);
        total.or(per_second.map(Arrivals::PerSecond))
    });
    Ok(Sample {
        at,
        value,
        arrivals,
    })
}

fn no_sample(object: &str) -> Error {
    let what = format!("{object}: the server has no sample of it yet");
    Error::new(
        Kind::NotFound,
        what,
        "It has one once KEDA has requested a value.",
    )
}

fn invalid(what: String, next: &str) -> Error {
    Error::new(Kind::Invalid, what, next)
}
