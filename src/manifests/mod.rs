//! Manifests as they are written: YAML or JSON, read into trees whose every node knows where it is in
//! its file, and edited without a change to anything else.
//!
//! [`collect`] finds files, [`File`] is one of them with its documents, [`NodeRef`] a node of a
//! document, [`Found`] the ScaledObjects and ScaledJobs in it, and [`Edits`] changes of its text.

mod crd;
mod document;
mod edit;
mod find;
mod object;
mod objects;
mod parse;
mod tree;
mod value;

pub use crd::{MetricType, shown};
pub use document::{Document, File, Position, Unreadable};
pub use edit::{Edits, Refused};
pub use find::{Input, collect, notes_on_charts};
pub use object::{Bounds, Cause, Combination, Object, Problem, Scaled, Skipped, Trigger, Unread};
pub use objects::{Found, is_external};
pub use tree::{NodeRef, Style, Tree};

#[cfg(test)]
mod properties;
