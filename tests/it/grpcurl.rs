//! Bare grpcurl, without our proto: what the README shows.

use std::{path::PathBuf, process::Command};

use serde_json::{Value, json};

use testkit::{
    program,
    redis::{Redis, available},
    require,
    scaler::Scaler,
};

/// Runs grpcurl off the async threads.
async fn grpcurl(tool: &PathBuf, args: &[&str]) -> String {
    let mut command = Command::new(tool);
    command.arg("-plaintext").args(args);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("grpcurl starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn grpcurl_lists_describes_and_calls_the_service() {
    let tool = program("GRPCURL", "grpcurl");
    if !require(available() && tool.is_some(), "redis-server or grpcurl") {
        return;
    }
    let tool = tool.expect("is there");
    let (redis, scaler) = (Redis::start().await, Scaler::start().await);
    redis.rpush("jobs", 12).await;
    let address = scaler.address.as_str();
    let service = "externalscaler.ExternalScaler";

    let services = grpcurl(&tool, &[address, "list"]).await;
    let expected = [
        service,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ];
    for name in expected {
        assert!(
            services.lines().any(|line| line == name),
            "{name}\n{services}"
        );
    }
    let described = grpcurl(&tool, &[address, "describe", service]).await;
    assert!(
        described.contains("rpc StreamIsActive ( .externalscaler.ScaledObjectRef )"),
        "{described}"
    );

    let trigger = json!({
        "name": "worker", "namespace": "shop",
        "scalerMetadata": { "backend": "redis", "address": redis.address(), "listName": "jobs" },
    });
    let call = async |method: &str, message: &Value| -> Value {
        let (method, message) = (format!("{service}/{method}"), message.to_string());
        let response = grpcurl(&tool, &["-d", &message, address, &method]).await;
        serde_json::from_str(&response).expect("JSON")
    };
    let spec = call("GetMetricSpec", &trigger).await;
    let spec = &spec["metricSpecs"][0];
    assert_eq!(
        (&spec["targetSize"], &spec["targetSizeFloat"]),
        (&json!("5"), &json!(5))
    );
    let request = json!({ "scaledObjectRef": trigger, "metricName": spec["metricName"] });
    let value = &call("GetMetrics", &request).await["metricValues"][0];
    assert_eq!(
        (&value["metricValue"], &value["metricValueFloat"]),
        (&json!("12"), &json!(12))
    );
    assert_eq!(call("IsActive", &trigger).await, json!({ "result": true }));
    let health = grpcurl(&tool, &[address, "grpc.health.v1.Health/Check"]).await;
    assert!(health.contains("SERVING"), "{health}");
}
