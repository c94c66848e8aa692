//! The connections to the API server, and the requests for single objects, read or written.
//!
//! The requests of single objects do without kube's own: it logs a response that it cannot parse,
//! which for a Secret would be the secret, and it bounds neither responses nor lines of a watch.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::{header::CONTENT_TYPE, request::Builder};
use http_body::Body as _;
use kube::{Client, Config, client::Body};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    connect::{Access, client},
    errors::Request,
    object::{ObjectId, Resource},
};
use crate::{error::Result, telemetry::KubernetesMetrics};

/// A response, or a line of a watch, may have this many bytes. An object has at most 1.5 MiB (etcd's
/// limit for a request); base64 and JSON make a third more of a Secret.
const LARGEST: usize = 4 * 1024 * 1024;

/// Objects of one page of a list, and the bytes that it may have: most objects have some kilobytes.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 32 * 1024 * 1024;

/// The deadline of a request, but for watches.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The API server ends a watch after this, and it is resumed: client-go's lower limit.
const WATCH_SECONDS: u64 = 300;
/// What a watch may be late beyond that until its connection counts as dead.
const WATCH_GRACE: Duration = Duration::from_secs(10);

/// Watches that share one HTTP/2 connection. kube-apiserver allows 100 streams
/// (`--http2-max-streams-per-connection`), and what waits for a stream would wait for long.
const WATCHES_PER_CONNECTION: usize = 50;

/// Requests and starts of watches at once, so that a start with thousands of triggers is no burst for
/// the API server.
const CONCURRENT_REQUESTS: usize = 16;

/// The API server.
pub struct ApiServer {
    config: Config,
    metrics: KubernetesMetrics,
    /// Of single requests.
    requests: Connection,
    /// Of watches.
    watching: Mutex<Vec<Weak<Connection>>>,
    permits: Semaphore,
}

/// A client with one HTTP/2 connection. Where the API server speaks HTTP/1.1 alone, it has one for each
/// request under way.
pub struct Connection {
    pub client: Client,
    /// Whether a request has succeeded. Until then the client does not know that the API server speaks
    /// HTTP/2, and would open a connection for each request: the first one goes alone.
    is_open: tokio::sync::Mutex<bool>,
}

impl Connection {
    async fn send(
        &self,
        permits: &Semaphore,
        request: Request<'_>,
        (http, body): (Builder, Vec<u8>),
    ) -> Result<std::result::Result<Body, Status>> {
        let mut is_open = self.is_open.lock().await;
        let _permit = permits.acquire().await;
        if *is_open {
            drop(is_open);
            return in_time(request, send(&self.client, request, http, body)).await;
        }
        let response = in_time(request, send(&self.client, request, http, body)).await;
        *is_open = response.is_ok();
        response
    }
}

impl ApiServer {
    /// Connects with the first request.
    pub fn new(access: Access, metrics: KubernetesMetrics) -> Result<Self> {
        let config = access.into_config();
        let requests = connection(&config, &metrics)?;
        Ok(ApiServer {
            config,
            metrics,
            requests,
            watching: Mutex::default(),
            permits: Semaphore::new(CONCURRENT_REQUESTS),
        })
    }

    /// A connection for one more watch, which holds it as long as it lasts.
    pub fn watch_connection(&self) -> Result<Arc<Connection>> {
        let mut watching = self.watching.lock();
        watching.retain(|connection| connection.strong_count() > 0);
        let has_room =
            |connection: &&Weak<Connection>| connection.strong_count() < WATCHES_PER_CONNECTION;
        let free = watching.iter().find(has_room).and_then(Weak::upgrade);
        if let Some(free) = free {
            return Ok(free);
        }
        let new = Arc::new(connection(&self.config, &self.metrics)?);
        watching.push(Arc::downgrade(&new));
        Ok(new)
    }

    /// Reads one object. `None`: there is none.
    pub async fn get(&self, id: &ObjectId) -> Result<Option<Bytes>> {
        let request = Request::of("get", id);
        let response = self.requests.send(&self.permits, request, get(id.path()));
        let body = match response.await? {
            Ok(body) => body,
            // Without a name in the details it is the resource that is not known.
            Err(status) if status.code == 404 && !status.details.name.is_empty() => {
                return Ok(None);
            }
            Err(status) => return Err(request.refused(status.code, &status.message)),
        };
        in_time(request, whole(body, request, LARGEST))
            .await
            .map(Some)
    }

