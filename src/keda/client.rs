//! A client of an external scaler that calls it as KEDA does: GetMetricSpec, then GetMetrics and
//! IsActive of its metric.
//!
//! The scaler is a server elsewhere, or the service within this process; both are called through
//! the same generated client.

use std::{error::Error as _, fmt, str::FromStr, sync::Arc, time::Duration};

use tonic::{
    Code, Response, Status,
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError},
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{
    proto::{
        GetMetricsRequest, GetMetricsResponse, MetricSpec, ScaledObjectRef,
        external_scaler_client::ExternalScalerClient, external_scaler_server::ExternalScalerServer,
    },
    service::{MOST_CONSUMERS, RAW_VALUE, SAMPLE_AGE, SHAPED_BY, STALE, Service},
};
use crate::{
    error::{Error, Kind, Result},
    metadata::{TriggerRef, values::HostPort},
};

/// Longer than a server takes for the first sample of a query.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An external scaler to call. Cheap to clone.
#[derive(Clone)]
pub enum Scaler {
    InProcess(Arc<Service>),
    Remote(Channel),
}

/// The outcome of the calls for one trigger.
pub struct TriggerResult {
    /// Known even where the value is not: the spec depends on the metadata alone.
    pub metric: Option<Metric>,
    pub value: Result<MetricReading, CallError>,
}

/// A metric as KEDA gets it from GetMetricSpec.
pub struct Metric {
    pub name: String,
    pub target: f64,
}

/// What a trigger measures now.
pub struct MetricReading {
    pub value: f64,
    pub active: bool,
    /// How old the sample is, if the scaler reports it.
    pub age: Option<Duration>,
    /// The kind of the error that keeps the scaler from a newer sample.
    pub stale: Option<String>,
    /// The value of the sample, where the trigger's keys may have changed it.
    pub raw_value: Option<f64>,
    /// The keys that have; `None`: the trigger has no such keys.
    pub shaped_by: Option<Vec<String>>,
    /// How many consumers can have work at most, if the scaler says it.
    pub most_consumers: Option<u64>,
}

/// Why a call failed, as KEDA would log it.
pub struct CallError {
    pub code: Code,
    pub message: String,
}

impl Scaler {
    /// The service within this process.
    pub fn in_process(service: Service) -> Self {
        Scaler::InProcess(Arc::new(service))
    }

    /// The server at this address, connected.
    pub async fn connect(address: &Address) -> Result<Self> {
        let endpoint = address
            .endpoint(None)
            .map_err(|error| unreachable(address, &error))?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT);
        let channel = endpoint.connect().await;
        channel
            .map(Scaler::Remote)
            .map_err(|error| unreachable(address, &error))
    }

    /// Makes the calls for one trigger.
    pub async fn call(&self, trigger: TriggerRef) -> TriggerResult {
        let trigger = ScaledObjectRef::from(trigger);
        match self {
            Scaler::InProcess(service) => {
                let server = ExternalScalerServer::from_arc(service.clone());
                call(ExternalScalerClient::new(server), trigger).await
            }
            Scaler::Remote(channel) => {
                call(ExternalScalerClient::new(channel.clone()), trigger).await
            }
        }
    }
}

async fn call<T>(mut client: ExternalScalerClient<T>, trigger: ScaledObjectRef) -> TriggerResult
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let metric = match client.get_metric_spec(trigger.clone()).await {
        // Ours has one metric; of other scalers', the first is shown.
        Ok(specs) => match specs.into_inner().metric_specs.into_iter().next() {
            Some(spec) => metric(spec),
            None => {
                return TriggerResult::failed(None, Status::not_found("the scaler has no metric"));
            }
        },
        Err(status) => return TriggerResult::failed(None, status),
    };
    let request = GetMetricsRequest {
        scaled_object_ref: Some(trigger.clone()),
        metric_name: metric.name.clone(),
    };
    let values = match client.get_metrics(request).await {
        Ok(values) => values,
        Err(status) => return TriggerResult::failed(Some(metric), status),
    };
    let active = match client.is_active(trigger).await {
        Ok(active) => active.into_inner().result,
        Err(status) => return TriggerResult::failed(Some(metric), status),
    };
    let header = |name: &str| Some(values.metadata().get(name)?.to_str().ok()?.to_owned());
    let age = header(SAMPLE_AGE).and_then(|age| age.parse().ok());
    let stale = header(STALE);
    let raw_value = header(RAW_VALUE).and_then(|value| value.parse().ok());
    let shaped_by = header(SHAPED_BY).map(|keys| {
        let keys = keys.split(',').filter(|key| !key.is_empty());
        keys.map(str::to_owned).collect()
    });
    let most_consumers = header(MOST_CONSUMERS).and_then(|most| most.parse().ok());
    let reading = value(values).map(|value| MetricReading {
        value,
        active,
        age: age.map(Duration::from_millis),
        stale,
        raw_value,
        shaped_by,
        most_consumers,
    });
    match reading {
        Some(reading) => TriggerResult {
            metric: Some(metric),
            value: Ok(reading),
        },
        None => TriggerResult::failed(Some(metric), Status::not_found("the scaler has no value")),
    }
}

