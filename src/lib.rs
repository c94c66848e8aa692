//! backlog-scaler answers KEDA's question "how much work is waiting?" for queues.
//!
//! One process answers for thousands of triggers over shared connections. A call flows one way in
//! and one way back:
//!
//! 1. [`keda`] is the gRPC edge: it checks a request, converts it, and turns errors into status
//!    codes. Nobody else knows the proto.
//! 2. [`trigger`] makes typed values of the metadata map that a ScaledObject's author wrote: where
//!    the queue is, what to measure, the thresholds. It does no I/O.
//! 3. [`sampling`] is the engine: it shares one sample among all triggers that ask the same,
//!    gathers what is asked into batches, and decides how old an answer may be.
//! 4. [`backends`] read the queues, each in a folder of its own. Nobody else knows their client
//!    libraries.
//!
//! Around them: [`settings`] is the server's own configuration, [`server`] its listeners and its
//! life, [`telemetry`] its logs and metrics, [`cli`] its commands, [`error`] its one error.

pub mod backends;
pub mod cli;
pub mod error;
pub mod keda;
pub mod metadata;
pub mod sampling;
pub mod server;
pub mod settings;
pub mod telemetry;
