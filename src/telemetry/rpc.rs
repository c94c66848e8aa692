//! Latency of the calls to this server, by method and gRPC code.

use tokio::time::Instant;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use tonic::Code;

/// A method of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    GetMetricSpec,
    GetMetrics,
    IsActive,
    StreamIsActive,
    StreamMetricSpec,
}

impl Method {
    fn label(self) -> &'static str {
        match self {
            Method::GetMetricSpec => "GetMetricSpec",
            Method::GetMetrics => "GetMetrics",
            Method::IsActive => "IsActive",
            Method::StreamIsActive => "StreamIsActive",
            Method::StreamMetricSpec => "StreamMetricSpec",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone)]
pub(super) struct Rpcs(Family<Labels, Histogram, fn() -> Histogram>);

impl Rpcs {
    pub fn register(registry: &mut Registry) -> Self {
        // 50 µs (from a fresh sample) to 13 s (a first read of a slow backend).
        let family: Family<Labels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_05, 4.0, 10)));
        registry.register_with_unit(
            "rpc",
            "Duration of a call; a stream counts until it is opened",
            Unit::Seconds,
            family.clone(),
        );
        Rpcs(family)
    }

    pub fn start(&self, method: Method) -> Call {
        Call {
            rpcs: self.clone(),
            method,
            started: Instant::now(),
            // What a caller that goes away leaves behind.
            code: Code::Cancelled,
        }
    }
}

/// A call under way: measured when dropped, so that none is missed.
pub struct Call {
    rpcs: Rpcs,
    method: Method,
    started: Instant,
    code: Code,
}

impl Call {
    /// How the call ended.
    pub fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let labels = Labels {
            method: self.method.label(),
            code: code_label(self.code),
        };
        let elapsed = self.started.elapsed().as_secs_f64();
        self.rpcs.0.get_or_create(&labels).observe(elapsed);
    }
}

/// The code as gRPC's own documentation writes it.
fn code_label(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
