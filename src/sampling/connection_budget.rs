//! How many connections may be open: triggers that bring addresses and credentials of their own
//! could otherwise open any number, and hammer one server with refused logins.

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc};

use parking_lot::Mutex;

use super::limits::ConnectionLimits;
use crate::error::{Error, Kind, Result};

/// Counts the connections of all backends.
pub struct ConnectionBudget {
    limits: ConnectionLimits,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    shares: HashMap<Share, usize>,
}

/// What connections have in common that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// Inline ones of one namespace with the same address and user: they differ in credentials
    /// alone. By namespace, so that wrong passwords of one do not keep another out.
    Name(String, String),
    /// Inline ones to the same address, whatever the user.
    Server(String),
    /// Inline ones that were first requested for this namespace.
    Namespace(String),
}

/// The place of one connection, given back on drop.
pub struct Reservation {
    budget: Arc<ConnectionBudget>,
    shares: Vec<Share>,
}

impl ConnectionBudget {
    /// A budget with nothing open.
    pub fn new(limits: ConnectionLimits) -> Self {
        ConnectionBudget {
            limits,
            open: Mutex::default(),
        }
    }

    /// How many connections are open, and how many may be.
    pub fn usage(&self) -> (usize, usize) {
        (self.open.lock().all, self.limits.all.get())
    }

    /// A place for one more connection. An error names the limit.
    pub fn reserve(self: &Arc<Self>, shares: Vec<Share>) -> Result<Reservation> {
        let mut open = self.open.lock();
        if open.all >= self.limits.all.get() {
            let what = format!("{} connections to backends are open", open.all);
            return Err(full(what, "engine.connections"));
        }
        for share in &shares {
            let count = open.shares.get(share).copied().unwrap_or(0);
            share.check(count, &self.limits)?;
        }
        open.all += 1;
        for share in &shares {
            *open.shares.entry(share.clone()).or_default() += 1;
        }
        drop(open);
        Ok(Reservation {
            budget: self.clone(),
            shares,
        })
    }
}

impl Share {
    fn check(&self, count: usize, limits: &ConnectionLimits) -> Result<()> {
        let (limit, what, setting): (NonZeroUsize, _, _) = match self {
            Share::Name(namespace, name) => (
                limits.per_name,
                format!(
                    "{count} connections with different credentials are open to {name} for \
                     namespace {namespace}"
                ),
                "engine.connectionsPerName",
            ),
            Share::Server(server) => (
                limits.per_server,
                format!("{count} connections of triggers' own are open to {server}"),
                "engine.connectionsPerServer",
            ),
            Share::Namespace(namespace) => (
                limits.per_namespace,
                format!("{count} connections of triggers' own are open for namespace {namespace}"),
                "engine.connectionsPerNamespace",
            ),
        };
        match count < limit.get() {
            true => Ok(()),
            false => Err(full(what, setting)),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut open = self.budget.open.lock();
        open.all -= 1;
        for share in &self.shares {
            if let Some(count) = open.shares.get_mut(share) {
                *count -= 1;
                if *count == 0 {
                    open.shares.remove(share);
                }
            }
        }
    }
}

fn full(what: String, setting: &str) -> Error {
    Error::new(
        Kind::Exhausted,
        what,
        format!("Share connections (equal addresses and credentials are one), or raise {setting}."),
    )
}

#[cfg(test)]
mod tests {
    use super::{Share::*, *};

    fn limits(all: usize, each: usize) -> ConnectionLimits {
        let count = |n| NonZeroUsize::new(n).unwrap();
        ConnectionLimits {
            all: count(all),
            per_name: count(each),
            per_server: count(each),
            per_namespace: count(each),
        }
    }

    #[test]
    fn connections_are_bounded_in_all_and_by_what_they_share() {
        let budget = Arc::new(ConnectionBudget::new(limits(3, 2)));
        let name = |name: &str| vec![Name("shop".to_owned(), name.to_owned())];
        let first = budget.reserve(name("a")).expect("is free");
        let _second = budget.reserve(name("a")).expect("is free");
        let error = |shares| budget.reserve(shares).err().expect("is full").to_string();
        assert!(error(name("a")).contains("engine.connectionsPerName"));
        let _third = budget.reserve(name("b")).expect("is free");
        assert!(error(name("c")).contains("engine.connections."));
        drop(first);
        assert!(budget.reserve(name("c")).is_ok());
    }

    #[test]
    fn a_refused_connection_takes_no_place() {
        let budget = Arc::new(ConnectionBudget::new(limits(100, 2)));
        let of = |user: usize, namespace: &str| {
            let name = format!("{user}@redis:6379");
            let server = Server("redis:6379".to_owned());
            let namespace = namespace.to_owned();
            budget.reserve(vec![
                Name(namespace.clone(), name),
                server,
                Namespace(namespace),
            ])
        };
        let (_one, _two) = (of(1, "shop").unwrap(), of(2, "mail").unwrap());
        let error = of(3, "shop").err().expect("is full").to_string();
        assert!(error.contains("engine.connectionsPerServer"), "{error}");
        assert_eq!(budget.open.lock().all, 2);
        assert_eq!(budget.open.lock().shares.len(), 5);
    }
}
