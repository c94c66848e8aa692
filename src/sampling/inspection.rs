//! What is known of triggers and connections, for the people who look at the status page. Nothing is
//! read for it.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::{
    authentication::with_keys,
    connection_figures::ConnectionFigures,
    connection_name::fixed_hash,
    engine::Engine,
    evaluation::Evaluation,
    outcomes::TriggerStatus,
    trigger::Trigger,
    trigger_cache::{Kept, Usage},
};
use crate::{
    error::{Error, one_line},
    metadata::{
        TriggerRef,
        parse::{KEDAS_OWN, base_of},
        schema::Key,
        tls::PEM_KEYS,
        values::without_login,
    },
};

/// What is known of one trigger.
pub struct Inspected {
    /// The same in every process, for the same trigger. Those that differ in secrets alone share one.
    pub id: u64,
    pub namespace: String,
    /// The name of the ScaledObject or ScaledJob.
    pub object: String,
    /// When it was requested last.
    pub requested: Instant,
    pub state: Result<Bound, Refused>,
}

/// A trigger that is bound to a query.
pub struct Bound {
    pub trigger: Arc<Trigger>,
    pub status: TriggerStatus,
    /// The evaluation of the last good sample, as a call would get it.
    pub last: Option<Evaluation>,
}

/// A trigger whose metadata is wrong, or that may not be read.
pub struct Refused {
    pub error: Error,
    /// If its metadata names a known one.
    pub trigger_type: Option<&'static str>,
    pub since: Instant,
}

/// What is known of one connection.
pub struct InspectedConnection {
    /// The same in every process. Those that differ in credentials alone share one.
    pub id: u64,
    /// Differs between all connections, within this process.
    pub instance: usize,
    pub backend: &'static str,
    /// Address, and user where there is one.
    pub address: String,
    /// The address without the user.
    pub server: String,
    /// Its name in the settings.
    pub named: Option<String>,
    pub figures: ConnectionFigures,
    /// Different queries of its triggers.
    pub shared_queries: usize,
    /// Queries that wait for a batch.
    pub waiting: usize,
}

/// One key of a trigger's metadata, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownKey {
    /// As the user wrote it.
    pub name: String,
    pub value: ShownValue,
}

/// The value of a key, as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownValue {
    Text(String),
    /// Left out, for this reason.
    Hidden(&'static str),
}

impl Engine {
    /// What is known of each trigger: the most recently used first, then the refused ones.
    pub fn inspect_triggers(&self) -> Vec<Inspected> {
        let triggers = self.triggers().into_iter();
        triggers.map(Inspected::new).collect()
    }

    /// What is known of one trigger, with its metadata.
    pub fn inspect_trigger(&self, id: u64) -> Option<(Inspected, Vec<ShownKey>)> {
        let (kept, metadata) = self.find_trigger(|kept| id_of(kept) == id)?;
        let shown = self.shown(&kept, &metadata);
        Some((Inspected::new(kept), shown))
    }

    /// What is known of each connection, by name.
    pub fn inspect_connections(&self) -> Vec<InspectedConnection> {
        let mut all = self.registry().inspect_connections();
        all.sort_by(|a, b| (a.backend, &a.address).cmp(&(b.backend, &b.address)));
        all
    }

    /// How much of the limits on triggers and connections is used.
    pub fn usage(&self) -> Vec<Usage> {
        let (used, limit) = self.registry().connection_budget().usage();
        let connections = Usage {
            setting: "engine.connections",
            namespace: None,
            used,
            limit,
        };
        let mut usage = self.usage_of_triggers();
        usage.insert(1, connections);
        usage
    }

    /// The metadata without secrets, without what may hold one, and without what its authentication
    /// gave.
    fn shown(&self, kept: &Kept, metadata: &BTreeMap<String, String>) -> Vec<ShownKey> {
        let registry = self.registry();
        let trigger_type = registry.of(metadata).ok();
        let of_type = trigger_type.into_iter();
        let of_type = of_type.flat_map(|found| [found.query_keys(), found.connection_keys()]);
        let sets: Vec<_> = of_type
            .chain([&registry.common_keys, &registry.tls_keys])
            .collect();
        let of_connection = trigger_type.map(|found| found.connection_keys());
        let known = |name: &str| sets.iter().find_map(|keys| keys.get(name));
        let authentication = kept.trigger.as_ref().ok();
        let authentication = authentication.and_then(|trigger| trigger.authentication.as_ref());
        let request = TriggerRef {
            namespace: kept.namespace.clone(),
            name: kept.name.clone(),
            metadata: metadata.clone(),
        };
        let used = match (authentication, trigger_type) {
            (Some(authentication), Some(found)) => {
                let keys = self.keys_of_connection(found.as_ref());
                with_keys(&request, authentication.as_ref(), &keys)
            }
            _ => request,
        };
        let shown = used.metadata.iter().map(|(written, value)| {
            let key = known(written).or_else(|| known(base_of(written)));
            let from_authentication = !metadata.contains_key(written);
            let value = value.trim();
            // Some write a login into an address, where it is refused.
            let is_address =
                |key: &&Key| of_connection.is_some_and(|keys| keys.get(&key.name).is_some());
            let value = match key.filter(is_address) {
                Some(_) => without_login(value),
                None => value,
            };
            ShownKey {
                name: one_line(written.clone()),
                value: shown_value(written, value, key, from_authentication),
            }
        });
        shown.collect()
    }
}

fn shown_value(
    written: &str,
    value: &str,
    key: Option<&Key>,
    from_authentication: bool,
) -> ShownValue {
    let Some(key) = key else {
        return match written {
            "scalerAddress" => ShownValue::Text(without_login(value).to_owned()),
            _ if KEDAS_OWN.contains(&written) => ShownValue::Hidden("for KEDA alone"),
            // It may be the password, with a slip in its name.
            _ => ShownValue::Hidden("not a known key"),
        };
    };
    if from_authentication {
        ShownValue::Hidden("from its TriggerAuthentication")
    } else if key.secret {
        ShownValue::Hidden("a secret")
    } else if PEM_KEYS.contains(&key.name.as_str()) {
        ShownValue::Hidden("a certificate")
    } else {
        ShownValue::Text(one_line(value.to_owned()))
    }
}

impl Inspected {
    fn new(kept: Kept) -> Self {
        let since = kept.refused_since.unwrap_or(kept.used);
        Inspected {
            id: id_of(&kept),
            namespace: kept.namespace,
            object: kept.name,
            requested: kept.used,
            state: match kept.trigger {
                Ok(trigger) => Ok(Bound {
                    status: trigger.status(),
                    last: trigger.last(),
                    trigger,
                }),
                Err(error) => Err(Refused {
                    error,
                    trigger_type: kept.refused_type,
                    since,
                }),
            },
        }
    }
}

/// Of what identifies a trigger, without its secrets: of a refused one, what is wrong with it.
fn id_of(kept: &Kept) -> u64 {
    match &kept.trigger {
        Ok(trigger) => fixed_hash([
            &kept.namespace,
            &kept.name,
            &trigger.metric_name,
            &format!("{:08x}", trigger.fingerprint),
        ]),
        Err(error) => fixed_hash([&kept.namespace, &kept.name, &error.to_string()]),
    }
}
