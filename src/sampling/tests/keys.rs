//! What the unit tests of backends share: keys in; plan, connection or problems out.

use std::collections::BTreeMap;

use crate::{
    metadata::{parse::Metadata, problem::Problems, schema::KeySet, tls::TlsKeys},
    sampling::{Plan, TriggerType, TriggerTypes},
};

fn trigger_type<B: TriggerTypes>(name: &str) -> TriggerType<B> {
    let mut types = B::trigger_types().into_iter();
    types
        .find(|found| found.name == name)
        .unwrap_or_else(|| panic!("{} has no trigger type {name}", B::NAME))
}

fn map(keys: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = keys.iter();
    pairs
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// The connection that these keys of a trigger type describe.
pub fn connection<B: TriggerTypes>(
    trigger_type_name: &str,
    keys: &[(&str, &str)],
) -> Result<B::Connection, Problems> {
    let trigger_type = trigger_type::<B>(trigger_type_name);
    let tls = KeySet::of::<TlsKeys>();
    let map = map(keys);
    let (metadata, problems) = Metadata::new(&map, &[&trigger_type.connection_keys, &tls]);
    problems.into_result()?;
    trigger_type.connection(&metadata, metadata.parse(&tls)?)
}

/// The plan that these keys of a trigger type describe.
pub fn plan<B: TriggerTypes>(
    trigger_type_name: &str,
    keys: &[(&str, &str)],
) -> Result<Plan<B>, Problems> {
    let trigger_type = trigger_type::<B>(trigger_type_name);
    let map = map(keys);
    let (metadata, problems) = Metadata::new(&map, &[&trigger_type.query_keys]);
    problems.into_result()?;
    trigger_type.plan(&metadata)
}
