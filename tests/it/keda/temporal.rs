//! The Temporal table.

use super::{Case, Sees, case, judge, judge_all, same};
use crate::temporal::{eventually, queue, shared};
use testkit::{require, scaler::Scaler, temporal};

fn cases(endpoint: &str) -> Vec<Case> {
    let on = |keys: &[(&'static str, &str)]| {
        let mut metadata = vec![
            ("endpoint", endpoint.to_owned()),
            ("taskQueue", "judged".to_owned()),
        ];
        metadata.extend(keys.iter().map(|(key, value)| (*key, (*value).to_owned())));
        metadata
    };
    let waits = Sees::Same {
        value: 25.0,
        active: false,
    };
    vec![
        case("workflows that wait", "temporal", on(&[]), same(25.0)),
        case(
            "a target and types",
            "temporal",
            on(&[
                ("targetQueueSize", "7"),
                ("queueTypes", "workflow,activity"),
            ]),
            same(25.0),
        ),
        case(
            "another type",
            "temporal",
            on(&[("queueTypes", "activity")]),
            same(0.0),
        ),
        case(
            "an activation that is reached",
            "temporal",
            on(&[("activationTargetQueueSize", "25")]),
            waits,
        ),
        case(
            "an unknown namespace",
            "temporal",
            on(&[("namespace", "no-such-namespace")]),
            Sees::Error("no-such-namespace"),
        ),
    ]
}

#[tokio::test]
async fn kedas_client_sees_of_our_temporal_what_it_sees_of_its_own() {
    let judge = judge();
    let tools = temporal::available() && judge.is_some();
    if !require(tools, "the Temporal server or KEDA's client (tests/keda)") {
        return;
    }
    let (temporal, scaler) = (shared().await, Scaler::start().await);
    temporal.start_workflows("judged", 25).await;
    eventually(&scaler, &queue(temporal, "judged", []), |found| {
        found.value == 25.0
    })
    .await;
    judge_all(
        judge.expect("is there"),
        &scaler,
        &cases(&temporal.address()),
    )
    .await;
}
