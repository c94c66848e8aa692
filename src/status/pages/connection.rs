//! The page of all connections, and that of one.

use maud::{Markup, html};

use super::parts;
use crate::status::{
    model::{Connection, Connections},
    numbers::{self, number},
};

pub fn list(found: &Connections) -> Markup {
    html! {
        h1 #connections { "Connections" }
        @if found.connections.is_empty() {
            p { "None: a connection is opened for the first trigger that needs it." }
        } @else {
            div.scroll role="region" aria-labelledby="connections" tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Connection" } th scope="col" { "Health" }
                    th scope="col" { "Triggers" } th scope="col" { "Batches" }
                    th scope="col" { "Queries" } th scope="col" { "Waiting" }
                    th scope="col" { "Reconnects" }
                } }
                tbody { @for connection in &found.connections { (row(connection)) } }
            } }
        }
    }
}

fn row(connection: &Connection) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href=(format!("/connections/{}", connection.id)) { (connection.address) }
                @if let Some(named) = &connection.named { " " span.quiet { (named) } }
            }
            td { (parts::health(connection.health)) }
            td.number { (number(connection.triggers as f64)) }
            td.number { (number(connection.batches as f64)) }
            td.number { (number(connection.queries as f64)) }
            td.number { (number(connection.waiting as f64)) }
            td.number { (number(connection.reconnects as f64)) }
        }
    }
}

/// The connections of one id: usually one.
pub fn page(found: &Connections) -> Markup {
    html! {
        p.path { a href="/connections" { "Connections" } }
        @if let Some(first) = found.connections.first() { h1 { (first.address) } }
        @if found.connections.len() > 1 {
            p { (number(found.connections.len() as f64))
                " connections of this name, which differ in their credentials." }
        }
        @for connection in &found.connections { (one(connection, &found.at)) }
    }
}

fn one(connection: &Connection, now: &str) -> Markup {
    html! {
        section {
            h2 { "Health " (parts::health(connection.health)) }
            p.facts { "since " (parts::moment(&connection.since, now))
                " · " a href=(format!("/?connection={}", connection.id)) {
                    (numbers::count(connection.triggers as u64, "trigger")) } }
            @if let Some(error) = &connection.error { (parts::error(error)) }
            (facts(connection))
            @if connection.error.is_none() && let Some(last) = &connection.last_error {
                h3 { "Last error" }
                (parts::past_error(last, now))
            }
            p { a href=(format!("/api/v1/connections/{}", connection.id)) { "This page as JSON" } }
        }
    }
}

fn facts(connection: &Connection) -> Markup {
    let count = |count: u64| number(count as f64);
    let per_batch = connection.queries as f64 / connection.batches.max(1) as f64;
    let share = connection.look_ahead_hits as f64 / connection.look_ahead.max(1) as f64;
    let time = connection.batch_seconds;
    let time = time.map_or("—".to_owned(), |seconds| {
        format!("{:.1} ms", seconds * 1e3)
    });
    html! {
        dl.facts-list {
            div { dt { "Written in" } dd {
                @match &connection.named {
                    Some(name) => { "the settings, as " code { (name) } },
                    None => "the metadata of triggers",
                }
            } }
            div { dt { "Different queries" } dd { (number(connection.shared_queries as f64)) } }
            div { dt { "Batches" } dd { (count(connection.batches)) } }
            div { dt { "Queries of a batch" } dd { (number(per_batch)) " on average, "
                (number(connection.last_batch as f64)) " in the last" } }
            div { dt { "Time of a batch" } dd { (time) " on average" } }
            div { dt { "Read ahead of requests" } dd { (count(connection.look_ahead)) " queries, "
                (count(connection.look_ahead_hits)) " requested while fresh ("
                (number((share * 100.0).round())) " %)" } }
            div { dt { "Waiting for a batch" } dd { (number(connection.waiting as f64)) } }
            div { dt { "Reconnects" } dd { (count(connection.reconnects)) } }
            @if let Some(budget) = &connection.budget {
                div { dt { "Budget" } dd { (number(budget.requests_per_second)) " requests a second" } }
                div { dt { "Waiting for their turn" } dd { (number(budget.waiting as f64)) " requests; a new one "
                    (numbers::time(std::time::Duration::try_from_secs_f64(budget.wait_seconds).unwrap_or_default())) } }
                div { dt { "Sent" } dd { (count(budget.sent)) ", refused for their rate "
                    (count(budget.refused)) } }
            }
        }
    }
}