impl TriggerResult {
    /// Of a trigger that is not even called.
    pub fn refused(error: Error) -> Self {
        let status = Status::from(error);
        let (code, message) = (status.code(), status.message().to_owned());
        TriggerResult {
            metric: None,
            value: Err(CallError { code, message }),
        }
    }

    fn failed(metric: Option<Metric>, status: Status) -> Self {
        let mut message = status.message().to_owned();
        let no_grpc = message.starts_with("grpc-status header missing");
        if no_grpc || status.source().is_some() {
            if let Some(reason) = root(&status) {
                message = reason;
            }
            message = format!("the scaler sent no gRPC response: {message}. {NO_SCALER}");
        }
        let code = status.code();
        TriggerResult {
            metric,
            value: Err(CallError { code, message }),
        }
    }
}

const NO_SCALER: &str = "Check that --address is its gRPC port, and that it serves there without TLS; in a cluster, forward the port first.";

/// The number with a fraction counts where it is above 0, as in KEDA.
#[allow(deprecated)]
fn metric(spec: MetricSpec) -> Metric {
    Metric {
        name: spec.metric_name,
        target: either(spec.target_size_float, spec.target_size),
    }
}

#[allow(deprecated)]
fn value(values: Response<GetMetricsResponse>) -> Option<f64> {
    let value = values.into_inner().metric_values.into_iter().next()?;
    Some(either(value.metric_value_float, value.metric_value))
}

fn either(float: f64, int: i64) -> f64 {
    if float > 0.0 { float } else { int as f64 }
}

fn unreachable(address: &Address, error: &dyn std::error::Error) -> Error {
    let reason = root(error).unwrap_or_else(|| error.to_string());
    let what = format!("--address: no scaler can be reached at {address}: {reason}");
    Error::new(Kind::Unreachable, what, NO_SCALER)
}

/// The innermost of the errors behind this one: tonic's own say no more than "transport error".
pub fn root(error: &dyn std::error::Error) -> Option<String> {
    let mut root = error.source()?;
    while let Some(deeper) = root.source() {
        root = deeper;
    }
    Some(root.to_string())
}

/// Where a server listens: `host:port` or `unix:/path`.
#[derive(Clone, Debug)]
pub enum Address {
    Tcp(HostPort),
    Unix(String),
}

impl Address {
    /// A client's endpoint there: in plain text, or with TLS.
    pub fn endpoint(
        &self,
        tls: Option<ClientTlsConfig>,
    ) -> Result<Endpoint, tonic::transport::Error> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(match self {
            Address::Tcp(address) => format!("{scheme}://{address}"),
            Address::Unix(path) => format!("unix:{path}"),
        })?;
        match tls {
            Some(tls) => endpoint.tls_config(tls),
            None => Ok(endpoint),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Address::Unix(path.to_owned())),
            Some(_) => Err("must be unix: and an absolute path".to_owned()),
            None => text.parse().map(Address::Tcp).map_err(|_| {
                "must be host:port, such as 127.0.0.1:9090, or unix:/path; plain text, so without a scheme".to_owned()
            }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_scheme() {
        for good in [
            "127.0.0.1:9090",
            "[::1]:9090",
            "scaler.keda:9090",
            "unix:/run/s.sock",
        ] {
            let address: Address = good.parse().unwrap_or_else(|e| panic!("{good}: {e}"));
            assert_eq!(address.to_string(), good);
        }
        for bad in ["http://localhost:9090", "localhost", "unix:s.sock", ""] {
            let error = bad.parse::<Address>().expect_err(bad);
            assert!(error.starts_with("must be "), "{error}");
        }
    }

    #[test]
    fn the_float_counts_where_it_is_above_zero() {
        assert_eq!(either(0.4, 1), 0.4);
        assert_eq!(either(0.0, 7), 7.0);
        assert_eq!(either(0.0, 0), 0.0);
    }
}
