//! The status page: what people want to know of a running server, as HTML and as JSON.
//!
//! - `Snapshot` holds what the engine knows at one moment; nothing is read from a backend for it.
//! - `convert` makes JSON of it, whose structs and schema are in `model`. Its names are stable.
//! - [`ListQuery`] is which triggers to show, from the query of an address: search, filters, order,
//!   page. `selection` finds them.
//! - `attention` finds what needs a person first: `lost_servers` what a lost connection affects.
//! - `pages` are the same data as HTML, without a template at run time.
//!
//! Everything here is a function of a snapshot. Which address leads to which page, and who may see
//! it, is up to the server.

mod attention;
mod clock;
mod commands;
mod convert;
mod help;
mod list_query;
mod lost_servers;
mod model;
mod numbers;
pub mod pages;
mod selection;
mod snapshot;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    sampling::Engine,
};

pub use list_query::{ListQuery, Sort, StatusFilter};
pub use model::{Connections, Failure, Overview, TriggerDetail, Triggers, schema};
pub use snapshot::Snapshot;

/// The overview, as JSON.
pub fn overview(engine: &Arc<Engine>) -> Overview {
    Snapshot::take(engine).overview()
}

/// The triggers that a query selects, as JSON.
pub fn triggers(engine: &Arc<Engine>, query: &str) -> Result<Triggers> {
    let query = ListQuery::parse(query)?;
    Ok(Snapshot::take(engine).triggers(&query))
}

/// One trigger with its history, as JSON; `None`: it is not known, or no longer.
pub fn trigger(engine: &Arc<Engine>, id: u64) -> Option<TriggerDetail> {
    convert::detail(engine, id)
}

/// Every connection, as JSON.
pub fn connections(engine: &Arc<Engine>) -> Connections {
    Snapshot::take(engine).connections()
}

/// The connections of one id, which differ in credentials alone, as JSON; `None`: there is none.
pub fn connection(engine: &Arc<Engine>, id: u64) -> Option<Connections> {
    Snapshot::take(engine).connections_of(id)
}

/// Why a request fails, as JSON.
pub fn failure(error: &Error) -> Failure {
    Failure {
        error: convert::error_text(error),
    }
}

/// An id in an address: 16 digits.
pub fn parse_id(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

fn id_text(id: u64) -> String {
    format!("{id:016x}")
}
