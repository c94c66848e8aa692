//! The list of triggers: a form that searches and filters, and a table that sorts, all by address.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{chart, parts};
use crate::{
    metadata::signal::Signal,
    sampling::Inspected,
    status::{
        Snapshot,
        convert::trigger_of,
        list_query::{ListQuery, Sort, StatusFilter, name_of},
        model::{Trigger, TriggerStatus},
        numbers::{self, number},
    },
};

/// A form lists this many namespaces; others can be searched for.
const MOST_NAMESPACES: usize = 500;

pub fn section(snapshot: &Snapshot, query: &ListQuery) -> Markup {
    let (selected, list) = snapshot.page(query);
    let pages = selected.div_ceil(query.per_page).max(1);
    html! {
        section aria-labelledby="triggers" {
            h2 #triggers { "Triggers" }
            (form(snapshot, query))
            p role="status" {
                (number(selected as f64)) " of " (number(snapshot.triggers.len() as f64)) " triggers"
                @if !query.shows_all() { " · " a href="/" { "show all" } }
            }
            @if list.is_empty() {
                p { (empty(snapshot)) }
            } @else {
                (table(snapshot, query, &list))
            }
            @if pages > 1 { (pager(query, pages)) }
        }
    }
}

fn empty(snapshot: &Snapshot) -> &'static str {
    match snapshot.triggers.is_empty() {
        true => "KEDA has not requested any trigger yet. Those that it requests are here at once.",
        false => "No trigger matches.",
    }
}

fn form(snapshot: &Snapshot, query: &ListQuery) -> Markup {
    let namespaces = snapshot
        .triggers
        .iter()
        .map(|found| found.namespace.as_str());
    let namespaces: BTreeSet<&str> = namespaces.chain(query.namespace.as_deref()).collect();
    let types = snapshot
        .triggers
        .iter()
        .filter_map(|found| found.state.as_ref().ok());
    let types = types.map(|bound| bound.trigger.trigger_type);
    let types: BTreeSet<&str> = types.chain(query.backend.as_deref()).collect();
    let statuses = StatusFilter::ALL.map(|(name, _)| name);
    let status = query
        .status
        .map(|status| name_of(status, &StatusFilter::ALL));
    html! {
        form.filters method="get" action="/" role="search" {
            label { "Search" input type="search" name="q" value=(query.search) maxlength="300"; }
            (select("Namespace", "namespace", namespaces.into_iter().take(MOST_NAMESPACES), query.namespace.as_deref()))
            (select("Status", "status", statuses, status))
            (select("Backend", "backend", types, query.backend.as_deref()))
            @if let Some(connection) = query.connection {
                input type="hidden" name="connection" value=(crate::status::id_text(connection));
            }
            @if query.sort != Sort::default() {
                input type="hidden" name="sort" value=(name_of(query.sort, &Sort::ALL));
            }
            @if query.descending != query.sort.descends() {
                input type="hidden" name="order" value=(order_word(query.descending));
            }
            button type="submit" { "Show" }
        }
    }
}

fn order_word(descending: bool) -> &'static str {
    if descending {
        "descending"
    } else {
        "ascending"
    }
}

fn select<'a>(
    label: &str,
    name: &str,
    options: impl IntoIterator<Item = &'a str>,
    chosen: Option<&str>,
) -> Markup {
    html! {
        label { (label)
            select name=(name) {
                option value="" { "all" }
                @for option in options {
                    option value=(option) selected[chosen == Some(option)] { (option) }
                }
            }
        }
    }
}

fn table(snapshot: &Snapshot, query: &ListQuery, list: &[&Inspected]) -> Markup {
    let grouped = query.sort == Sort::Object;
    let groups = match grouped {
        true => list.chunk_by(|a, b| a.namespace == b.namespace).collect(),
        false => vec![list],
    };
    html! {
        div.scroll role="region" aria-label="Table of triggers" tabindex="0" {
            table {
                thead { tr {
                    (sorted_head(query, Sort::Object, "Object"))
                    (sorted_head(query, Sort::Status, "Status"))
                    (sorted_head(query, Sort::Value, "Value / target"))
                    (sorted_head(query, Sort::Replicas, "Replicas"))
                    (sorted_head(query, Sort::Age, "Age"))
                    th scope="col" { "Last hour" }
                    th.wide scope="col" { "Measures" }
                    th.wide scope="col" { "Signal, shaping" }
                } }
                @for group in groups {
                    tbody {
                        @if grouped && let Some(first) = group.first() {
                            tr.group { th scope="rowgroup" colspan="8" { (first.namespace) } }
                        }
                        @for found in group { (row(snapshot, found, grouped)) }
                    }
                }
            }
        }
    }
}

