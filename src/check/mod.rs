//! What is wrong with manifests and settings, and what in them will surprise, without a cluster or a
//! backend.
//!
//! A [`Checker`] knows what a server would, and reads files into [`Finding`]s. Each has a [`Code`]; those
//! are described in [`codes`], with an example that is tested.

mod checker;
pub mod codes;
mod fields;
mod finding;
mod metadata;
mod object;
mod schema;
mod settings;
mod stand_in;
mod trigger;
mod trigger_types;

#[cfg(test)]
mod tests;

pub use checker::{Checker, Server};
pub use codes::Code;
pub use finding::{Finding, Severity};
pub use settings::is_settings;
pub use stand_in::value as stand_in;
