//! What the unit tests of this folder share: keys in, plan or connection or problems out.

use std::collections::BTreeMap;

use super::{Connection, Kafka};
use crate::sampling::{Plan, TriggerType};
use crate::{
    metadata::{parse::Metadata, problem::Problems, schema::KeySet, tls::TlsKeys},
    sampling::Backend,
};

fn trigger_type(name: &str) -> TriggerType<Kafka> {
    let mut types = Kafka::trigger_types().into_iter();
    types
        .find(|found| found.name == name)
        .expect("a trigger type")
}

fn map(keys: &[(&str, &str)]) -> BTreeMap<String, String> {
    keys.iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn try_connection(keys: &[(&str, &str)]) -> Result<Connection, Problems> {
    let trigger_type = trigger_type("kafka");
    let tls = KeySet::of::<TlsKeys>();
    let map = map(keys);
    let (metadata, problems) = Metadata::new(&map, &[&trigger_type.connection_keys, &tls]);
    problems.into_result()?;
    let tls = metadata.parse(&tls)?;
    trigger_type.connection(&metadata, tls)
}

fn try_plan(name: &str, keys: &[(&str, &str)]) -> Result<Plan<Kafka>, Problems> {
    let trigger_type = trigger_type(name);
    let map = map(keys);
    let (metadata, problems) = Metadata::new(&map, &[&trigger_type.query_keys]);
    problems.into_result()?;
    trigger_type.plan(&metadata)
}

pub fn connection(keys: &[(&str, &str)]) -> Connection {
    try_connection(keys).unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn connection_error(keys: &[(&str, &str)]) -> String {
    let problems = try_connection(keys).err().expect("keys that are refused");
    problems.to_string()
}

pub fn plan(name: &str, keys: &[(&str, &str)]) -> Plan<Kafka> {
    try_plan(name, keys).unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn plan_error(name: &str, keys: &[(&str, &str)]) -> String {
    let problems = try_plan(name, keys).err().expect("keys that are refused");
    problems.to_string()
}