/// A column's head, which sorts by it, and turns the order around the second time.
fn sorted_head(query: &ListQuery, sort: Sort, name: &str) -> Markup {
    let is_sorted = query.sort == sort;
    let next = ListQuery {
        sort,
        descending: if is_sorted {
            !query.descending
        } else {
            sort.descends()
        },
        page: 1,
        ..query.clone()
    };
    let order = is_sorted.then(|| order_word(query.descending));
    let arrow = match order {
        Some("descending") => " ▼",
        Some(_) => " ▲",
        None => "",
    };
    html! {
        th scope="col" aria-sort=[order] {
            a href=(next.href()) { (name) span aria-hidden="true" { (arrow) } }
        }
    }
}

fn row(snapshot: &Snapshot, found: &Inspected, grouped: bool) -> Markup {
    let trigger = trigger_of(found, &snapshot.clock);
    let name = match grouped {
        true => trigger.object.clone(),
        false => format!("{}/{}", trigger.namespace, trigger.object),
    };
    html! {
        tr id=(format!("trigger-{}", trigger.id)) {
            th scope="row" { a href=(format!("/triggers/{}", trigger.id)) { (name) } }
            td { (parts::status(trigger.status)) }
            @match &found.state {
                Err(refused) => td.reason colspan="6" { (parts::with_code(refused.error.what())) },
                Ok(bound) => {
                    (numbers_of(&trigger, bound.trigger.signal))
                    td { (sparkline(found, snapshot)) }
                    td.wide {
                        (trigger.measures.as_deref().unwrap_or_default())
                        @if let Some(connection) = &trigger.connection {
                            br;
                            a.quiet href=(format!("/connections/{}", connection.id)) {
                                (connection.named.as_ref().unwrap_or(&connection.address))
                            }
                        }
                    }
                    td.wide {
                        (trigger.signal.as_deref().unwrap_or_default())
                        @if !trigger.shaping.is_empty() { br; span.quiet { (trigger.shaping.join(", ")) } }
                    }
                }
            }
        }
    }
}

fn numbers_of(trigger: &Trigger, signal: Signal) -> Markup {
    let show =
        |value: Option<f64>| value.map_or("—".to_owned(), |value| numbers::value(value, signal));
    // It is the value of the past, which KEDA no longer gets.
    let class = if trigger.status == TriggerStatus::Failing {
        "number past"
    } else {
        "number"
    };
    let age = trigger
        .age_seconds
        .and_then(|age| std::time::Duration::try_from_secs_f64(age).ok());
    html! {
        td class=(class) {
            (show(trigger.value)) " / " (show(trigger.target))
            @if trigger.active == Some(true) { br; span.quiet { "active" } }
        }
        td.number { (trigger.replicas.map_or("—".to_owned(), number)) }
        td.number { (age.map_or("—".to_owned(), numbers::time)) }
    }
}

fn sparkline(found: &Inspected, snapshot: &Snapshot) -> Markup {
    let Ok(bound) = &found.state else {
        return html! {};
    };
    let clock = &snapshot.clock;
    let past = bound.trigger.past(clock.now);
    let values = past
        .hour
        .iter()
        .filter_map(|point| Some((clock.ago(point.at).as_secs(), f64::from(point.reported?))));
    chart::sparkline(&values.collect::<Vec<_>>())
}

fn pager(query: &ListQuery, pages: usize) -> Markup {
    let at = |page| {
        let query = ListQuery {
            page,
            ..query.clone()
        };
        query.href()
    };
    html! {
        nav.pager aria-label="Pages of the list" {
            @if query.page > 1 { a rel="prev" href=(at(query.page.min(pages + 1) - 1)) { "Previous" } }
            span { "Page " (number(query.page as f64)) " of " (number(pages as f64)) }
            @if query.page < pages { a rel="next" href=(at(query.page + 1)) { "Next" } }
        }
    }
}
