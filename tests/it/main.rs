//! Integration tests, in one binary: our server against real backends, called as KEDA calls it.

#![allow(clippy::unwrap_used, reason = "a test that fails shows the line")]
#![allow(clippy::disallowed_methods, reason = "real servers take real time")]

mod bad_input;
mod burst;
mod check;
mod cluster;
mod connections;
mod docs;
mod examples;
mod faults;
mod grpcurl;
mod health;
mod hostile;
mod kafka;
mod keda;
mod layers;
mod lifecycle;
mod listener;
mod migrate;
mod network;
mod packaging;
mod probe;
mod program;
mod properties;
mod record;
mod recorded;
mod redis;
mod rolling_restart;
mod simulate;
mod status;
mod temporal;
mod tune;
mod watching;
