//! Parts that several pages have.

use maud::{Markup, html};

use crate::status::{
    model::{ConnectionHealth, ErrorText, MetError, PastError, TriggerStatus},
    numbers,
};

/// An error in its three parts: what happened and where, what to do, and where to read more.
pub fn error(error: &ErrorText) -> Markup {
    html! {
        div.error {
            p.what { (with_code(&error.what)) }
            @if !error.next.is_empty() { p.next { (with_code(&error.next)) } }
            p.more { a href=(error.help) { "What " code { (error.kind) } " means" } }
        }
    }
}

/// The last error of something that has recovered since, as of `now`.
pub fn past_error(last: &PastError, now: &str) -> Markup {
    html! {
        p.facts { (moment(&last.at, now)) }
        (error(&last.error))
    }
}

/// The last errors of something that may have recovered since, as of `now`.
pub fn met_errors(errors: &[MetError], now: &str) -> Markup {
    html! {
        @if errors.is_empty() { p { "None since this server knows it." } }
        @for met in errors {
            div.met {
                p.facts {
                    (numbers::count(met.calls, "call"))
                    ", the last at " (moment(&met.last, now))
                    @if met.first != met.last { ", the first at " (moment(&met.first, now)) }
                }
                (error(&met.error))
            }
        }
    }
}

/// A time, and how long before `now` that was.
pub fn moment(at: &str, now: &str) -> Markup {
    html! {
        time datetime=(at) { (at) }
        @if let Some(ago) = ago(at, now) { " (" (ago) ")" }
    }
}

fn ago(at: &str, now: &str) -> Option<String> {
    let [at, now] = [at, now].map(humantime::parse_rfc3339);
    // A time that lies ahead by a rounded second is now.
    let ago = now.ok()?.duration_since(at.ok()?).unwrap_or_default();
    Some(numbers::ago(ago))
}

/// A status in words, so that no one depends on its colour.
pub fn status(status: TriggerStatus) -> Markup {
    let (class, word) = match status {
        TriggerStatus::Good => ("badge good", "good"),
        TriggerStatus::Waiting => ("badge quiet", "waiting"),
        TriggerStatus::Stale => ("badge warning", "stale"),
        TriggerStatus::Failing => ("badge bad", "failing"),
        TriggerStatus::Refused => ("badge bad", "refused"),
    };
    html! { span class=(class) { (word) } }
}

/// The health of a connection in words.
pub fn health(health: ConnectionHealth) -> Markup {
    let (class, word) = match health {
        ConnectionHealth::Up => ("badge good", "up"),
        ConnectionHealth::Lost => ("badge bad", "lost"),
        ConnectionHealth::Unused => ("badge quiet", "unused"),
    };
    html! { span class=(class) { (word) } }
}

/// Text of ours, with what stands between backticks as code.
pub fn with_code(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
