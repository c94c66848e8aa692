//! The overview: what needs a person, then all triggers.

use maud::{Markup, html};

use super::{parts, trigger_list};
use crate::status::{
    Snapshot,
    list_query::{ListQuery, StatusFilter},
    model::{About, Attention, Counts, Overview},
    numbers::number,
};

pub fn page(snapshot: &Snapshot, query: &ListQuery) -> Markup {
    let overview = snapshot.overview();
    html! {
        h1 { "Overview" }
        (counts(&overview))
        section aria-labelledby="attention" {
            h2 #attention { "Needs attention" }
            @if overview.attention.is_empty() {
                p.calm { "Nothing: every trigger gets fresh samples." }
            } @else {
                ul.attention {
                    @for kind in overview.attention.chunk_by(|a, b| a.about == b.about) {
                        @for entry in kind { li { (attention(entry, &overview.at)) } }
                        @if let Some(first) = kind.first() { (more(&overview, first.about)) }
                    }
                }
                (all_problems(&overview.triggers))
            }
        }
        (trigger_list::section(snapshot, query))
    }
}

fn counts(overview: &Overview) -> Markup {
    let Counts {
        all,
        good,
        stale,
        failing,
        refused,
        waiting,
    } = overview.triggers;
    let connections = overview.connections;
    let counts = [
        ("triggers", all, None),
        ("good", good, Some(StatusFilter::Good)),
        ("stale", stale, Some(StatusFilter::Stale)),
        ("failing", failing, Some(StatusFilter::Failing)),
        ("refused", refused, Some(StatusFilter::Refused)),
        ("waiting", waiting, Some(StatusFilter::Waiting)),
    ];
    html! {
        ul.counts {
            @for (name, count, status) in counts {
                li { a href=(with_status(status)) { strong { (number(count as f64)) } " " (name) } }
            }
            li { a href="/connections" {
                strong { (number(connections.up as f64)) " of " (number(connections.all as f64)) }
                " connections up"
            } }
        }
    }
}

fn with_status(status: Option<StatusFilter>) -> String {
    let query = ListQuery {
        status,
        ..ListQuery::default()
    };
    query.href()
}

fn attention(entry: &Attention, now: &str) -> Markup {
    let id = entry.id.as_deref().unwrap_or_default();
    let (class, word) = match entry.about {
        About::Refused => ("bad", "trigger refused"),
        About::Connection => ("bad", "connection lost"),
        About::Failing => ("bad", "trigger failing"),
        About::Stale => ("warning", "old samples"),
        About::Budget => ("warning", "at its budget"),
        About::Limit => ("warning", "near a limit"),
    };
    let page = match entry.about {
        About::Refused | About::Failing | About::Stale => Some(format!("/triggers/{id}")),
        About::Connection | About::Budget => Some(format!("/connections/{id}")),
        About::Limit => None,
    };
    html! {
        h3 {
            span class=(format!("badge {class}")) { (word) } " "
            @match &page {
                Some(page) => a href=(page) { (entry.name) },
                None => (entry.name),
            }
        }
        p.facts {
            @if let Some(since) = &entry.since { "since " (parts::moment(since, now)) }
            @if entry.connections > 1 {
                " · " (number(entry.connections as f64)) " connections to this server"
            }
            (affected(entry))
        }
        (parts::error(&entry.error))
    }
}

/// How many triggers it affects, and the first of them.
fn affected(entry: &Attention) -> Markup {
    let count = number(entry.triggers as f64);
    let text = match entry.about {
        About::Connection | About::Budget => format!("{count} of its triggers affected"),
        _ if entry.triggers > 1 => format!("{count} triggers of this namespace with this error"),
        _ => return html! {},
    };
    let list = entry.query.as_ref().map(|query| format!("/?{query}"));
    html! {
        " · " a href=[list] { (text) }
        @for (at, trigger) in entry.affected.iter().enumerate() {
            (if at == 0 { ": " } else { ", " })
            a href=(format!("/triggers/{}", trigger.id)) { (trigger.namespace) "/" (trigger.object) }
            @if let Some(measures) = &trigger.measures { " (" (measures) ")" }
        }
        @if entry.triggers > entry.affected.len() && !entry.affected.is_empty() { ", …" }
    }
}

/// The way to the entries of a kind that are left out.
fn more(overview: &Overview, about: About) -> Markup {
    let mut all = overview.more_attention.iter();
    let Some(more) = all.find(|more| more.about == about) else {
        return html! {};
    };
    let (list, of) = match about {
        About::Refused => (
            Some(with_status(Some(StatusFilter::Refused))),
            "refused triggers",
        ),
        About::Failing => (
            Some(with_status(Some(StatusFilter::Failing))),
            "failing triggers",
        ),
        About::Stale => (
            Some(with_status(Some(StatusFilter::Stale))),
            "triggers with old samples",
        ),
        About::Connection => (Some("/connections".to_owned()), "lost connections"),
        About::Budget => (
            Some("/connections".to_owned()),
            "connections at their budget",
        ),
        About::Limit => (None, "limits"),
    };
    let entries = number(more.entries as f64);
    html! {
        li.more {
            "and " a href=[list] { (entries) " more" } ": " (of)
        }
    }
}

/// The way to those that are not listed one by one.
fn all_problems(counts: &Counts) -> Markup {
    let problems = counts.stale + counts.failing + counts.refused;
    html! {
        @if problems > 0 {
            p { a href=(with_status(Some(StatusFilter::Problem))) {
                "All " (number(problems as f64)) " triggers that are stale, failing or refused"
            } }
        }
    }
}
