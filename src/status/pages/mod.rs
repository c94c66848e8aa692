//! The pages, written on the server. They work without script, and show the same as the JSON.

mod chart;
mod connection;
mod overview;
mod parts;
mod trigger;
mod trigger_list;

use std::sync::Arc;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Snapshot, help, list_query::ListQuery, model::ErrorText};
use crate::{
    error::{Error, Result},
    sampling::Engine,
};

/// The style sheet.
pub const STYLE: &str = include_str!("../assets/status.css");
/// The script, which does nothing but refresh.
pub const SCRIPT: &str = include_str!("../assets/status.js");
/// The picture of the browser's tab.
pub const ICON: &str = include_str!("../assets/icon.svg");

/// What a browser may load for a page: what this server has, and no inline script or style.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The overview, with the triggers that a query selects.
pub fn overview(engine: &Arc<Engine>, query: &str) -> Result<String> {
    let query = ListQuery::parse(query)?;
    let snapshot = Snapshot::take(engine);
    let page = overview::page(&snapshot, &query);
    Ok(document("Overview", "/", &snapshot.at(), true, page))
}

/// A trigger's page; `None`: it is not known, or no longer.
pub fn trigger(engine: &Arc<Engine>, id: u64) -> Option<String> {
    let detail = super::trigger(engine, id)?;
    let title = format!("{}/{}", detail.trigger.namespace, detail.trigger.object);
    let page = trigger::page(&detail);
    Some(document(&title, "", &detail.at, true, page))
}

/// The page of all connections.
pub fn connections(engine: &Arc<Engine>) -> String {
    let found = super::connections(engine);
    let page = connection::list(&found);
    document("Connections", "/connections", &found.at, true, page)
}

/// The page of the connections of one id; `None`: there is none.
pub fn connection(engine: &Arc<Engine>, id: u64) -> Option<String> {
    let found = super::connection(engine, id)?;
    let title = found.connections.first()?.address.clone();
    let page = connection::page(&found);
    Some(document(&title, "", &found.at, true, page))
}

/// What the kinds of errors mean.
pub fn help() -> String {
    let page = html! {
        h1 { "What errors mean" }
        p { "Each error has a kind. It is a label of the metrics, and KEDA's events show its gRPC code." }
        @for help in &help::ALL {
            section id=(help.kind.label()) {
                h2 { (help.title) }
                p.facts { code { (help.kind.label()) } " · gRPC " code { (help.code) } }
                p { (parts::with_code(help.means)) }
                ul { @for step in help.steps { li { (parts::with_code(step)) } } }
            }
        }
    };
    document("Help", help::PATH, "", false, page)
}

/// A page that says why there is none.
pub fn failure(title: &str, error: &Error) -> String {
    let error: ErrorText = super::convert::error_text(error);
    let page = html! {
        h1 { (title) }
        (parts::error(&error))
        p { a href="/" { "All triggers" } }
    };
    document(title, "", "", false, page)
}

const PAGES: [(&str, &str); 3] = [
    ("/", "Overview"),
    ("/connections", "Connections"),
    (help::PATH, "Help"),
];

/// A whole document. `at` is when it was true; empty: it does not change.
fn document(title: &str, path: &str, at: &str, refreshes: bool, page: Markup) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · backlog-scaler" }
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/status.css";
                script src="/assets/status.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.brand href="/" { "backlog-scaler" }
                    nav aria-label="Pages" {
                        @for (to, name) in PAGES {
                            a href=(to) aria-current=[(to == path).then_some("page")] { (name) }
                        }
                    }
                    @if refreshes {
                        p.refresh {
                            span { "As of " time #at datetime=(at) { (at) } }
                            // Shown by the script, without which there is nothing to stop.
                            button #refresh type="button" hidden aria-pressed="false" { "Pause" }
                        }
                    }
                }
                main #main tabindex="-1" { (page) }
                footer { p { "backlog-scaler " (env!("CARGO_PKG_VERSION")) " · "
                    a href="/metrics" { "metrics" } " · " a href="/api/v1/overview" { "JSON" } } }
            }
        }
    };
    let PreEscaped(text) = document;
    text
}
