//! What the unit tests of backends share: keys in; plan, connection or problems out.

use std::collections::BTreeMap;

use crate::{
    metadata::{
        CommonKeys, parse::Metadata, problem::Problems, schema::KeySet, signal::Needs, tls::TlsKeys,
    },
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
    let mut map = map(keys);
    map.insert("backend".to_owned(), trigger_type_name.to_owned());
    let (common, trigger_keys) = (KeySet::of::<CommonKeys>(), &trigger_type.query_keys);
    let (metadata, problems) = Metadata::new(&map, &[trigger_keys, &common]);
    problems.into_result()?;
    let needs = Needs::of(&metadata.parse(&common)?);
    trigger_type.plan(&metadata, needs)
}
