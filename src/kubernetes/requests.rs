//! Counts the requests to the API server, whoever makes them, and bounds the time until each has a
//! response.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, Uri};
use tokio::time::{error::Elapsed, timeout};
use tower::{BoxError, Layer, Service};

use crate::{error::Kind, telemetry::KubernetesMetrics};

/// A response begins within this, also that of a watch, and that of a page of a list. Otherwise the
/// connection is given up: an API server that accepts connections and is frozen would hold a watch
/// forever, as nothing else bounds a TLS handshake.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Wraps a client's service.
pub struct CountRequests(pub KubernetesMetrics);

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        let metrics = self.0.clone();
        Counted { inner, metrics }
    }
}

/// A service whose requests are counted when their response begins.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: KubernetesMetrics,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, resource) = classify(request.method(), request.uri());
        let metrics = self.metrics.clone();
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = match timeout(RESPONSE_TIMEOUT, response).await {
                Ok(response) => response.map_err(Into::into),
                Err(elapsed) => Err(elapsed.into()),
            };
            let error = match &response {
                Ok(response) => kind(response.status()),
                Err(error) if error.is::<Elapsed>() => Some(Kind::TimedOut),
                Err(_) => Some(Kind::Unreachable),
            };
            metrics.count_request(verb, resource, error);
            response
        })
    }
}

fn kind(status: StatusCode) -> Option<Kind> {
    match status.as_u16() {
        ..=399 => None,
        401 | 403 => Some(Kind::Unauthorized),
        404 => Some(Kind::NotFound),
        429 => Some(Kind::Exhausted),
        500.. => Some(Kind::Unreachable),
        _ => Some(Kind::Unreadable),
    }
}

/// The verb and the resource of a request, as labels: `get` of one object, `list` or `watch` of a
/// collection.
fn classify(method: &Method, uri: &Uri) -> (&'static str, &'static str) {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    // /api/v1 or /apis/group/version.
    let of_group = parts.next() == Some("apis");
    parts.nth(usize::from(of_group));
    let mut rest = parts.peekable();
    if rest.next_if_eq(&"namespaces").is_some() {
        rest.next();
    }
    let resource = match rest.next() {
        Some("scaledobjects") => "scaledobjects",
        Some("scaledjobs") => "scaledjobs",
        Some("triggerauthentications") => "triggerauthentications",
        Some("clustertriggerauthentications") => "clustertriggerauthentications",
        Some("secrets") => "secrets",
        Some("configmaps") => "configmaps",
        Some("events") => "events",
        Some("horizontalpodautoscalers") => "horizontalpodautoscalers",
        _ => "workloads",
    };
    let query = uri.query().unwrap_or_default();
    let verb = match rest.next() {
        _ if method == Method::POST => "create",
        _ if method == Method::PATCH => "patch",
        Some(_) => "get",
        None if query.split('&').any(|pair| pair == "watch=true") => "watch",
        None => "list",
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_verb_and_the_resource_of_its_path() {
        for (uri, expected) in [
            ("/api/v1/namespaces/shop/secrets/redis", ("get", "secrets")),
            (
                "/api/v1/namespaces/shop/secrets?watch=true&fieldSelector=metadata.name%3Dredis",
                ("watch", "secrets"),
            ),
            (
                "/apis/keda.sh/v1alpha1/scaledobjects?&limit=200",
                ("list", "scaledobjects"),
            ),
            (
                "/apis/apps/v1/namespaces/shop/deployments/worker",
                ("get", "workloads"),
            ),
            (
                "/apis/keda.sh/v1alpha1/clustertriggerauthentications/redis",
                ("get", "clustertriggerauthentications"),
            ),
            (
                "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/keda-hpa-worker",
                ("get", "horizontalpodautoscalers"),
            ),
        ] {
            let classified = classify(&Method::GET, &uri.parse().unwrap());
            assert_eq!(classified, expected, "{uri}");
        }
        let events = "/apis/events.k8s.io/v1/namespaces/shop/events";
        let created = classify(&Method::POST, &events.parse().unwrap());
        assert_eq!(created, ("create", "events"));
        let one = format!("{events}/worker.1");
        let patched = classify(&Method::PATCH, &one.parse().unwrap());
        assert_eq!(patched, ("patch", "events"));
    }
}
