//! The rules for one trigger of type `external` or `external-push`.

use std::net::IpAddr;

use super::{checker::Checker, checker::Server, codes, finding::Finding, metadata::Metadata};
use crate::{
    manifests::{File, MetricType, Object, Scaled, Trigger},
    metadata::{schema::Key, values::without_login},
    sampling::{Credentials, TypeKeys},
};

/// What is known of a trigger after its check.
pub struct Checked {
    /// `None`: the server would refuse it, or it is not for us.
    pub metric_name: Option<String>,
}

/// Adds what is found in one trigger.
pub fn check(
    checker: &Checker,
    file: &File,
    object: &Object<'_>,
    index: usize,
    of: &str,
    findings: &mut Vec<Finding>,
) -> Checked {
    let trigger = &object.triggers[index];
    let metadata = Metadata::read(file, trigger.node, of, &trigger.metadata, findings);
    let mut rules = Rules {
        trigger,
        metadata: &metadata,
        findings,
    };
    rules.scaler_address();
    match object.scaled {
        Scaled::Object => rules.metric_type(),
        Scaled::Job => rules.job(),
    }
    rules.tls(checker.server);
    rules.authentication(checker.server);
    if !rules.is_for_us() {
        return Checked { metric_name: None };
    }
    let types: Vec<TypeKeys> = checker.engine.registry().keys().collect();
    rules.activation(&types);
    let credentials = match trigger.has_authentication {
        true => Credentials::Elsewhere,
        false => Credentials::Own,
    };
    let names = (object.namespace.as_str(), object.name.as_str());
    let spec = metadata.parse(checker, names, credentials, findings);
    Checked {
        metric_name: spec.map(|spec| spec.metric_name),
    }
}

struct Rules<'a, 'b> {
    trigger: &'a Trigger<'a>,
    metadata: &'a Metadata<'a>,
    findings: &'b mut Vec<Finding>,
}

impl Rules<'_, '_> {
    fn found(&mut self, code: &'static codes::Code, key: &str, message: impl Into<String>) {
        self.findings
            .push(self.metadata.finding(code, key, message));
    }

    /// About a field beside the metadata.
    fn found_in_trigger(
        &mut self,
        code: &'static codes::Code,
        field: &str,
        message: impl Into<String>,
    ) {
        let node = self.trigger.node;
        let at = node.entry(field).map_or(node, |(key, _)| key).span();
        let (file, of) = (self.metadata.file, self.metadata.of);
        self.findings
            .push(Finding::new(code, file, at, field, message).of(of));
    }

