//! The types that a trigger may have.

use super::schema::KEDA;
use crate::{manifests::is_external, metadata::schema::nearest};

/// Those of KEDA's `buildScaler` (`pkg/scaling/scalers_builder.go`), which a test compares.
const TYPES: [&str; 80] = [
    "activemq",
    "apache-kafka",
    "arangodb",
    "artemis-queue",
    "aws-cloudwatch",
    "aws-dynamodb",
    "aws-dynamodb-streams",
    "aws-kinesis-stream",
    "aws-sqs-queue",
    "azure-app-insights",
    "azure-blob",
    "azure-cosmosdb",
    "azure-data-explorer",
    "azure-eventhub",
    "azure-log-analytics",
    "azure-monitor",
    "azure-pipelines",
    "azure-queue",
    "azure-servicebus",
    "beanstalkd",
    "cassandra",
    "clickhouse",
    "couchdb",
    "cpu",
    "cron",
    "datadog",
    "dynatrace",
    "elastic-forecast",
    "elasticsearch",
    "etcd",
    "external",
    "external-mock",
    "external-push",
    "forgejo-runner",
    "gcp-cloudtasks",
    "gcp-pubsub",
    "gcp-spanner",
    "gcp-stackdriver",
    "gcp-storage",
    "github-runner",
    "graphite",
    "huawei-cloudeye",
    "ibmmq",
    "influxdb",
    "kafka",
    "kubernetes-resource",
    "kubernetes-workload",
    "liiklus",
    "loki",
    "memory",
    "metrics-api",
    "mongodb",
    "mssql",
    "mysql",
    "nats-jetstream",
    "new-relic",
    "nsq",
    "opensearch",
    "openstack-metric",
    "openstack-swift",
    "postgresql",
    "predictkube",
    "prometheus",
    "pulsar",
    "rabbitmq",
    "redis",
    "redis-cluster",
    "redis-cluster-streams",
    "redis-sentinel",
    "redis-sentinel-streams",
    "redis-streams",
    "selenium-grid",
    "solace-direct-messaging",
    "solace-event-queue",
    "solarwinds",
    "solr",
    "splunk",
    "splunk-observability",
    "sumologic",
    "temporal",
];

/// What is wrong with a type.
pub enum Wrong {
    /// KEDA has none of this name, and refuses the object.
    Unknown {
        message: String,
        near: Option<&'static str>,
    },
    /// It is one of KEDA's own, and does not read the scalerAddress beside it.
    NotExternal { message: String },
}

/// Whether a trigger that is not external was meant to be: it has a scalerAddress, which no other type
/// reads, or its type is a slip of one.
pub fn wrong(written: &str, has_address: bool) -> Option<Wrong> {
    if is_external(written) {
        return None;
    }
    if TYPES.contains(&written) {
        return has_address.then(|| {
            let message = format!(
                "`{written}` is KEDA's own scaler, which does not read the scalerAddress beside it"
            );
            Wrong::NotExternal { message }
        });
    }
    let near = nearest(written, ["external", "external-push"]);
    if near.is_none() && !has_address {
        return None;
    }
    let other = near.or_else(|| nearest(written, TYPES));
    let message = match other {
        Some(near) => format!("KEDA {KEDA} has no scaler of this type; did you mean `{near}`?"),
        None => format!("KEDA {KEDA} has no scaler of this type"),
    };
    Some(Wrong::Unknown {
        message,
        near: other,
    })
}
