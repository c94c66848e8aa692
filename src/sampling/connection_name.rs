//! What a connection is called: in errors, log lines and metrics, and in the addresses of pages.

use std::hash::Hasher;

/// The names of a connection. Several may share one: credentials are no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionName<'a> {
    /// The backend's name.
    pub backend: &'static str,
    /// Its address, and the user where there is one.
    pub address: &'a str,
    /// Its name in the settings; `None`: triggers have it in their metadata.
    pub named: Option<&'a str>,
    /// Differs between all connections, within this process.
    pub instance: usize,
}

impl ConnectionName<'_> {
    /// The same for equal names, in every process.
    pub fn id(&self) -> u64 {
        fixed_hash([self.backend, self.address, self.named.unwrap_or_default()])
    }
}

/// A hash that is the same in every process.
pub(super) fn fixed_hash<const N: usize>(texts: [&str; N]) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    for text in texts {
        hasher.write(text.as_bytes());
        // In no UTF-8 text, so that no two lists read the same.
        hasher.write(&[0xff]);
    }
    hasher.finish()
}
