//! The engine over a scripted backend, under paused time: a second here costs nothing.

mod authentication;
mod engine;
pub(crate) mod keys;
mod look_ahead;
mod metrics;
mod outages;
mod push;
mod replacement;
mod replicas;
mod revalidation;
pub(crate) mod scripted;
mod shaping;
mod signals;
mod states;
