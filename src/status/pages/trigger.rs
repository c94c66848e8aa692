//! The page of one trigger.

use maud::{Markup, html};

use super::{
    chart::{self, Chart},
    parts,
};
use crate::{
    metadata::{signal::Signal, values::TextValue},
    status::{
        model::{Point, Reply, Trigger, TriggerDetail},
        numbers::{self, number},
    },
};

const HOUR: u64 = 60 * 60;

pub fn page(detail: &TriggerDetail) -> Markup {
    let trigger = &detail.trigger;
    html! {
        p.path { a href="/" { "Overview" } " / "
            a href=(in_namespace(&trigger.namespace)) { (trigger.namespace) } }
        h1 { (trigger.object) " " (parts::status(trigger.status)) }
        p.facts {
            "since " (parts::moment(&trigger.since, &detail.at))
            " · last requested " (parts::moment(&trigger.requested, &detail.at))
        }
        @if let Some(error) = &trigger.error { (parts::error(error)) }
        @if trigger.metric.is_some() {
            (facts(trigger))
            (history(detail))
            (replies(detail))
            section {
                h2 #errors { "Last errors" }
                (parts::met_errors(&detail.last_errors, &detail.at))
                (errors(detail))
            }
        }
        (metadata(detail))
        section {
            h2 { "Look further" }
            @for command in &detail.commands {
                h3 { (command.shows) }
                pre tabindex="0" { code { (command.command) } }
            }
            p { a href=(format!("/api/v1/triggers/{}", trigger.id)) { "This page as JSON" } }
        }
    }
}

fn in_namespace(namespace: &str) -> String {
    let query = crate::status::ListQuery {
        namespace: Some(namespace.to_owned()).filter(|name| !name.is_empty()),
        ..Default::default()
    };
    query.href()
}

fn signal_of(trigger: &Trigger) -> Signal {
    let signal = trigger.signal.as_deref().map(Signal::parse);
    signal.and_then(Result::ok).unwrap_or_default()
}

fn facts(trigger: &Trigger) -> Markup {
    let signal = signal_of(trigger);
    let show =
        |value: Option<f64>| value.map_or("—".to_owned(), |value| numbers::value(value, signal));
    let age = trigger
        .age_seconds
        .and_then(|age| std::time::Duration::try_from_secs_f64(age).ok());
    let active = match trigger.active {
        Some(true) => "yes",
        Some(false) => "no",
        None => "—",
    };
    html! {
        dl.facts-list {
            div { dt { "Value" } dd { strong { (show(trigger.value)) } } }
            div { dt { "Measured" } dd { (show(trigger.measured)) } }
            div { dt { "Target of one replica" } dd { (show(trigger.target)) } }
            div { dt { "Implied replicas" } dd { strong { (trigger.replicas.map_or("—".to_owned(), number)) } } }
            div { dt { "Active" } dd { (active) } }
            div { dt { "Age of the sample" } dd { (age.map_or("—".to_owned(), numbers::time)) } }
            div { dt { "Signal" } dd { (trigger.signal.as_deref().unwrap_or("—")) } }
            div { dt { "Shaping" } dd {
                @if trigger.shaping.is_empty() { "none" } @else { (trigger.shaping.join(", ")) }
            } }
            div { dt { "Measures" } dd { (trigger.measures.as_deref().unwrap_or("—")) } }
            div { dt { "Metric" } dd { code { (trigger.metric.as_deref().unwrap_or("—")) } } }
            @if let Some(connection) = &trigger.connection {
                div { dt { "Connection" } dd { a href=(format!("/connections/{}", connection.id)) {
                    (connection.address)
                    @if let Some(named) = &connection.named { " (" (named) ")" }
                } } }
            }
        }
    }
}

fn history(detail: &TriggerDetail) -> Markup {
    let trigger = &detail.trigger;
    let chart = |points, begins, seconds, step| Chart {
        points,
        begins,
        seconds,
        step,
        target: trigger.target.unwrap_or(0.0),
        signal: signal_of(trigger),
        with_measured: !trigger.shaping.is_empty(),
    };
    html! {
        section {
            h2 { "History" }
            @if detail.hour.is_empty() {
                p { "None is kept: " code { "admin.history" } " is 0." }
            } @else {
                (chart::large(&chart(&detail.hour, "1 h ago", HOUR, 60), "Last hour, by the minute"))
                (values("Values of the last hour", &detail.hour, signal_of(trigger)))
            }
            @if !detail.day.is_empty() {
                (chart::large(&chart(&detail.day, "24 h ago", 24 * HOUR, HOUR / 2), "Last day, by half hours"))
                (values("Values of the last day", &detail.day, signal_of(trigger)))
            }
        }
    }
}

/// The numbers behind a chart, the newest first.
fn values(title: &str, points: &[Point], signal: Signal) -> Markup {
    let show =
        |value: Option<f64>| value.map_or("—".to_owned(), |value| numbers::value(value, signal));
    html! {
        details {
            summary { (title) }
            table {
                thead { tr {
                    th scope="col" { "Began" } th scope="col" { "Measured" }
                    th scope="col" { "Returned to KEDA" }
                } }
                tbody { @for point in points.iter().rev() { tr {
                    td { (numbers::time(std::time::Duration::from_secs(point.seconds_ago))) " ago" }
                    td.number { (show(point.measured)) }
                    td.number { (show(point.value)) }
                } } }
            }
        }
    }
}

fn replies(detail: &TriggerDetail) -> Markup {
    html! {
        @if !detail.replies.is_empty() {
            section {
                h2 #replies { "Returned to KEDA" }
                div.scroll role="region" aria-labelledby="replies" tabindex="0" { table {
                    thead { tr {
                        th scope="col" { "From" } th scope="col" { "Until" } th scope="col" { "Value" }
                        th scope="col" { "Active" } th scope="col" { "Error" }
                    } }
                    tbody { @for reply in detail.replies.iter().rev() {
                        (reply_row(reply, signal_of(&detail.trigger)))
                    } }
                } }
            }
        }
    }
}

fn reply_row(reply: &Reply, signal: Signal) -> Markup {
    let error = match (reply.error, reply.value) {
        (None, _) => String::new(),
        (Some(kind), None) => kind.to_owned(),
        (Some(kind), Some(_)) => format!("old sample: {kind}"),
    };
    html! {
        tr {
            td { time datetime=(reply.since) { (reply.since) } }
            td { time datetime=(reply.until) { (reply.until) } }
            td.number { (reply.value.map_or("—".to_owned(), |value| numbers::value(value, signal))) }
            td { (if reply.active { "yes" } else { "no" }) }
            td { (error) }
        }
    }
}

fn errors(detail: &TriggerDetail) -> Markup {
    html! {
        @if !detail.errors.is_empty() {
            p { "Calls with an error so far: "
                @for (at, (kind, count)) in detail.errors.iter().enumerate() {
                    @if at > 0 { ", " }
                    (number(*count as f64)) " " code { (kind) }
                }
            }
        }
    }
}

fn metadata(detail: &TriggerDetail) -> Markup {
    html! {
        section {
            h2 #metadata { "Metadata" }
            div.scroll role="region" aria-labelledby="metadata" tabindex="0" { table {
                thead { tr { th scope="col" { "Key" } th scope="col" { "Value" } } }
                tbody { @for key in &detail.metadata { tr {
                    th scope="row" { code { (key.name) } }
                    td { @match (&key.value, key.hidden) {
                        (Some(value), _) => code { (value) },
                        (None, reason) => em { "not shown: " (reason.unwrap_or_default()) },
                    } }
                } } }
            } }
        }
    }
}
