//! Every kind of finding: its name, which is stable, what it means, and an example that is tested.

use super::finding::Severity;

/// A kind of finding.
#[derive(Debug)]
pub struct Code {
    /// Stable: it is in output for programs.
    pub name: &'static str,
    pub severity: Severity,
    /// What was found, in a line.
    pub title: &'static str,
    /// What comes of it.
    pub why: &'static str,
    /// What to do, where nothing more precise is known.
    pub fix: &'static str,
    pub example: Option<Example>,
}

/// A mistake in a text that has none otherwise.
#[derive(Debug)]
pub struct Example {
    pub base: Base,
    /// What stands in the base.
    pub place: &'static str,
    /// What stands there with the mistake.
    pub bad: &'static str,
    /// What stands there after it was mended.
    pub good: &'static str,
}

/// A text without mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    ScaledObject,
    ScaledJob,
    Settings,
}

impl Base {
    /// The text.
    pub fn text(self) -> &'static str {
        match self {
            Base::ScaledObject => SCALED_OBJECT,
            Base::ScaledJob => SCALED_JOB,
            Base::Settings => SETTINGS,
        }
    }
}

const SCALED_OBJECT: &str = r#"apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: worker
  namespace: shop
spec:
  scaleTargetRef:
    name: worker
  pollingInterval: 30
  maxReplicaCount: 20
  fallback:
    failureThreshold: 3
    replicas: 5
  triggers:
    - type: external
      name: jobs
      metricType: AverageValue
      metadata:
        scalerAddress: backlog-scaler.keda.svc:9090
        backend: redis-streams
        address: redis.shop.svc:6379
        stream: jobs
        streamLength: "5"
    - type: external
      name: mails
      metadata:
        scalerAddress: backlog-scaler.keda.svc:9090
        backend: redis
        address: redis.shop.svc:6379
        listName: mails
        listLength: "5"
        activationListLength: "1"
"#;

const SCALED_JOB: &str = r#"apiVersion: keda.sh/v1alpha1
kind: ScaledJob
metadata:
  name: nightly
  namespace: shop
spec:
  jobTargetRef:
    template: {}
  triggers:
    - type: external
      metadata:
        scalerAddress: backlog-scaler.keda.svc:9090
        backend: redis-streams
        address: redis.shop.svc:6379
        stream: jobs
        streamLength: "5"
"#;

const SETTINGS: &str = r#"listen:
  grpc: 0.0.0.0:9090
engine:
  callTimeout: 3s
connections:
  orders:
    backend: redis
    namespaces: [shop]
    address: redis.shop.svc:6379
    passwordFromFile: /etc/redis/password
"#;

macro_rules! codes {
    ($($constant:ident = $severity:ident $name:literal: $title:literal,
        why: $why:literal, fix: $fix:literal, $example:expr;)*) => {
        $(
            #[doc = $title]
            pub static $constant: Code = Code {
                name: $name,
                severity: Severity::$severity,
                title: $title,
                why: $why,
                fix: $fix,
                example: $example,
            };
        )*

        /// Every code, in the order of the reference.
        pub static ALL: &[&Code] = &[$(&$constant),*];
    };
}

const fn example(base: Base, place: &'static str, bad: &'static str) -> Option<Example> {
    mended(base, place, bad, place)
}

const fn mended(
    base: Base,
    place: &'static str,
    bad: &'static str,
    good: &'static str,
) -> Option<Example> {
    Some(Example {
        base,
        place,
        bad,
        good,
    })
}

const OBJECT: Base = Base::ScaledObject;

