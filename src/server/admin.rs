//! Admin HTTP: `/metrics`, `/livez`, `/readyz`.

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::Life;
use crate::telemetry::{Exposition, Telemetry};

const INDEX: &str = "backlog-scaler\n\n\
    /metrics  figures for Prometheus\n\
    /livez    200 while the process runs\n\
    /readyz   200 while it serves, 503 while it drains\n";

/// Serves the admin pages until the server has ended.
pub async fn serve(listener: TcpListener, telemetry: Telemetry, life: Life) {
    let ended = life.ended.clone();
    let router = Router::new()
        .route("/", get(INDEX))
        .route("/livez", get("ok\n"))
        .route("/readyz", get(readyz))
        .with_state(life)
        .route("/metrics", get(metrics).with_state(telemetry));
    let served = axum::serve(listener, router).with_graceful_shutdown(ended.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!("the admin pages ended: {error}");
    }
}

/// A broken backend does not make the server unready: the others would lose theirs as well.
async fn readyz(State(life): State<Life>) -> (StatusCode, &'static str) {
    match life.unready.is_cancelled() {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(State(telemetry): State<Telemetry>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let exposition = Exposition::for_accept(accept);
    match telemetry.encode(exposition) {
        Ok(page) => ([(CONTENT_TYPE, exposition.content_type())], page).into_response(),
        Err(error) => {
            let text = format!("the metrics cannot be encoded: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
