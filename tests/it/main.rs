//! Integration tests, in one binary: our server against real backends, asked as KEDA asks.

mod bad_input;
mod connections;
mod grpcurl;
mod keda;
mod lifecycle;
mod redis;
mod support;
