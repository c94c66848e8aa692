//! Integration tests, in one binary: our server against real backends, asked as KEDA asks.

mod redis;
mod support;
