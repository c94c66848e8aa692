//! Kafka: TLS, and what is counted otherwise.

use super::{Auth, OF_HOP, Planner, parse_bool};

pub fn plan(planner: &mut Planner<'_>) {
    tls(planner);
    planner.differs(
        "consumerGroup",
        "messages that retention deleted, and those of open transactions, are no lag",
    );
    planner.differs(
        "partitionLimitation",
        "a partition that the topic does not have is an error; KEDA ignores it",
    );
    if planner.scaler.name == "apache-kafka" {
        planner.differs("topic", "one that does not exist is an error; KEDA reads 0");
        if planner.text("topic").is_none() && !planner.by_variable("topic") {
            planner.note(
                "without a topic, those in which the group has committed count; KEDA counts every \
                 topic of the cluster",
            );
        }
    }
    if planner.is_true("excludePersistentLag") {
        planner.differs(
            "excludePersistentLag",
            "a partition is stuck after persistentLagAfter (30s); in KEDA since the poll before",
        );
    }
    if planner.is_true("ensureEvenDistributionOfPartitions") {
        planner.differs(
            "ensureEvenDistributionOfPartitions",
            "no lag is 0; KEDA reports one share of the partitions",
        );
    }
    if let Auth::Known(reference, authentication) = planner.authentication
        && authentication.has("kerberosConfig")
    {
        let why = format!(
            "{reference} has kerberosConfig, which is one for the whole process here: mount it as \
             /etc/krb5.conf, or name it in KRB5_CONFIG, and take the parameter out"
        );
        planner.refuse(None, why);
    }
}

fn tls(planner: &mut Planner<'_>) {
    let in_use = match planner.text("tls") {
        Some(tls) => tls == "enable",
        None => planner.authentication.may_have("tls"),
    };
    match planner.text("unsafeSsl").map(parse_bool) {
        Some(Some(true)) if !in_use => {
            planner.goes(
                "unsafeSsl",
                "KEDA ignores it without TLS; here it would be refused",
            );
        }
        Some(_) => planner.becomes("unsafeSsl", "tlsSkipVerify", None, OF_HOP),
        // KEDA would take it for its own connection.
        None if planner.reads("unsafeSsl") => planner.goes("unsafeSsl", "is empty"),
        None => {}
    }
}
