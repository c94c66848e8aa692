//! The five calls. Each checks its input, calls the engine and converts.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
};

use super::{
    convert,
    proto::{
        GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse,
        ScaledObjectRef, external_scaler_server::ExternalScaler,
    },
    push_stream::PushStream,
};
use crate::{
    error::{Error, Kind},
    sampling::{Engine, Evaluation, Shaped, Trigger},
    telemetry::{Method, Telemetry},
};

/// Response header of GetMetrics and IsActive: how old the sample is, in milliseconds.
pub const SAMPLE_AGE: &str = "backlog-scaler-sample-age-ms";
/// Response header that is there when the sample is stale: the kind of the error behind it.
pub const STALE: &str = "backlog-scaler-stale";
/// Response header of a trigger that shapes its value: that of the sample, if there is one.
pub const RAW_VALUE: &str = "backlog-scaler-raw-value";
/// Response header of a trigger that shapes its value: the keys that changed it, comma-separated.
pub const SHAPED_BY: &str = "backlog-scaler-shaped-by";
/// Response header of a trigger whose consumers cannot all have work above a number: that number.
pub const MOST_CONSUMERS: &str = "backlog-scaler-most-consumers";

/// How long streams live.
#[derive(Clone)]
pub struct Streams {
    /// Ends them all, cleanly: KEDA then comes back without its backoff.
    pub shutdown: CancellationToken,
    /// Ends each by itself, so that none is cut when its connection has reached its age.
    pub max_age: Duration,
}

/// KEDA's ExternalScaler.
#[derive(Clone)]
pub struct Service {
    engine: Arc<Engine>,
    telemetry: Telemetry,
    streams: Streams,
}

type Result<T, E = Status> = std::result::Result<T, E>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

impl Service {
    /// A service over this engine.
    pub fn new(engine: Arc<Engine>, telemetry: Telemetry, streams: Streams) -> Self {
        Service {
            engine,
            telemetry,
            streams,
        }
    }

    /// Runs a call under measurement.
    async fn measured<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<Response<T>>>,
    ) -> Result<Response<T>> {
        let measure = self.telemetry.call(method);
        let outcome = call.await;
        measure.end(outcome.as_ref().err().map_or(Code::Ok, Status::code));
        outcome
    }

    /// The items until the server shuts down or the stream has reached its age.
    fn bounded<T: 'static>(
        &self,
        items: impl Stream<Item = Result<T>> + Send + 'static,
    ) -> BoxStream<T> {
        let Streams { shutdown, max_age } = self.streams.clone();
        let end = async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(max_age) => {}
            }
        };
        Box::pin(items.take_until(Box::pin(end)))
    }
}

#[tonic::async_trait]
impl ExternalScaler for Service {
    type StreamIsActiveStream = BoxStream<IsActiveResponse>;
    type StreamMetricSpecStream = BoxStream<GetMetricSpecResponse>;

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>> {
        self.measured(Method::GetMetricSpec, async {
            let spec = self.engine.spec(&request.into_inner().into())?;
            Ok(Response::new(convert::spec(spec)))
        })
        .await
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>> {
        self.measured(Method::GetMetrics, async {
            let GetMetricsRequest {
                scaled_object_ref,
                metric_name,
            } = request.into_inner();
            let request = convert::required(scaled_object_ref)?;
            let trigger = self.engine.authenticated(&request).await?;
            let metric_name = requested_name(metric_name, &trigger)?;
            let evaluation = self.engine.evaluate(&request, &trigger).await?;
            let value = convert::value(metric_name, evaluation.reading.value);
            Ok(with_headers(value, &evaluation))
        })
        .await
    }

    async fn is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>> {
        self.measured(Method::IsActive, async {
            let request = request.into_inner().into();
            let trigger = self.engine.authenticated(&request).await?;
            let evaluation = match self.engine.evaluate(&request, &trigger).await {
                // Whether work waits may be known where for how long is not.
                Err(error) if error.kind() == Kind::Undetermined => {
                    trigger.current().unwrap_or(Err(error))?
                }
                outcome => outcome?,
            };
            let active = IsActiveResponse {
                result: evaluation.reading.active,
            };
            Ok(with_headers(active, &evaluation))
        })
        .await
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>> {
        self.measured(Method::StreamIsActive, async {
            let request = request.into_inner().into();
            let push = PushStream::open(self.engine.clone(), request).await?;
            let states = stream::try_unfold(push, |mut push| async {
                let result = push.next_state().await?;
                Ok(Some((IsActiveResponse { result }, push)))
            });
            Ok(Response::new(self.bounded(states)))
        })
        .await
    }

    async fn stream_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamMetricSpecStream>> {
        self.measured(Method::StreamMetricSpec, async {
            let spec = self.engine.spec(&request.into_inner().into())?;
            // Specs depend on the metadata alone, so the first is the last.
            let spec = stream::once(std::future::ready(Ok(convert::spec(spec))));
            Ok(Response::new(self.bounded(spec.chain(stream::pending()))))
        })
        .await
    }
}

/// The metric's name in the response. A caller by hand may leave it out.
fn requested_name(requested: String, trigger: &Trigger) -> Result<String> {
    if requested == trigger.metric_name || requested.is_empty() {
        return Ok(trigger.metric_name.clone());
    }
    Err(Error::new(
        Kind::NotFound,
        format!("metricName: this trigger has no metric {requested:?}"),
        format!("Its metric is {:?}.", trigger.metric_name),
    )
    .into())
}

fn with_headers<T>(message: T, evaluation: &Evaluation) -> Response<T> {
    let mut response = Response::new(message);
    let age = u64::try_from(evaluation.age.as_millis()).unwrap_or(u64::MAX);
    let headers = response.metadata_mut();
    headers.insert(SAMPLE_AGE, MetadataValue::from(age));
    if let Some(error) = &evaluation.stale {
        headers.insert(STALE, MetadataValue::from_static(error.kind().label()));
    }
    if let Some(most) = evaluation.most_consumers {
        headers.insert(MOST_CONSUMERS, MetadataValue::from(most as u64));
    }
    if let Some(Shaped { raw_value, by }) = &evaluation.shaped {
        if let Some(value) = raw_value {
            headers.insert(RAW_VALUE, ascii(&value.to_string()));
        }
        headers.insert(SHAPED_BY, ascii(&by.join(",")));
    }
    response
}

/// A number or the names of keys as a header.
fn ascii(text: &str) -> MetadataValue<Ascii> {
    text.parse().expect("numbers and keys are ASCII")
}
