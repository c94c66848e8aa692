//! Admin HTTP: the status page, `/metrics`, `/livez`, `/readyz`.

use std::{convert::Infallible, io, iter, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    middleware::{Next, from_fn_with_state},
    response::{AppendHeaders, IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::stream;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tracing::warn;

use super::{
    Life,
    incoming::{Accepted, ConnectionLimits, incoming},
    listeners::GrpcListener,
    status,
    tls::TlsAcceptor,
};
use crate::{
    sampling::{Engine, trigger_metrics},
    telemetry::{Exposition, Telemetry},
};

/// Who uses these pages keeps few connections: Prometheus, the kubelet, a person.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 100,
    handshake: Duration::from_secs(10),
    // Longer than any usual interval between scrapes.
    silence: Duration::from_secs(5 * 60),
    age: Duration::from_secs(24 * 60 * 60),
};

/// How the pages are guarded.
pub struct Guard {
    /// Plain text if left out.
    pub tls: Option<TlsAcceptor>,
    /// A file with the token that figures and the status page require.
    pub token_file: Option<PathBuf>,
}

/// Serves the admin pages until the server has ended.
pub async fn serve(listener: TcpListener, guard: Guard, figures: Figures, life: Life) {
    let ended = life.ended.clone();
    // The kubelet's probes cannot have a token.
    let open = Router::new()
        .route("/livez", get("ok\n"))
        .route("/readyz", get(readyz))
        .with_state(life);
    let pages = status::routes(figures.engine.clone());
    let guarded = Router::new().route("/metrics", get(metrics).with_state(figures));
    let guarded = guarded.merge(pages);
    let guarded = match guard.token_file {
        None => guarded,
        Some(file) => guarded.layer(from_fn_with_state(Arc::new(file), require_token)),
    };
    let connections = incoming(GrpcListener::Tcp(listener), guard.tls, LIMITS);
    let served = axum::serve(AdminListener(connections), open.merge(guarded))
        .with_graceful_shutdown(ended.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!("the admin pages ended: {error}");
    }
}

/// The connections of the admin listener, with the same limits as those of KEDA.
struct AdminListener(ReceiverStream<io::Result<Accepted>>);

impl axum::serve::Listener for AdminListener {
    type Io = Accepted;
    type Addr = ();

    async fn accept(&mut self) -> (Accepted, ()) {
        loop {
            match self.0.next().await {
                Some(Ok(accepted)) => return (accepted, ()),
                Some(Err(error)) => warn!("the admin pages cannot accept: {error}"),
                // Only at the end of the process.
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets a request through that has the token of the file. The file is read each time, so that a
/// token can be changed; scrapes are rare.
async fn require_token(State(file): State<Arc<PathBuf>>, request: Request, next: Next) -> Response {
    let token = match tokio::fs::read_to_string(file.as_path()).await {
        Ok(token) => token,
        Err(error) => {
            let file = file.display();
            warn!("listen.adminTokenFile: cannot read {file}: {error}");
            let text = "the token cannot be read; the server's log says why\n";
            return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
        }
    };
    match has_token(request.headers(), token.trim()) {
        true => next.run(request).await,
        false => {
            let text =
                "a token is required: Authorization: Bearer …, or as the password of any user\n";
            // A browser can only be asked for a password.
            let challenges = [
                "Bearer",
                "Basic realm=\"backlog-scaler\", charset=\"UTF-8\"",
            ];
            let challenges = challenges.map(|challenge| (WWW_AUTHENTICATE, challenge));
            let challenges = AppendHeaders(challenges);
            (StatusCode::UNAUTHORIZED, challenges, text).into_response()
        }
    }
}

/// Whether the token is given, or is the password of whatever user. Compares in constant time: how long a refusal takes says nothing about the token.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    let given = given.and_then(|(scheme, given)| match scheme {
        scheme if scheme.eq_ignore_ascii_case("bearer") => Some(given.trim().as_bytes().to_vec()),
        scheme if scheme.eq_ignore_ascii_case("basic") => password(given.trim()),
        _ => None,
    });
    given.is_some_and(|given| !token.is_empty() && bool::from(given.ct_eq(token.as_bytes())))
}

/// The password of Basic authentication (RFC 7617).
fn password(credentials: &str) -> Option<Vec<u8>> {
    let decoded = BASE64_STANDARD.decode(credentials).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

/// A broken backend does not make the server unready: the others would lose theirs as well.
async fn readyz(State(life): State<Life>) -> (StatusCode, &'static str) {
    match life.unready.is_cancelled() {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// What figures are read from.
#[derive(Clone)]
pub struct Figures {
    pub telemetry: Telemetry,
    pub engine: Arc<Engine>,
}

async fn metrics(State(figures): State<Figures>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let exposition = Exposition::for_accept(accept);
    match figures.telemetry.encode(exposition) {
        Ok(head) => {
            let triggers = trigger_metrics(&figures.engine, exposition);
            let end = exposition.end().to_owned();
            let pieces = iter::once(head).chain(triggers).chain([end]);
            let body = Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)));
            ([(CONTENT_TYPE, exposition.content_type())], body).into_response()
        }
        Err(error) => {
            let text = format!("the metrics cannot be encoded: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
