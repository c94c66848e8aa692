//! KEDA's edge: the gRPC service, the conversions, and errors → status. No other module uses the proto.

pub mod client;
mod codec;
mod convert;
mod push_stream;
mod service;
mod status;
#[cfg(test)]
mod tests;

pub use service::{RAW_VALUE, SAMPLE_AGE, SHAPED_BY, STALE, Service, Streams};

/// Generated from `proto/externalscaler.proto`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod proto {
    tonic::include_proto!("externalscaler");

    /// The descriptors that reflection serves.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/externalscaler.bin"));
}
