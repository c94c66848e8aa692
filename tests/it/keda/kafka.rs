//! The Kafka table.

use super::{Case, Sees, case, judge, judge_all, same};
use testkit::{
    kafka::{self, Kafka},
    require,
    scaler::Scaler,
};

/// Thirty messages on three partitions, of which a group has read some; and a topic whose first
/// messages retention deleted before the group read them.
async fn fill(kafka: &Kafka) {
    kafka.create_topic("judged", 3).await;
    for partition in 0..3 {
        kafka.produce("judged", partition, 10);
    }
    kafka.commit("judged-some", "judged", &[(0, 4), (1, 10)]);
    kafka.commit("judged-all", "judged", &[(0, 4), (1, 10), (2, 2)]);

    kafka.create_topic("judged-long", 2).await;
    kafka.produce("judged-long", 0, 55);
    kafka.produce("judged-long", 1, 5);
    kafka.commit("judged-behind", "judged-long", &[(0, 0), (1, 5)]);

    kafka.create_topic("judged-expired", 1).await;
    kafka.produce("judged-expired", 0, 10);
    kafka.commit("judged-late", "judged-expired", &[(0, 2)]);
    kafka.delete_records("judged-expired", 0, 7).await;
}

fn cases(servers: &str) -> Vec<Case> {
    let lag = |group: &str, topic: &str, keys: &[(&'static str, &str)]| {
        let mut metadata = vec![
            ("bootstrapServers", servers.to_owned()),
            ("consumerGroup", group.to_owned()),
            ("topic", topic.to_owned()),
            // KEDA's default is older than what a current broker speaks.
            ("version", "3.0.0".to_owned()),
        ];
        metadata.extend(keys.iter().map(|(key, value)| (*key, (*value).to_owned())));
        metadata
    };
    let earliest = ("offsetResetPolicy", "earliest");
    let zero = ("scaleToZeroOnInvalidOffset", "true");
    let mut cases = Vec::new();
    for backend in ["kafka", "apache-kafka"] {
        let mut add = |name, metadata, sees| cases.push(case(name, backend, metadata, sees));
        add("a lag", lag("judged-all", "judged", &[]), same(14.0));
        add(
            "no commit, latest",
            lag("judged-none", "judged", &[]),
            same(3.0),
        );
        add(
            "no commit, earliest",
            lag("judged-none", "judged", &[earliest]),
            same(30.0),
        );
        add(
            "no commit, to zero",
            lag("judged-none", "judged", &[zero]),
            same(0.0),
        );
        add(
            "some partitions committed",
            lag("judged-some", "judged", &[]),
            same(7.0),
        );
        // KEDA's integer division: 14 over 4 is 3, and three partitions feed three consumers.
        let threshold = lag("judged-all", "judged", &[("lagThreshold", "4")]);
        add(
            "not capped, as its replicas are as many as partitions",
            threshold,
            same(14.0),
        );
        let threshold = lag("judged-all", "judged", &[("lagThreshold", "3")]);
        add("capped by partitions", threshold, same(9.0));
        let idle = [("lagThreshold", "3"), ("allowIdleConsumers", "true")];
        add("not capped", lag("judged-all", "judged", &idle), same(14.0));
        let with_lag = [("limitToPartitionsWithLag", "true")];
        add(
            "capped by partitions with lag",
            lag("judged-behind", "judged-long", &with_lag),
            same(10.0),
        );
        let activation = [("activationLagThreshold", "14")];
        let reached = Sees::Same {
            value: 14.0,
            active: false,
        };
        add(
            "an activation that is reached",
            lag("judged-all", "judged", &activation),
            reached,
        );
        let some = [("partitionLimitation", "0-1")];
        add(
            "some partitions",
            lag("judged-all", "judged", &some),
            same(6.0),
        );
        let differs = Sees::Different {
            ours: 3.0,
            kedas: 8.0,
        };
        add(
            "what retention deleted",
            lag("judged-late", "judged-expired", &[]),
            differs,
        );
        let missing = match backend {
            // KEDA's newer one takes a topic without partitions for one without lag.
            "apache-kafka" => Sees::OnlyOurError("no-such-topic"),
            _ => Sees::Error("no-such-topic"),
        };
        add(
            "a topic that does not exist",
            lag("judged-all", "no-such-topic", &[]),
            missing,
        );
    }
    cases
}

#[tokio::test]
async fn kedas_client_sees_of_our_kafka_what_it_sees_of_its_own() {
    let judge = judge();
    let tools = kafka::available() && judge.is_some();
    if !require(tools, "Kafka or KEDA's client (tests/keda)") {
        return;
    }
    let kafka = kafka::one().await;
    fill(kafka).await;
    let scaler = Scaler::start().await;
    judge_all(judge.expect("is there"), &scaler, &cases(&kafka.servers())).await;
}