    fn scaler_address(&mut self) {
        let address = self.metadata.get("scalerAddress").map(str::to_owned);
        let Some(address) = address else {
            if !self.metadata.has("scalerAddress") {
                let message = "is missing, and without it KEDA refuses the trigger";
                self.found(&codes::NO_SCALER_ADDRESS, "scalerAddress", message);
            }
            return;
        };
        // A slip of somebody who has the backend's URL in mind.
        let shown = without_login(&address);
        if let Some((scheme, _)) = address.split_once("://") {
            // Schemes of gRPC's own names are none of the web.
            if matches!(scheme, "http" | "https" | "grpc" | "grpcs" | "tcp") {
                let message = format!("`{shown}` has a scheme; KEDA wants host:port");
                self.found(&codes::SCALER_ADDRESS_SCHEME, "scalerAddress", message);
                let rest = shown.rsplit("://").next().unwrap_or_default();
                let rest = rest.trim_end_matches('/');
                if let Some(finding) = self.findings.pop() {
                    self.findings
                        .push(finding.mended_by(format!("write `{rest}`")));
                }
            }
            return;
        }
        let host = match address.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            _ => {
                let message = format!("`{shown}` has no port: KEDA's client takes 443 then");
                self.found(&codes::SCALER_ADDRESS_PORT, "scalerAddress", message);
                &address
            }
        };
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        if ip.is_ok_and(|ip| !ip.is_loopback()) {
            let message = format!(
                "`{shown}` is an IP address, which is another one when the Service is created anew"
            );
            self.found(&codes::CLUSTER_IP, "scalerAddress", message);
        }
    }

    /// A signal that is a time, if it has one.
    fn time_signal(&self) -> Option<String> {
        let signal = self.metadata.get("signal").map(str::to_owned);
        signal.filter(|signal| matches!(signal.as_str(), "age" | "drainTime"))
    }

    /// Of a ScaledJob: there is no HPA.
    fn job(&mut self) {
        if self.trigger.trigger_type == "external-push" {
            let message =
                "`external-push` does not start jobs: KEDA polls a ScaledJob at pollingInterval";
            self.found_in_trigger(&codes::PUSH_IN_JOB, "type", message);
        }
        if self.trigger.metric_type.is_some() {
            let message = "is refused by KEDA in a ScaledJob, with all its triggers";
            self.found_in_trigger(&codes::METRIC_TYPE_IN_JOB, "metricType", message);
        }
        if let Some(signal) = self.time_signal() {
            let message = format!(
                "`{signal}` reports seconds, and KEDA starts value / target jobs, whatever runs now"
            );
            self.found(&codes::TIME_SIGNAL_IN_JOB, "signal", message);
        }
    }

    fn metric_type(&mut self) {
        let given = |key: &str| self.metadata.get(key).map(str::to_owned);
        let signal = self.time_signal();
        let reckons = ["scaleDownBelow", "minimumWhileInFlight"];
        let replicas = reckons.into_iter().find(|key| given(key).is_some());
        match self.trigger.metric_type.unwrap_or_default() {
            MetricType::Utilization => {
                let message = "`Utilization` is refused by KEDA for external metrics";
                self.found_in_trigger(&codes::UTILIZATION, "metricType", message);
            }
            MetricType::AverageValue => {
                if let Some(signal) = signal {
                    let message = format!(
                        "`{signal}` reports seconds, and without `metricType: Value` the HPA takes \
                         ceil(value / target) replicas, whatever runs now"
                    );
                    self.found(&codes::TIME_SIGNAL_METRIC_TYPE, "signal", message);
                }
            }
            MetricType::Value => {
                if let Some(key) = replicas {
                    let message = "reckons with replicas of the target each, and `metricType: Value` \
                                   multiplies what runs now";
                    self.found(&codes::REPLICAS_METRIC_TYPE, key, message);
                }
            }
        }
    }

    fn tls(&mut self, server: Option<Server>) {
        let text = self.metadata.get("enableTLS").unwrap_or_default();
        let enabled = matches!(text, "true" | "True" | "TRUE" | "1" | "t" | "T");
        let authenticated = self.trigger.has_authentication;
        match server {
            Some(Server { tls: false, .. }) if enabled => {
                let message =
                    "KEDA then speaks TLS to backlog-scaler, whose settings have no listen.tls";
                self.found(&codes::ENABLE_TLS, "enableTLS", message);
            }
            None if enabled => {
                let message = "is of KEDA's connection to backlog-scaler, which needs listen.tls then; \
                               the backend's TLS is `tls: enable`";
                self.found(&codes::ENABLE_TLS, "enableTLS", message);
            }
            // A certificate of KEDA's own, in the authentication or not, means TLS as well.
            Some(Server { tls: true, .. }) if !enabled && !authenticated => {
                let message = "is missing: the settings have listen.tls, and KEDA speaks plain text without it";
                self.found(&codes::ENABLE_TLS, "enableTLS", message);
                if let Some(finding) = self.findings.pop() {
                    let fix =
                        "add `enableTLS: \"true\"`, and KEDA's caCert by an authenticationRef";
                    self.findings.push(finding.mended_by(fix));
                }
            }
            _ => {}
        }
    }

    fn authentication(&mut self, server: Option<Server>) {
        if !self.trigger.has_authentication {
            return;
        }
        let message = match server {
            // Its caCert and certificates are KEDA's own, for TLS to the server.
            Some(Server { tls: true, .. }) => return,
            Some(Server {
                authentications: true,
                ..
            }) => return,
            Some(_) => {
                "the settings have kubernetes.enabled: false, and KEDA sends nothing of it to an external scaler"
            }
            None => {
                "KEDA sends nothing of it to an external scaler; backlog-scaler reads it itself where kubernetes.enabled is set"
            }
        };
        self.found_in_trigger(
            &codes::UNREACHABLE_AUTHENTICATION,
            "authenticationRef",
            message,
        );
    }

    /// Whether the trigger is for backlog-scaler: there are other external scalers.
    fn is_for_us(&mut self) -> bool {
        if self.metadata.has("backend") {
            return true;
        }
        let address = self.metadata.get("scalerAddress").unwrap_or_default();
        if address.contains("backlog-scaler") {
            return true;
        }
        let message = "is missing: either this trigger is for another external scaler, or \
                       backlog-scaler refuses it";
        self.found(&codes::NO_BACKEND, "backend", message);
        false
    }

    /// An activation threshold above the target.
    fn activation(&mut self, types: &[TypeKeys]) {
        let backend = self.metadata.get("backend").unwrap_or_default();
        let Some(keys) = types.iter().find(|keys| keys.trigger_type == backend) else {
            return;
        };
        let pairs = keys.query.iter().filter_map(|key| {
            let rest = key.name.strip_prefix("activation")?;
            let target = keys.query.iter().find(|key| {
                let (first, others) = key.name.split_at(1);
                rest == first.to_uppercase() + others
            });
            Some((key, target?))
        });
        let common = |name: &str| keys.common.iter().find(|key| key.name == name);
        let seconds = common("activationSeconds").zip(common("targetSeconds"));
        for (activation, target) in pairs.chain(seconds) {
            let value = |key: &Key| {
                let written = self.metadata.get(&key.name).or(key.default.as_deref());
                written.and_then(|text| text.parse::<f64>().ok())
            };
            let (Some(above), Some(wanted)) = (value(activation), value(target)) else {
                continue;
            };
            if above > wanted && wanted > 0.0 {
                let message = format!(
                    "`{above}` is above `{}`, which is {wanted}: work for more than one replica waits \
                     while there is none",
                    target.name
                );
                let key = activation.name.clone();
                self.found(&codes::ACTIVATION_ABOVE_TARGET, &key, message);
            }
        }
    }
}
