//! The keys that KEDA's own scalers read, and where from (`redis_scaler.go`, `redis_streams_scaler.go`,
//! `kafka_scaler.go`, `apache_kafka_scaler.go` and `temporal_scaler.go` of KEDA 2.21: the `keda:` tags).
//! KEDA ignores every other key of a trigger's metadata without a word.

/// How a trigger's metadata can give a key. An authentication can give most of them as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// As it is.
    Text,
    /// As it is, or by `…FromEnv`.
    Both,
    /// By `…FromEnv` alone.
    Variable,
    /// Not at all: by an authentication alone.
    Authentication,
}

use Reads::{Authentication, Both, Text, Variable};

type Keys = &'static [(&'static str, Reads)];

const REDIS: Keys = &[
    ("address", Both),
    ("addresses", Both),
    ("host", Both),
    ("hosts", Both),
    ("port", Both),
    ("ports", Both),
    ("username", Both),
    ("password", Both),
    ("enableTLS", Text),
    ("unsafeSsl", Text),
    ("tls", Authentication),
    ("ca", Authentication),
    ("cert", Authentication),
    ("key", Authentication),
    ("keyPassword", Authentication),
];

const DATABASE: Keys = &[("databaseIndex", Text)];

const SENTINEL: Keys = &[
    ("sentinelMaster", Both),
    ("sentinelUsername", Both),
    ("sentinelPassword", Both),
];

const LISTS: Keys = &[
    ("listName", Text),
    ("listLength", Text),
    ("activationListLength", Text),
];

const STREAMS: Keys = &[
    ("stream", Text),
    ("consumerGroup", Text),
    ("pendingEntriesCount", Text),
    ("streamLength", Text),
    ("lagCount", Text),
    ("activationLagCount", Text),
];

/// Of both Kafka scalers.
const LAG: Keys = &[
    ("bootstrapServers", Both),
    ("consumerGroup", Both),
    ("topic", Both),
    ("partitionLimitation", Text),
    ("lagThreshold", Text),
    ("activationLagThreshold", Text),
    ("offsetResetPolicy", Text),
    ("allowIdleConsumers", Text),
    ("excludePersistentLag", Text),
    ("scaleToZeroOnInvalidOffset", Text),
    ("limitToPartitionsWithLag", Text),
    ("ensureEvenDistributionOfPartitions", Text),
    ("tls", Text),
    ("sasl", Text),
    ("awsRegion", Text),
    ("username", Authentication),
    ("password", Authentication),
    ("ca", Authentication),
    ("cert", Authentication),
    ("key", Authentication),
    ("keyPassword", Authentication),
    ("awsRoleArn", Authentication),
    ("awsAccessKeyID", Authentication),
    ("awsSecretAccessKey", Authentication),
    ("awsSessionToken", Authentication),
];

/// Of `kafka` alone.
const SARAMA: Keys = &[
    ("version", Text),
    ("fullMetadata", Text),
    ("unsafeSsl", Text),
    ("saslTokenProvider", Text),
    ("scopes", Authentication),
    ("oauthTokenEndpointUri", Authentication),
    ("oauthExtensions", Authentication),
    ("keytab", Authentication),
    ("ccacheName", Authentication),
    ("realm", Authentication),
    ("kerberosConfig", Authentication),
    ("kerberosServiceName", Authentication),
    ("kerberosDisableFAST", Authentication),
];

const TEMPORAL: Keys = &[
    ("endpoint", Both),
    ("namespace", Both),
    ("taskQueue", Both),
    ("queueTypes", Text),
    ("targetQueueSize", Text),
    ("activationTargetQueueSize", Text),
    ("workerDeploymentName", Both),
    ("workerDeploymentBuildId", Both),
    ("buildId", Both),
    ("selectAllActive", Text),
    ("selectUnversioned", Text),
    ("includeRunningWorkflowCount", Text),
    ("workflowTaskQueueForCount", Both),
    ("minConnectTimeout", Text),
    ("apiKey", Variable),
    ("enableTLS", Text),
    ("unsafeSsl", Text),
    ("tlsServerName", Text),
    ("ca", Authentication),
    ("cert", Authentication),
    ("key", Authentication),
    ("keyPassword", Authentication),
];

/// The built-in triggers that can move, each with its keys. The type is our `backend`.
const SCALERS: [(&str, &[Keys]); 9] = [
    ("redis", &[REDIS, DATABASE, LISTS]),
    ("redis-cluster", &[REDIS, LISTS]),
    ("redis-sentinel", &[REDIS, DATABASE, SENTINEL, LISTS]),
    ("redis-streams", &[REDIS, DATABASE, STREAMS]),
    ("redis-cluster-streams", &[REDIS, STREAMS]),
    (
        "redis-sentinel-streams",
        &[REDIS, DATABASE, SENTINEL, STREAMS],
    ),
    ("kafka", &[LAG, SARAMA]),
    ("apache-kafka", &[LAG]),
    ("temporal", &[TEMPORAL]),
];

/// The keys of one of KEDA's scalers.
#[derive(Clone, Copy)]
pub struct Scaler {
    /// The type of the trigger.
    pub name: &'static str,
    keys: &'static [Keys],
}

impl Scaler {
    /// The scaler of a trigger's type, if it is one that can move.
    pub fn of(trigger_type: &str) -> Option<Self> {
        let mut all = SCALERS.into_iter();
        let found = all.find(|(name, _)| *name == trigger_type);
        found.map(|(name, keys)| Scaler { name, keys })
    }

    /// The types that can move.
    #[cfg(test)]
    pub fn names() -> impl Iterator<Item = &'static str> {
        SCALERS.into_iter().map(|(name, _)| name)
    }

    /// How it reads a key; `None`: not at all.
    pub fn reads(self, key: &str) -> Option<Reads> {
        let mut keys = self.all();
        keys.find(|(name, _)| *name == key).map(|(_, reads)| reads)
    }

    /// All its keys.
    pub fn all(self) -> impl Iterator<Item = (&'static str, Reads)> {
        self.keys.iter().flat_map(|keys| keys.iter().copied())
    }

    pub fn is_redis(self) -> bool {
        self.name.starts_with("redis")
    }

    pub fn is_kafka(self) -> bool {
        self.name.ends_with("kafka")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::registry;

    #[test]
    fn every_type_that_moves_is_a_backend_and_every_backend_moves() {
        let registry = registry();
        let ours: Vec<&str> = registry.names().collect();
        let mut moving: Vec<&str> = Scaler::names().collect();
        moving.sort_unstable();
        let mut sorted = ours.clone();
        sorted.sort_unstable();
        assert_eq!(moving, sorted);
    }

    /// KEDA's keys are ours, but for those of TLS that mean KEDA's own connection here, and what is
    /// never read from the metadata of one server of many.
    #[test]
    fn every_key_is_one_of_ours_or_is_renamed() {
        for keys in registry().keys() {
            let scaler = Scaler::of(keys.trigger_type).expect("can move");
            let all = [&keys.query, &keys.connection, &keys.tls];
            let ours: Vec<&str> = all
                .into_iter()
                .flatten()
                .map(|key| key.name.as_str())
                .collect();
            for (key, _) in scaler.all() {
                let renamed = matches!(key, "enableTLS" | "unsafeSsl");
                assert!(renamed || ours.contains(&key), "{}: {key}", scaler.name);
            }
        }
    }
}