codes! {
    INVALID_YAML = Error "invalid-yaml": "The file is not valid YAML.",
        why: "The document cannot be read, here or by Kubernetes.",
        fix: "correct the YAML; render a Helm template first: `helm template CHART | backlog-scaler check -`",
        example(OBJECT, "  name: worker\n  namespace: shop\n", "  name: worker\n   namespace: shop\n");
    WRONG_KIND = Error "wrong-kind": "The kind or the apiVersion is not one of KEDA's, but looks like a typo of one.",
        why: "Kubernetes refuses the object, or KEDA does not see it.",
        fix: "write `apiVersion: keda.sh/v1alpha1`, and as the kind ScaledObject, ScaledJob, TriggerAuthentication \
            or ClusterTriggerAuthentication",
        example(OBJECT, "kind: ScaledObject", "kind: ScaledObjects");
    INVALID_FIELD = Error "invalid-field": "A field is missing, or has a value that is not allowed.",
        why: "Kubernetes or KEDA refuses the object, or Kubernetes refuses the HPA that KEDA creates for it.",
        fix: "write what is expected",
        example(OBJECT, "maxReplicaCount: 20", "maxReplicaCount: \"20\"");
    UNKNOWN_TYPE = Error "unknown-type": "The type of a trigger is not one of KEDA's, and was probably meant to be external.",
        why: "Kubernetes accepts any text; KEDA refuses the object with all its triggers.",
        fix: "write `type: external` or `type: external-push`, in lower case",
        example(OBJECT, "type: external\n      name: jobs", "type: extrenal\n      name: jobs");
    DUPLICATE_TRIGGER_NAME = Error "duplicate-trigger-name": "Two triggers of an object have the same name.",
        why: "KEDA refuses the object: a formula could not tell them apart.",
        fix: "give each trigger a name of its own, or none",
        example(OBJECT, "name: mails\n      metadata", "name: jobs\n      metadata");
    UNQUOTED_VALUE = Error "unquoted-value": "A metadata value is a number, a boolean or null.",
        why: "KEDA's custom resource allows only strings there, so Kubernetes refuses the object.",
        fix: "quote the value",
        example(OBJECT, "streamLength: \"5\"", "streamLength: 5");
    TEMPLATE = Error "template": "A value contains a template that is not rendered.",
        why: "The server would read the braces as part of the value.",
        fix: "render it first: `helm template CHART | backlog-scaler check -`",
        example(OBJECT, "listName: mails", "listName: \"{{ .Values.list }}\"");
    UNKNOWN_KEY = Error "unknown-key": "The metadata has a key that this backend does not know.",
        why: "The server refuses the trigger, rather than silently use a default.",
        fix: "see `backlog-scaler keys BACKEND` for the keys",
        example(OBJECT, "listLength: \"5\"", "listLenght: \"5\"");
    INVALID_METADATA = Error "invalid-metadata": "A key is missing, conflicts with another one, or has a value that is not allowed.",
        why: "The server refuses the trigger.",
        fix: "write what is expected; `backlog-scaler keys BACKEND` explains each key",
        example(OBJECT, "listLength: \"5\"", "listLength: five");
    ZERO_THRESHOLD = Error "zero-threshold": "A target is 0.",
        why: "The HPA divides by it. The server refuses the trigger.",
        fix: "write the wanted amount of work per replica, at least 1",
        example(OBJECT, "listLength: \"5\"", "listLength: \"0\"");
    NO_SCALER_ADDRESS = Error "no-scaler-address": "There is no scalerAddress.",
        why: "KEDA does not know which server to call, and refuses the trigger.",
        fix: "add `scalerAddress: backlog-scaler.keda.svc:9090`, with the name and namespace of your Service",
        example(OBJECT, "        scalerAddress: backlog-scaler.keda.svc:9090\n        backend: redis\n",
            "        backend: redis\n");
    SCALER_ADDRESS_SCHEME = Error "scaler-address-scheme": "The scalerAddress is a URL.",
        why: "KEDA passes it to gRPC, which takes all of it as a host name, and every call fails.",
        fix: "write host:port",
        example(OBJECT, "scalerAddress: backlog-scaler.keda.svc:9090\n        backend: redis\n",
            "scalerAddress: http://backlog-scaler.keda.svc:9090\n        backend: redis\n");
    UTILIZATION = Error "metric-type-utilization": "An external trigger has `metricType: Utilization`.",
        why: "KEDA refuses it: only cpu and memory have a utilization.",
        fix: "leave metricType out, or write Value for a signal in seconds",
        example(OBJECT, "metricType: AverageValue", "metricType: Utilization");
    METRIC_TYPE_IN_JOB = Error "metric-type-in-job": "A trigger of a ScaledJob has a `metricType`.",
        why: "KEDA refuses the ScaledJob: no HPA divides its metrics, KEDA itself starts value / target jobs.",
        fix: "leave metricType out",
        example(Base::ScaledJob, "type: external\n", "type: external\n      metricType: AverageValue\n");
    INVALID_SETTINGS = Error "invalid-settings": "A server setting is unknown, or has a value that is not allowed.",
        why: "The server does not start.",
        fix: "see docs/reference/settings.md",
        example(Base::Settings, "callTimeout: 3s", "callTimeuot: 3s");
    UNKNOWN_FIELD = Warning "unknown-field": "A field is not one that KEDA's custom resource has.",
        why: "The API server silently drops it, so that it has no effect, if Helm, Argo CD or Flux apply the object; \
            kubectl refuses the object, unless it is called with `--validate=false`.",
        fix: "remove it, or write it where it belongs; a newer KEDA may have it",
        mended(OBJECT, "maxReplicaCount: 20", "maxReplicasCount: 20", "maxReplicaCount: 20");
    NOT_EXTERNAL = Warning "not-external": "A trigger has a scalerAddress, but its type is one of KEDA's own.",
        why: "KEDA's own scaler evaluates it and ignores the address: this trigger does not use the server.",
        fix: "write `type: external`, or remove scalerAddress and backend",
        example(OBJECT, "type: external\n      name: jobs", "type: redis-streams\n      name: jobs");
    SCALER_ADDRESS_PORT = Warning "scaler-address-port": "The scalerAddress has no port.",
        why: "gRPC then uses port 443, where nothing listens.",
        fix: "write host:port; the chart's Service has port 9090",
        example(OBJECT, "scalerAddress: backlog-scaler.keda.svc:9090\n        backend: redis\n",
            "scalerAddress: backlog-scaler.keda.svc\n        backend: redis\n");
    CLUSTER_IP = Warning "cluster-ip": "The scalerAddress is an IP address.",
        why: "A Service that is recreated gets another one, and scaling stops until somebody notices.",
        fix: "write the Service's name: `backlog-scaler.keda.svc:9090`",
        example(OBJECT, "scalerAddress: backlog-scaler.keda.svc:9090\n        backend: redis\n",
            "scalerAddress: 10.96.12.7:9090\n        backend: redis\n");
    ENABLE_TLS = Warning "enable-tls": "KEDA would use TLS where the server does not, or the other way round.",
        why: "`enableTLS` is KEDA's own key, for its connection to the external scaler. On a trigger that moved \
            from a built-in scaler it was meant for the backend, and every call fails now.",
        fix: "write `tls: enable` for TLS to the backend, and keep enableTLS only where the server has listen.tls",
        mended(OBJECT, "listName: mails", "enableTLS: \"true\"\n        listName: mails",
            "tls: enable\n        listName: mails");
    ACTIVATION_ABOVE_TARGET = Warning "activation-above-target": "The activation threshold is above the target.",
        why: "At 0 replicas, KEDA starts the first one only when there is work for more than one; and it scales \
            back to 0 while that much work is left.",
        fix: "make the activation threshold smaller than the target, or leave it out",
        example(OBJECT, "activationListLength: \"1\"", "activationListLength: \"50\"");
    TIME_SIGNAL_METRIC_TYPE = Warning "time-signal-metric-type": "A signal in seconds has no `metricType: Value`.",
        why: "With AverageValue the HPA takes ceil(seconds / target) replicas, however many run now; but the \
            number of replicas does not follow from a time alone.",
        fix: "set `metricType: Value` on the trigger",
        mended(OBJECT, "metricType: AverageValue\n      metadata:\n",
            "metricType: AverageValue\n      metadata:\n        signal: age\n        targetSeconds: \"30\"\n",
            "metricType: Value\n      metadata:\n        signal: age\n        targetSeconds: \"30\"\n");
    TIME_SIGNAL_IN_JOB = Warning "time-signal-in-job": "A trigger of a ScaledJob has a signal in seconds.",
        why: "KEDA starts value / target jobs: how many are needed does not follow from a time alone.",
        fix: "use `signal: backlog`, which is the default",
        mended(Base::ScaledJob, "stream: jobs\n", "signal: age\n        targetSeconds: \"30\"\n        stream: jobs\n",
            "signal: backlog\n        stream: jobs\n");
    REPLICAS_METRIC_TYPE = Warning "replicas-metric-type": "A trigger with a key that depends on replicas has `metricType: Value`.",
        why: "`scaleDownBelow` and `minimumWhileInFlight` multiply replicas by the target, to report them as \
            work; with Value the HPA multiplies the current replicas instead.",
        fix: "leave metricType out",
        mended(OBJECT, "metricType: AverageValue\n      metadata:\n",
            "metricType: Value\n      metadata:\n        scaleDownBelow: \"2\"\n",
            "metricType: AverageValue\n      metadata:\n        scaleDownBelow: \"2\"\n");
    PUSH_IN_JOB = Warning "push-in-job": "A ScaledJob has a trigger of type `external-push`.",
        why: "KEDA starts jobs only when it polls, so a push has no effect, and its stream stays open for nothing.",
        fix: "write `type: external`, and a shorter pollingInterval if 30 s is too long",
        example(Base::ScaledJob, "type: external\n", "type: external-push\n");
    SAME_METRIC_NAME = Warning "same-metric-name": "Two triggers of an object measure the same.",
        why: "For the same work, the smaller target always wants more replicas, so the other trigger never counts.",
        fix: "remove one of them, or have it measure something else",
        example(OBJECT,
            "        listName: mails\n        listLength: \"5\"\n        activationListLength: \"1\"\n",
            "        listName: mails\n        listLength: \"5\"\n        activationListLength: \"1\"\n    - type: external\n      \
            metadata:\n        scalerAddress: backlog-scaler.keda.svc:9090\n        backend: redis\n        \
            address: redis.shop.svc:6379\n        listName: mails\n        listLength: \"9\"\n");
    UNREACHABLE_AUTHENTICATION = Warning "unreachable-authentication": "The authenticationRef may not reach the server.",
        why: "KEDA sends no parameters of a TriggerAuthentication to an external scaler. It only uses caCert, \
            tlsClientCert and tlsClientKey, for its own connection.",
        fix: "set kubernetes.enabled in the server's settings (docs/how-to/trigger-authentication.md) and check \
            with `--config`, use keys that end in FromEnv, or use a named connection of the settings",
        mended(OBJECT, "listName: mails", "listName: mails\n      authenticationRef:\n        name: redis",
            "listName: mails\n        passwordFromEnv: REDIS_PASSWORD");
    NO_BACKEND = Warning "no-backend": "An external trigger has no `backend`.",
        why: "backlog-scaler refuses it. If the trigger is for another external scaler, ignore this warning.",
        fix: "add `backend`, the type that the trigger would have with KEDA's own scaler",
        example(OBJECT, "scalerAddress: backlog-scaler.keda.svc:9090\n        backend: redis\n",
            "scalerAddress: scaler.keda.svc:9090\n");
    SHORT_POLLING_INTERVAL = Warning "short-polling-interval": "KEDA polls more often than every 5 seconds.",
        why: "pollingInterval is for the step from 0 to 1; above that the HPA decides every 15 s. Polling \
            every second puts load on KEDA and the API server, and the server reads the backend no more often \
            than freshFor allows.",
        fix: "write 5 or more, or use `type: external-push` to start from 0 at once",
        example(OBJECT, "pollingInterval: 30", "pollingInterval: 1");
    NO_FALLBACK = Warning "no-fallback": "A ScaledObject has no `fallback`.",
        why: "While the backend cannot be read, the server reports its last value for maxStaleness (60 s) and \
            then the error. Without a fallback the replicas then stay as they are, however few there are.",
        fix: "add spec.fallback with failureThreshold and replicas, or accept that replicas stay",
        example(OBJECT, "  fallback:\n    failureThreshold: 3\n    replicas: 5\n", "");
    PAUSED = Warning "paused": "An annotation pauses the object.",
        why: "KEDA does not scale it by its triggers until the annotation is removed.",
        fix: "remove the annotation autoscaling.keda.sh/paused… when the pause is over",
        example(OBJECT, "  namespace: shop\n",
            "  namespace: shop\n  annotations:\n    autoscaling.keda.sh/paused: \"true\"\n");
    OPEN_CONNECTION = Warning "open-connection": "A named connection lists no namespaces.",
        why: "Every namespace of the cluster may use its credentials.",
        fix: "list the namespaces that may use it under `namespaces`, or write ['*']",
        example(Base::Settings, "    namespaces: [shop]\n", "");
    PARTITIONS = Warning "max-replicas-above-partitions": "More replicas are allowed than the topic has partitions.",
        why: "A consumer without a partition does nothing; the server reports no more work than the partitions \
            can share. `check --live` and `probe` find this, because they query the broker.",
        fix: "lower maxReplicaCount to the number of partitions, or add partitions",
        None;
}
