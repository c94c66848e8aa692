//! What the unit tests of this folder share: keys in; plan, connection or problems out.

use super::{config::Connection, config::Kafka};
use crate::sampling::{Plan, tests::keys};

pub fn connection(pairs: &[(&str, &str)]) -> Connection {
    let connection = keys::connection::<Kafka>("kafka", pairs);
    connection.unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn connection_error(pairs: &[(&str, &str)]) -> String {
    let connection = keys::connection::<Kafka>("kafka", pairs);
    connection.err().expect("keys that are refused").to_string()
}

pub fn plan(trigger_type: &str, pairs: &[(&str, &str)]) -> Plan<Kafka> {
    let plan = keys::plan::<Kafka>(trigger_type, pairs);
    plan.unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn plan_error(trigger_type: &str, pairs: &[(&str, &str)]) -> String {
    let plan = keys::plan::<Kafka>(trigger_type, pairs);
    plan.err().expect("keys that are refused").to_string()
}
