//! The one map from our errors to gRPC codes.

use tonic::{Code, Status};

use crate::error::{Error, Kind};

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Status::new(code(error.kind()), error.to_string())
    }
}

/// KEDA treats every code alike; people and other clients do not.
fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotAllowed => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        // UNAUTHENTICATED would speak of the caller's own credentials; these are ours at the backend.
        Kind::Unreadable | Kind::Undetermined | Kind::Unauthorized => Code::FailedPrecondition,
        Kind::Unreachable => Code::Unavailable,
        Kind::TimedOut => Code::DeadlineExceeded,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Internal => Code::Internal,
    }
}
