//! The status page and its JSON, by address.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::map_response,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::{
    error::{Error, Kind, Result},
    sampling::Engine,
    status::{self, pages},
};

/// Pages that are written at once. With ten thousand triggers one takes a core for some milliseconds,
/// which calls need more.
const AT_ONCE: usize = 1;

#[derive(Clone)]
struct Pages {
    engine: Arc<Engine>,
    turn: Arc<Semaphore>,
}

/// The addresses of the pages, of what they need, and of the JSON.
pub fn routes(engine: Arc<Engine>) -> Router {
    let pages = Pages {
        engine,
        turn: Arc::new(Semaphore::new(AT_ONCE)),
    };
    Router::new()
        .route("/", get(overview_page))
        .route("/triggers/{id}", get(trigger_page))
        .route("/connections", get(connections_page))
        .route("/connections/{id}", get(connection_page))
        .route("/help", get(async || Html(pages::help())))
        .route("/api/v1/overview", get(overview))
        .route("/api/v1/triggers", get(triggers))
        .route("/api/v1/triggers/{id}", get(trigger))
        .route("/api/v1/connections", get(connections))
        .route("/api/v1/connections/{id}", get(connection))
        .route("/assets/status.css", get(typed("text/css", pages::STYLE)))
        .route(
            "/assets/status.js",
            get(typed("text/javascript", pages::SCRIPT)),
        )
        .route("/assets/icon.svg", get(typed("image/svg+xml", pages::ICON)))
        .layer(map_response(with_headers))
        .with_state(pages)
}

type Typed = ([(HeaderName, &'static str); 1], &'static str);

fn typed(content_type: &'static str, text: &'static str) -> Typed {
    ([(CONTENT_TYPE, content_type)], text)
}

/// A browser loads nothing from elsewhere, shows the page in no frame of another, and keeps none of it.
async fn with_headers(mut response: Response) -> Response {
    let headers: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, pages::CONTENT_SECURITY_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Pages {
    /// Writes a page on a thread of its own, so that no call waits behind it.
    async fn write<T: Send + 'static>(
        self,
        page: impl FnOnce(&Arc<Engine>) -> T + Send + 'static,
    ) -> Result<T> {
        let turn = self.turn.acquire_owned().await;
        let written = tokio::task::spawn_blocking(move || {
            // Held until the page is written, also if its reader is gone.
            let _turn = turn;
            page(&self.engine)
        });
        written.await.map_err(|error| {
            let what = format!("the page cannot be written: {error}");
            Error::new(Kind::Internal, what, "Please report it with this text.")
        })
    }

    /// Writes a response of JSON on such a thread: a thousand triggers are a megabyte of text.
    async fn json<T: Serialize>(
        self,
        find: impl FnOnce(&Arc<Engine>) -> Result<T> + Send + 'static,
    ) -> Response {
        let written = self.write(move |engine| serialized(&find(engine)?));
        match written.await.flatten() {
            Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
            Err(error) => (code(&error), Json(status::failure(&error))).into_response(),
        }
    }
}

async fn overview_page(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let written = pages
        .write(move |engine| pages::overview(engine, &query))
        .await;
    match written.flatten() {
        Ok(page) => Html(page).into_response(),
        Err(error) => failed_page(&error),
    }
}

async fn trigger_page(State(pages): State<Pages>, Path(id): Path<String>) -> Response {
    found_page(pages, "trigger", id, pages::trigger).await
}

async fn connection_page(State(pages): State<Pages>, Path(id): Path<String>) -> Response {
    found_page(pages, "connection", id, pages::connection).await
}

async fn connections_page(State(pages): State<Pages>) -> Response {
    match pages.write(pages::connections).await {
        Ok(page) => Html(page).into_response(),
        Err(error) => failed_page(&error),
    }
}

async fn found_page(
    pages: Pages,
    what: &'static str,
    id: String,
    page: fn(&Arc<Engine>, u64) -> Option<String>,
) -> Response {
    let written = pages.write(move |engine| find(what, &id, |id| page(engine, id)));
    match written.await.flatten() {
        Ok(page) => Html(page).into_response(),
        Err(error) => failed_page(&error),
    }
}

/// What has this id; an error, if there is none.
fn find<T>(what: &str, id: &str, found: impl FnOnce(u64) -> Option<T>) -> Result<T> {
    let found = status::parse_id(id).and_then(found);
    found.ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!("{what}: this server has none with the id {id:?}"),
            "It may be evicted, as nobody requested it for long, or another replica may have it.",
        )
    })
}

async fn overview(State(pages): State<Pages>) -> Response {
    pages.json(|engine| Ok(status::overview(engine))).await
}

async fn triggers(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    pages
        .json(move |engine| status::triggers(engine, &query))
        .await
}

async fn trigger(State(pages): State<Pages>, Path(id): Path<String>) -> Response {
    pages
        .json(move |engine| find("trigger", &id, |id| status::trigger(engine, id)))
        .await
}

async fn connections(State(pages): State<Pages>) -> Response {
    pages.json(|engine| Ok(status::connections(engine))).await
}

async fn connection(State(pages): State<Pages>, Path(id): Path<String>) -> Response {
    pages
        .json(move |engine| find("connection", &id, |id| status::connection(engine, id)))
        .await
}

fn serialized(found: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(found).map_err(|error| {
        let what = format!("the response cannot be written: {error}");
        Error::new(Kind::Internal, what, "Please report it with this text.")
    })
}

fn failed_page(error: &Error) -> Response {
    let title = match error.kind() {
        Kind::NotFound => "Not found",
        Kind::Invalid => "This address is wrong",
        _ => "No page",
    };
    (code(error), Html(pages::failure(title, error))).into_response()
}

fn code(error: &Error) -> StatusCode {
    match error.kind() {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
