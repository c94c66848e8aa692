//! Parts that several pages have.

use maud::{Markup, html};

use crate::status::model::{ConnectionHealth, ErrorText, PastError, TriggerStatus};

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

/// The last error of something that may have recovered since.
pub fn past_error(last: Option<&PastError>) -> Markup {
    html! {
        @match last {
            None => p { "None since this server knows it." },
            Some(last) => {
                p { "At " time datetime=(last.at) { (last.at) } ":" }
                (error(&last.error))
            }
        }
    }
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
