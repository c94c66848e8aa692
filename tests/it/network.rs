//! Where inline connections may lead.

use tonic::Code;

use backlog_scaler::keda::proto::ScaledObjectRef;
use testkit::{
    kafka, process,
    redis::{Redis, available},
    require,
    scaler::{Scaler, trigger},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn jobs(address: &str) -> ScaledObjectRef {
    trigger([
        ("backend", "redis"),
        ("address", address),
        ("listName", "jobs"),
    ])
}

async fn listing(servers: &[&str]) -> Scaler {
    let list = servers.join("', '");
    Scaler::with(&format!("engine: {{inlineConnections: ['{list}']}}")).await
}

#[tokio::test]
async fn inline_connections_lead_to_listed_servers_alone() {
    if !require(available(), "redis-server") {
        return;
    }
    let (listed, other) = (Redis::start().await, Redis::start().await);
    listed.rpush("jobs", 4).await;
    let scaler = listing(&[&format!("127.0.0.0/8:{}", listed.port()), "*.shop.svc"]).await;

    assert_eq!(
        scaler
            .evaluate(&jobs(&listed.address()))
            .await
            .unwrap()
            .value,
        4.0
    );
    // A name is checked by what it resolves to.
    let by_name = jobs(&format!("localhost:{}", listed.port()));
    assert_eq!(scaler.evaluate(&by_name).await.unwrap().value, 4.0);

    let error = scaler.evaluate(&jobs(&other.address())).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error:?}");
    assert!(
        error.message().contains(&format!(
            "this server does not connect to {} for connections in a trigger's own metadata",
            other.address()
        )) && error.message().contains("engine.inlineConnections"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn a_named_connection_goes_where_the_settings_say_and_is_not_shared_with_inline_ones() {
    if !require(available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    redis.rpush("jobs", 4).await;
    let yaml = format!(
        "engine: {{inlineConnections: [10.0.0.0/8]}}\n\
         connections: {{orders: {{backend: redis, address: '{}'}}}}\n",
        redis.address()
    );
    let scaler = Scaler::with(&yaml).await;
    let named = trigger([
        ("backend", "redis"),
        ("connection", "orders"),
        ("listName", "jobs"),
    ]);
    assert_eq!(scaler.evaluate(&named).await.unwrap().value, 4.0);
    let error = scaler.evaluate(&jobs(&redis.address())).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
}

/// A sentinel that names whatever master.
async fn lying_sentinel(master: (&str, u16)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (host, port) = (master.0.to_owned(), master.1.to_string());
    let reply = format!(
        "*2\r\n${}\r\n{host}\r\n${}\r\n{port}\r\n",
        host.len(),
        port.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let reply = reply.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut request).await {
                    let text = String::from_utf8_lossy(&request[..length]).to_uppercase();
                    let reply: &str = match text.contains("SENTINEL") {
                        true => &reply,
                        false => "+PONG\r\n",
                    };
                    if stream.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_sentinel_cannot_lead_us_elsewhere() {
    // What it names must not even see a connection.
    let inside = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = inside.local_addr().unwrap().port();
    let sentinel = lying_sentinel(("127.0.0.2", port)).await;
    let scaler = listing(&["127.0.0.1"]).await;
    let error = scaler
        .evaluate(&trigger([
            ("backend", "redis-sentinel"),
            ("addresses", &sentinel),
            ("sentinelMaster", "orders"),
            ("listName", "jobs"),
        ]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error:?}");
    assert!(error.message().contains("127.0.0.2"), "{}", error.message());
    let accepted = tokio::time::timeout(std::time::Duration::ZERO, inside.accept()).await;
    assert!(accepted.is_err(), "it was connected to");
}

#[tokio::test]
async fn metadata_services_of_clouds_are_refused_unless_listed() {
    let scaler = Scaler::start().await;
    for address in ["169.254.169.254:80", "[fe80::1]:80"] {
        let error = scaler.evaluate(&jobs(address)).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied, "{error:?}");
    }
    let error = scaler
        .evaluate(&trigger([
            ("backend", "temporal"),
            ("endpoint", "169.254.169.254:80"),
            ("taskQueue", "orders"),
        ]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error:?}");
}

#[tokio::test]
async fn a_token_endpoint_is_a_server_like_another() {
    if !require(kafka::available(), "kafka") {
        return;
    }
    let kafka = kafka::one().await;
    let port = process::free_port();
    let scaler = listing(&[&format!("127.0.0.1:{}", kafka.port())]).await;
    let error = scaler
        .evaluate(&trigger([
            ("backend", "apache-kafka"),
            ("bootstrapServers", &kafka.sasl()),
            ("consumerGroup", "g"),
            ("topic", "t"),
            ("sasl", "oauthbearer"),
            ("username", "client"),
            ("password", "s3cret"),
            (
                "oauthTokenEndpointUri",
                &format!("http://127.0.0.1:{port}/token"),
            ),
        ]))
        .await
        .unwrap_err();
    let message = error.message();
    assert!(
        message.contains("this server does not connect to"),
        "{message}"
    );
}

#[tokio::test]
async fn a_broker_cannot_lead_us_to_another_address() {
    if !require(kafka::available(), "kafka") {
        return;
    }
    let (kafka, _guard) = kafka::three().await;
    kafka.create_topic("spread", 3).await;
    for partition in 0..3 {
        kafka.produce("spread", partition, 2);
    }
    let trigger = trigger([
        ("backend", "kafka"),
        ("bootstrapServers", &format!("127.0.0.1:{}", kafka.port())),
        ("consumerGroup", "g"),
        ("topic", "spread"),
        ("offsetResetPolicy", "earliest"),
    ]);
    let all = Scaler::start().await;
    assert_eq!(all.evaluate(&trigger).await.unwrap().value, 6.0);
    // The other two brokers are advertised, and not listed.
    let one = listing(&[&format!("127.0.0.1:{}", kafka.port())]).await;
    let error = one.evaluate(&trigger).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error:?}");
    assert!(
        error.message().contains("engine.inlineConnections"),
        "{}",
        error.message()
    );
}
