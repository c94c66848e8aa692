//! The one error of the crate: a closed kind, what happened and where, and what to do next.

use std::{fmt, sync::Arc};

/// What went wrong, as far as callers distinguish cases.
///
/// The set is closed on purpose: `keda::status` maps each kind to one gRPC code,
/// and metrics use it as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The trigger's metadata (or a setting) is wrong.
    Invalid,
    /// The caller may not use this connection.
    NotAllowed,
    /// What is to be measured does not exist.
    NotFound,
    /// The backend responded, but with something that cannot be counted.
    Unreadable,
    /// The samples so far do not say what a trigger reports: there is too little history, or nothing
    /// was completed lately.
    Undetermined,
    /// The backend refused our credentials or lacks a right for us.
    Unauthorized,
    /// The backend cannot be reached, or the connection broke.
    Unreachable,
    /// No response came in time.
    TimedOut,
    /// A limit was reached, ours or the backend's.
    Exhausted,
    /// A defect of this program.
    Internal,
}

impl Kind {
    /// Every kind, for metrics and documentation.
    pub const ALL: [Kind; 10] = [
        Kind::Invalid,
        Kind::NotAllowed,
        Kind::NotFound,
        Kind::Unreadable,
        Kind::Undetermined,
        Kind::Unauthorized,
        Kind::Unreachable,
        Kind::TimedOut,
        Kind::Exhausted,
        Kind::Internal,
    ];

    /// The kind as a metric label and log field.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::NotAllowed => "not_allowed",
            Kind::NotFound => "not_found",
            Kind::Unreadable => "unreadable",
            Kind::Undetermined => "undetermined",
            Kind::Unauthorized => "unauthorized",
            Kind::Unreachable => "unreachable",
            Kind::TimedOut => "timed_out",
            Kind::Exhausted => "exhausted",
            Kind::Internal => "internal",
        }
    }
}

/// An error that says what happened and where, then what to do about it.
///
/// Cheap to clone: all callers that wait for a read share its error.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    what: String,
    next: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl PartialEq for Error {
    /// By kind and text: what a caller sees.
    fn eq(&self, other: &Self) -> bool {
        fn text(error: &Error) -> (Kind, &str, &str) {
            (error.kind(), error.what(), error.next())
        }
        Arc::ptr_eq(&self.0, &other.0) || text(self) == text(other)
    }
}

impl Eq for Error {}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `what` says what happened and where, without a full stop at its end;
    /// `next` is a sentence that says what to do, or empty.
    pub fn new(kind: Kind, what: impl Into<String>, next: impl Into<String>) -> Self {
        Error(Arc::new(Inner {
            kind,
            what: one_line(what.into()),
            next: one_line(next.into()),
            source: None,
        }))
    }

    /// The same error with the library's error behind it. Its text is not repeated: `what` has it
    /// already.
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::new(source));
        self
    }

    /// Which kind of failure this is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What happened, and where.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What to do about it; may be empty.
    pub fn next(&self) -> &str {
        &self.0.next
    }

    /// The same error without the library's error behind it, in memory of its own.
    pub fn without_source(&self) -> Self {
        let Inner {
            kind, what, next, ..
        } = &*self.0;
        Error(Arc::new(Inner {
            kind: *kind,
            what: what.clone(),
            next: next.clone(),
            source: None,
        }))
    }

    /// The memory that it takes, without the library's error behind it.
    pub fn bytes(&self) -> usize {
        // An Arc has two counts beside what it holds.
        let counts = 2 * size_of::<usize>();
        counts + size_of::<Inner>() + self.0.what.capacity() + self.0.next.capacity()
    }

    /// The same error, said to have happened `place` (`redis 127.0.0.1:6379, list jobs`).
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.what = one_line(format!("{place}: {}", inner.what));
        self
    }

    /// The same error with one more fact behind what happened.
    pub fn and(mut self, fact: impl fmt::Display) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.what = one_line(format!("{} ({fact})", inner.what));
        self
    }

    /// The same error with one more sentence of what to do about it.
    pub fn advise(mut self, sentence: &str) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.next = one_line(format!("{} {sentence}", inner.next).trim_start().to_owned());
        self
    }
}

/// Longer texts are cut: callers and backends put their own words into errors.
const LONGEST: usize = 4096;

/// Text of callers and backends must not split a log line, or fill it.
pub fn one_line(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    match text.contains(char::is_control) {
        true => text.replace(char::is_control, "\u{fffd}"),
        false => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { what, next, .. } = &*self.0;
        match next.is_empty() {
            true => write!(f, "{what}"),
            false => write!(f, "{what}. {next}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.0.kind.label())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_of_bounded_length() {
        let error = Error::new(Kind::Internal, "a\nb", "c\r").at("d\u{1b}[0m");
        assert_eq!(error.to_string(), "d\u{fffd}[0m: a\u{fffd}b. c\u{fffd}");
        let long = Error::new(Kind::Internal, "é".repeat(10_000), "");
        assert!(long.to_string().len() <= LONGEST + 3);
    }
}