    /// One page of the objects of a kind, in a namespace or in all, from where the last one has ended.
    pub async fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        from: Option<&str>,
    ) -> Result<Bytes> {
        let request = Request {
            verb: "list",
            resource,
            namespace,
            name: None,
        };
        let path = resource.page_path(namespace, PAGE, from);
        let response = self
            .requests
            .send(&self.permits, request, get(path))
            .await?;
        let refused = |status: Status| request.refused(status.code, &status.message);
        let body = response.map_err(refused)?;
        in_time(request, whole(body, request, LARGEST_PAGE)).await
    }

    /// Watches one object from a resource version, or from its present state.
    pub async fn watch(
        &self,
        connection: &Connection,
        id: &ObjectId,
        resource_version: Option<&str>,
    ) -> Result<Lines> {
        let request = Request::of("watch", id);
        let path = id.watch_path(resource_version, WATCH_SECONDS);
        match connection.send(&self.permits, request, get(path)).await? {
            Ok(body) => Ok(Lines::new(body)),
            Err(status) => Err(request.refused(status.code, &status.message)),
        }
    }

    /// Creates one object.
    pub async fn create(&self, id: &ObjectId, object: &impl Serialize) -> Result<()> {
        let request = Request::of("create", id);
        let http = http::Request::post(id.collection()).header(CONTENT_TYPE, "application/json");
        match self.write(request, http, object).await? {
            Ok(()) => Ok(()),
            Err(status) => Err(request.refused(status.code, &status.message)),
        }
    }

    /// Merges a patch (RFC 7386) into one object. `false`: there is no such object.
    pub async fn patch(&self, id: &ObjectId, patch: &impl Serialize) -> Result<bool> {
        let request = Request::of("patch", id);
        let merge = "application/merge-patch+json";
        let http = http::Request::patch(id.path()).header(CONTENT_TYPE, merge);
        match self.write(request, http, patch).await? {
            Ok(()) => Ok(true),
            Err(status) if status.code == 404 && !status.details.name.is_empty() => Ok(false),
            Err(status) => Err(request.refused(status.code, &status.message)),
        }
    }

    async fn write(
        &self,
        request: Request<'_>,
        http: Builder,
        object: &impl Serialize,
    ) -> Result<std::result::Result<(), Status>> {
        let body = serde_json::to_vec(object).map_err(|_| request.unwritten("as JSON"))?;
        let response = self.requests.send(&self.permits, request, (http, body));
        match response.await? {
            // Read to its end, so that its connection can be used again.
            Ok(body) => in_time(request, whole(body, request, LARGEST))
                .await
                .map(|_| Ok(())),
            Err(status) => Ok(Err(status)),
        }
    }
}

/// Bounds a request that is under way; waiting for its turn is bounded by the callers' own deadlines.
async fn in_time<T>(request: Request<'_>, response: impl Future<Output = Result<T>>) -> Result<T> {
    let response = timeout(REQUEST_TIMEOUT, response).await;
    response.unwrap_or_else(|_| Err(request.timed_out()))
}

fn connection(config: &Config, metrics: &KubernetesMetrics) -> Result<Connection> {
    Ok(Connection {
        client: client(config, metrics)?,
        is_open: tokio::sync::Mutex::new(false),
    })
}

/// The part of a `Status` that is used.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
    details: StatusDetails,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusDetails {
    name: String,
}

/// A request without a body.
fn get(path: String) -> (Builder, Vec<u8>) {
    (http::Request::get(path), Vec::new())
}

/// The body of a response, or the status of one that is an error.
async fn send(
    client: &Client,
    request: Request<'_>,
    http: Builder,
    body: Vec<u8>,
) -> Result<std::result::Result<Body, Status>> {
    let http = http
        .header(http::header::ACCEPT, "application/json")
        .body(Body::from(body))
        .map_err(|_| request.unwritten("as HTTP"))?;
    let response = client.send(http).await;
    let response = response.map_err(|error| request.failed(&error))?;
    let code = response.status();
    if code.is_success() {
        return Ok(Ok(response.into_body()));
    }
    let body = whole(response.into_body(), request, LARGEST).await?;
    let mut status: Status = serde_json::from_slice(&body).unwrap_or_default();
    status.code = code.as_u16();
    Ok(Err(status))
}

async fn frame(body: &mut Body) -> Option<Result<Bytes, kube::Error>> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => return Some(Ok(data)),
            // Trailers.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

async fn whole(mut body: Body, request: Request<'_>, most: usize) -> Result<Bytes> {
    let mut read = Vec::new();
    while let Some(data) = frame(&mut body).await {
        let data = data.map_err(|error| request.failed(&error))?;
        if read.len() + data.len() > most {
            let most = most / 1024 / 1024;
            return Err(request.unreadable(&format!("has more than {most} MiB")));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.into())
}

/// The events of a watch, one a line. Between events it holds no buffer: there are as many as there
/// are Secrets in use.
pub struct Lines {
    body: Body,
    buffer: Vec<u8>,
}

impl Lines {
    fn new(body: Body) -> Self {
        let buffer = Vec::new();
        Lines { body, buffer }
    }

    /// The next line. `None`: the watch has ended, and may be resumed.
    pub async fn next(&mut self, request: Request<'_>) -> Option<Result<Vec<u8>>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                return Some(Ok(std::mem::replace(&mut self.buffer, rest)));
            }
            if self.buffer.len() > LARGEST {
                return Some(Err(request.unreadable("has an event of more than 4 MiB")));
            }
            let late = Duration::from_secs(WATCH_SECONDS) + WATCH_GRACE;
            match timeout(late, frame(&mut self.body)).await {
                Ok(Some(Ok(data))) => self.buffer.extend_from_slice(&data),
                Ok(Some(Err(error))) => return Some(Err(request.failed(&error))),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}
