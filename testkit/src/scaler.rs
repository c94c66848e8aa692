//! Our own server, in this process, on a free port; and KEDA's calls to it.

use std::{collections::BTreeMap, time::Duration};

use backlog_scaler::{
    keda::{
        SAMPLE_AGE, STALE,
        proto::{GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient},
    },
    server::{self, Listeners},
    settings::{self, Settings},
};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use tonic::{Status, transport::Channel};

/// A running server.
pub struct Scaler {
    pub address: String,
    pub admin: String,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<backlog_scaler::error::Result<()>>,
}

/// Settings from YAML, on free ports.
pub fn settings(yaml: &str) -> Settings {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), yaml).expect("the settings are written");
    let env = [
        ("BACKLOG_SCALER__LISTEN__GRPC", "127.0.0.1:0"),
        ("BACKLOG_SCALER__LISTEN__ADMIN", "127.0.0.1:0"),
    ];
    let env = env.map(|(key, value)| (key.to_owned(), value.to_owned()));
    settings::load(Some(file.path()), env).expect("the settings are valid")
}

impl Scaler {
    /// With no settings at all.
    pub async fn start() -> Self {
        Scaler::with("").await
    }

    /// With settings in YAML.
    pub async fn with(yaml: &str) -> Self {
        Scaler::run(settings(yaml)).await
    }

    pub async fn run(settings: Settings) -> Self {
        let listeners = Listeners::bind(&settings.listen).await.expect("free ports");
        let address = listeners.grpc.to_string();
        let admin = listeners.admin.as_ref().expect("an admin listener");
        let admin = admin.local_addr().expect("an address").to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
                "the test".to_owned()
            };
            server::run(listeners, &settings, shutdown).await
        });
        Scaler {
            address,
            admin,
            stop: Some(stop),
            served,
        }
    }

    /// A client on a connection of its own.
    pub async fn client(&self) -> ExternalScalerClient<Channel> {
        let address = format!("http://{}", self.address);
        let channel = Channel::from_shared(address)
            .expect("a URI")
            .connect()
            .await;
        ExternalScalerClient::new(channel.expect("the server responds"))
    }

    /// One evaluation of a trigger, as KEDA does it.
    pub async fn evaluate(&self, trigger: &ScaledObjectRef) -> Result<Evaluation, Status> {
        evaluate(&mut self.client().await, trigger).await
    }

    /// The text of an admin page, with its status.
    pub async fn page(&self, path: &str) -> (u16, String) {
        page(&self.admin, path).await
    }

    /// Stops the server, without waiting.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has stopped.
    pub async fn stopped(self) -> backlog_scaler::error::Result<()> {
        let ended = timeout(Duration::from_secs(20), self.served).await;
        ended.expect("the server stops in time").expect("no panic")
    }
}

/// What KEDA learns of a trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub metric: String,
    pub target: f64,
    pub value: f64,
    pub active: bool,
    pub age_ms: u64,
    pub stale: Option<String>,
}

/// GetMetricSpec, then GetMetrics and IsActive.
pub async fn evaluate(
    client: &mut ExternalScalerClient<Channel>,
    trigger: &ScaledObjectRef,
) -> Result<Evaluation, Status> {
    let specs = client.get_metric_spec(trigger.clone()).await?.into_inner();
    let [spec] = specs.metric_specs.as_slice() else {
        panic!("one metric a trigger, not {specs:?}");
    };
    let request = GetMetricsRequest {
        scaled_object_ref: Some(trigger.clone()),
        metric_name: spec.metric_name.clone(),
    };
    let values = client.get_metrics(request).await?;
    let header = |name| {
        let value = values.metadata().get(name)?;
        Some(value.to_str().expect("plain text").to_owned())
    };
    let age_ms = header(SAMPLE_AGE)
        .expect("an age")
        .parse()
        .expect("a number");
    let stale = header(STALE);
    let value = values.get_ref().metric_values[0].clone();
    assert_eq!(value.metric_name, spec.metric_name);
    let active = client.is_active(trigger.clone()).await?.into_inner().result;
    Ok(Evaluation {
        metric: spec.metric_name.clone(),
        target: spec.target_size_float,
        value: value.metric_value_float,
        active,
        age_ms,
        stale,
    })
}

/// A trigger of the ScaledObject `shop/worker`.
pub fn trigger<const N: usize>(metadata: [(&str, &str); N]) -> ScaledObjectRef {
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    ScaledObjectRef {
        name: "worker".to_owned(),
        namespace: "shop".to_owned(),
        scaler_metadata: BTreeMap::from(metadata),
    }
}

/// The same trigger with one more key, or another value of it.
pub fn with(mut trigger: ScaledObjectRef, key: &str, value: &str) -> ScaledObjectRef {
    trigger
        .scaler_metadata
        .insert(key.to_owned(), value.to_owned());
    trigger
}

/// GETs a page over plain HTTP/1.1.
pub async fn page(address: &str, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("the admin pages respond");
    // Version 1.0 has no chunks, whose sizes would stand in the middle of lines.
    let request = format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the request is sent");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("the response is text");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}
