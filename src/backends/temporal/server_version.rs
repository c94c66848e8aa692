//! The version of a server, and what is known to be wrong with its counts.

use std::fmt;

/// The version that a server reports.
#[derive(Clone, Debug)]
pub struct ServerVersion(String);

impl ServerVersion {
    pub fn new(text: String) -> Self {
        ServerVersion(text)
    }

    /// Whether it is known to be older than `major.minor`. Temporal Cloud and forks may write
    /// their versions as they like.
    fn is_before(&self, major: u32, minor: u32) -> bool {
        let mut parts = self.0.split('.').map(str::parse::<u32>);
        match (parts.next(), parts.next()) {
            (Some(Ok(has_major)), Some(Ok(has_minor))) => (has_major, has_minor) < (major, minor),
            _ => false,
        }
    }

    /// What is wrong with this server's counts. Measured with 1.29.1 and 1.32.1.
    pub fn caveat(&self) -> Option<&'static str> {
        self.is_before(1, 32).then_some(
            "before 1.32 a server counts 0 for a queue that has been idle for five minutes until it is \
             used again, and the counts of worker-deployment versions are wrong: upgrade it if you can",
        )
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_empty() {
            true => f.write_str("of unknown version"),
            false => f.write_str(&self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_has_a_caveat_and_an_unknown_one_has_none() {
        let caveat = |version: &str| ServerVersion::new(version.to_owned()).caveat();
        assert!(caveat("1.29.1").is_some() && caveat("1.31").is_some());
        for version in ["1.32.1", "1.40.0-cloud.3", "2.0.0", "cloud", ""] {
            assert!(caveat(version).is_none(), "{version}");
        }
    }
}
