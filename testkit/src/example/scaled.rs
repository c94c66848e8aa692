//! A ScaledObject with its workers: the calls of KEDA, and what follows from them.

use std::time::Duration;

use backlog_scaler::{
    error::{Error, Kind},
    keda::{
        RAW_VALUE,
        proto::{GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient},
    },
    sampling::Reading,
    simulation::{Autoscaler, HpaController, MetricTarget, Scale},
};
use futures_util::future::join_all;
use tonic::{Request, Status, transport::Channel};

use super::{Options, Result, local::Local, manifests::Object, pool::Pool};

/// KEDA sets none; a call that hangs must not stop everything here.
const CALL: Duration = Duration::from_secs(20);

/// One ScaledObject.
pub struct Scaled {
    pub name: String,
    pub triggers: Vec<Trigger>,
    pub pool: Pool,
    autoscaler: Autoscaler,
    /// Its replicas without work.
    at_rest: u32,
    first: u32,
    most: u32,
    client: ExternalScalerClient<Channel>,
}

/// A trigger, with what it said last.
pub struct Trigger {
    request: ScaledObjectRef,
    metric: String,
    pub target: MetricTarget,
    pub latest: Option<Latest>,
}

/// What a trigger said.
#[derive(Clone, Debug)]
pub enum Latest {
    /// The value that was measured, and the one that KEDA gets.
    Value { raw: f64, value: f64, active: bool },
    /// Why there is none.
    Failed(String),
}

impl Scaled {
    /// Requests the targets from the scaler, and starts the replicas that there are without work.
    pub async fn start(
        object: Object,
        options: &Options,
        local: &Local,
        scaler: &str,
    ) -> Result<Self> {
        let name = object.name;
        let channel = Channel::from_shared(format!("http://{scaler}"));
        let channel = channel.map_err(|error| error.to_string())?;
        let channel = channel.connect().await.map_err(|error| error.to_string())?;
        let mut client = ExternalScalerClient::new(channel);
        let mut triggers = Vec::new();
        for trigger in object.triggers {
            let request = ScaledObjectRef {
                name: name.clone(),
                namespace: object.namespace.clone(),
                scaler_metadata: trigger.metadata,
            };
            let spec = client.get_metric_spec(request.clone()).await;
            let spec = spec.map_err(|status| format!("{name}: {}", status.message()))?;
            let spec = spec.into_inner().metric_specs.into_iter().next();
            let spec = spec.ok_or_else(|| format!("{name}: no metric"))?;
            triggers.push(Trigger {
                request,
                metric: spec.metric_name,
                target: match trigger.is_value {
                    true => MetricTarget::Value(spec.target_size_float),
                    false => MetricTarget::AverageValue(spec.target_size_float),
                },
                latest: None,
            });
        }
        let mut settings = object.settings;
        settings.max_replica_count = settings.max_replica_count.min(local.max_workers);
        settings.min_replica_count = settings.min_replica_count.min(local.max_workers);
        let at_rest = settings.idle_replica_count;
        let at_rest = at_rest.unwrap_or(settings.min_replica_count);
        let targets = triggers.iter().map(|trigger| trigger.target).collect();
        let autoscaler = Autoscaler::new(settings, HpaController::default(), targets)
            .map_err(|error| format!("{name}: {error}"))?;
        let mut pool = Pool::new(object.deployment, options, &local.env);
        pool.scale(at_rest)?;
        Ok(Scaled {
            name,
            triggers,
            pool,
            autoscaler,
            at_rest,
            first: at_rest,
            most: at_rest,
            client,
        })
    }

    /// What KEDA's loop, the HPA and the kubelet do until now, by KEDA's clock.
    pub async fn tick(&mut self, now: Duration) -> Result<()> {
        self.pool.tick().await?;
        if !self.autoscaler.is_due(now) {
            return Ok(());
        }
        self.evaluate().await;
        let scale = self.scale();
        let polled = self
            .autoscaler
            .poll(now, scale, || readings(&self.triggers));
        if let Some(replicas) = polled {
            self.pool.scale(replicas)?;
        }
        let scale = self.scale();
        let synced = self
            .autoscaler
            .sync(now, scale, || readings(&self.triggers));
        if let Some(replicas) = synced {
            self.pool.scale(replicas)?;
        }
        self.most = self.most.max(self.pool.running());
        Ok(())
    }

    /// The replicas that are not stopping, as the HPA sees them.
    fn scale(&self) -> Scale {
        Scale {
            replicas: self.pool.running(),
            ready_pods: self.pool.ready(),
        }
    }

    /// What the HPA would have without windows, policies and bounds.
    pub fn wanted(&self) -> Option<u32> {
        self.autoscaler.wanted()
    }

    /// Whether it has as many replicas as without work.
    pub fn is_at_rest(&self) -> bool {
        self.pool.running() <= self.at_rest && self.pool.stopping() == 0
    }

    /// Stops all workers, within their grace period.
    pub async fn stop(&mut self) {
        self.pool.stop().await;
    }

    /// Its name, and its replicas at the start, at most and at the end.
    pub fn summary(&self) -> (String, [u32; 3]) {
        (self.name.clone(), [self.first, self.most, self.pool.last])
    }

    async fn evaluate(&mut self) {
        let client = &self.client;
        let evaluations = self.triggers.iter().map(|trigger| {
            let client = client.clone();
            async move { trigger.evaluate(client).await }
        });
        let all = join_all(evaluations).await;
        for (trigger, latest) in self.triggers.iter_mut().zip(all) {
            trigger.latest =
                Some(latest.unwrap_or_else(|status| Latest::Failed(status.message().to_owned())));
        }
    }
}

impl Trigger {
    /// What it measures: the end of its metric's name, without the hash.
    pub fn name(&self) -> String {
        let name = self.metric.rsplit_once('-');
        let name = name.map_or(&*self.metric, |(name, _)| name);
        // A metric's name is ASCII.
        name[name.len().saturating_sub(34)..].to_owned()
    }

    /// GetMetrics and IsActive, as KEDA calls them.
    async fn evaluate(
        &self,
        mut client: ExternalScalerClient<Channel>,
    ) -> std::result::Result<Latest, Status> {
        let mut get = Request::new(GetMetricsRequest {
            scaled_object_ref: Some(self.request.clone()),
            metric_name: self.metric.clone(),
        });
        get.set_timeout(CALL);
        let response = client.get_metrics(get).await?;
        let raw = response.metadata().get(RAW_VALUE);
        let raw: Option<f64> = raw.and_then(|raw| raw.to_str().ok()?.parse().ok());
        let values = &response.get_ref().metric_values;
        let value = values.first().map_or(0.0, |value| value.metric_value_float);
        let mut is_active = Request::new(self.request.clone());
        is_active.set_timeout(CALL);
        let active = client.is_active(is_active).await?.into_inner().result;
        Ok(Latest::Value {
            raw: raw.unwrap_or(value),
            value,
            active,
        })
    }
}

fn readings(triggers: &[Trigger]) -> Vec<backlog_scaler::error::Result<Reading>> {
    let reading = |trigger: &Trigger| match &trigger.latest {
        Some(Latest::Value { value, active, .. }) => Ok(Reading {
            value: *value,
            active: *active,
        }),
        Some(Latest::Failed(why)) => Err(Error::new(Kind::Unreachable, why.clone(), "")),
        None => Err(Error::new(Kind::Unreachable, "not called yet", "")),
    };
    triggers.iter().map(reading).collect()
}
