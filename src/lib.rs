//! backlog-scaler tells KEDA how much work is waiting in queues.
//!
//! One process serves thousands of triggers over shared connections. A call flows one way in
//! and one way back:
//!
//! 1. [`keda`] is the gRPC edge: it checks a request, converts it, and turns errors into status
//!    codes. No other module uses the proto.
//! 2. [`metadata`] turns the metadata map of a trigger into typed values: address and credentials,
//!    what to measure, the thresholds. It does no I/O.
//! 3. [`sampling`] is the engine: it shares one sample among all triggers with the same query,
//!    collects queries into batches, and decides how old a sample may be.
//! 4. [`backends`] read the queues, each in a folder of its own. No other module uses their client
//!    libraries.
//!
//! Around them: [`network`] decides which servers may be connected to, [`kubernetes`] reads from the
//! API server how a trigger authenticates, [`settings`] is the server's own configuration, [`server`]
//! its listeners and its life cycle, [`telemetry`] its logs and metrics, [`manifests`] reads and edits
//! what users write for KEDA, [`check`] finds mistakes in it, [`cli`] its commands, [`error`] its one error.
//!
//! [`simulation`] is apart from all that: KEDA's loop and the HPA's algorithm as pure code, to see
//! how a load is scaled with given settings.

pub mod backends;
pub mod check;
pub mod cli;
pub mod error;
pub mod keda;
pub mod kubernetes;
pub mod manifests;
pub mod metadata;
pub mod network;
pub mod sampling;
pub mod server;
pub mod settings;
pub mod simulation;
pub mod telemetry;
