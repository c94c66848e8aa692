//! How many connections may be open: triggers that bring addresses and credentials of their own
//! could otherwise open any number, and hammer one server with refused logins.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};

/// Counts the connections of all backends.
pub struct ConnectionBudget {
    most: usize,
    most_of_a_name: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    /// By name, which is address and user: those that differ in credentials share it.
    by_name: HashMap<String, usize>,
}

/// The place of one connection, given back on drop.
pub struct Reservation {
    budget: Arc<ConnectionBudget>,
    name: String,
}

impl ConnectionBudget {
    /// So many connections in all, and so many of one name.
    pub fn new(most: usize, most_of_a_name: usize) -> Self {
        ConnectionBudget {
            most,
            most_of_a_name,
            open: Mutex::default(),
        }
    }

    /// A place for one more connection. An error names the limit.
    pub fn reserve(self: &Arc<Self>, name: String) -> Result<Reservation> {
        let mut open = self.open.lock();
        let of_name = open.by_name.get(&name).copied().unwrap_or(0);
        if of_name >= self.most_of_a_name {
            return Err(full(
                format!("{of_name} connections with different credentials are open to {name}"),
                "engine.connectionsPerName",
            ));
        }
        if open.all >= self.most {
            let what = format!("{} connections to backends are open", open.all);
            return Err(full(what, "engine.connections"));
        }
        open.all += 1;
        *open.by_name.entry(name.clone()).or_default() += 1;
        drop(open);
        Ok(Reservation {
            budget: self.clone(),
            name,
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut open = self.budget.open.lock();
        open.all -= 1;
        if let Some(count) = open.by_name.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                open.by_name.remove(&self.name);
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
    use super::*;

    #[test]
    fn connections_are_bounded_in_all_and_by_name() {
        let budget = Arc::new(ConnectionBudget::new(3, 2));
        let reserve = |name: &str| budget.reserve(name.to_owned());
        let first = reserve("a").expect("is free");
        let _second = reserve("a").expect("is free");
        let error = reserve("a").err().expect("too many of a name");
        assert!(
            error.to_string().contains("engine.connectionsPerName"),
            "{error}"
        );
        let _third = reserve("b").expect("is free");
        let error = reserve("c").err().expect("too many in all");
        assert!(error.to_string().contains("engine.connections."), "{error}");
        drop(first);
        assert!(reserve("c").is_ok());
    }
}
