//! What tests and benchmarks share: real servers on loopback, our own server in this process, and
//! calls to it. A crate of the workspace that is never published.

#![allow(clippy::unwrap_used, reason = "a test that fails shows the line")]
#![allow(clippy::disallowed_methods, reason = "real servers take real time")]

pub mod browser;
pub mod certs;
pub mod example;
pub mod job_queues;
#[allow(
    clippy::disallowed_methods,
    reason = "the client library's own calls block as well, and tests call them on threads to spare"
)]
pub mod kafka;
pub mod kerberos;
pub mod process;
pub mod redis;
pub mod scaler;
pub mod temporal;

use std::io::Write;

/// Set by `make test`, which installs everything: what is missing is then a failure.
const ALL: &str = "BACKLOG_SCALER_TEST_ALL";

/// Whether a test can run. If not it says so, past libtest's capture, and passes; under
/// `make test` it fails.
///
/// ```ignore
/// if !testkit::require(testkit::redis::available(), "redis-server") { return }
/// ```
pub fn require(available: bool, what: &str) -> bool {
    if available {
        return true;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        std::env::var_os(ALL).is_none(),
        "{what} is not installed; `make test` should have installed it"
    );
    // libtest captures print!, not a write to the stream itself.
    let line = format!("skipped {test}: {what} is not installed; `make test` installs it\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    false
}

/// A program of the test set-up, found by a variable of `make test` or on the PATH.
pub fn program(variable: &str, name: &str) -> Option<std::path::PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
