//! What KEDA's scalers and ours cost, as measured: the tables of docs/reference/benchmarks.md, which a
//! test compares with these.

/// The page that the figures are from.
pub const PAGE: &str = "docs/reference/benchmarks.md";

/// A kind of trigger, measured with 1,000 of them on one server, all evaluated at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// For people.
    pub name: &'static str,
    /// KEDA's connections for 1,000 triggers, to a server of one node.
    pub sockets: u32,
    /// Memory over one trigger for 1,000, in MiB: KEDA's, and KEDA's and ours together.
    pub memory: (u32, u32),
    /// The server's CPU for one evaluation, in µs: KEDA's, and ours.
    pub server_cpu: (f64, f64),
    /// CPU of KEDA for one evaluation, in µs: with its own scaler, and KEDA's and ours together.
    pub cpu: (f64, f64),
    /// What KEDA's scaler sends for one evaluation.
    pub requests: u32,
}

pub const REDIS: Figures = Figures {
    name: "Redis",
    sockets: 1_000,
    memory: (52, 54),
    server_cpu: (37.0, 4.5),
    // 143 of KEDA's and 81 of ours.
    cpu: (57.0, 224.0),
    requests: 1,
};

pub const KAFKA: Figures = Figures {
    name: "Kafka (kafka)",
    sockets: 2_000,
    memory: (302, 47),
    server_cpu: (917.0, 50.0),
    // 190 of KEDA's and 108 of ours.
    cpu: (230.0, 298.0),
    requests: 3,
};

pub const APACHE_KAFKA: Figures = Figures {
    name: "Kafka (apache-kafka)",
    sockets: 12_621,
    memory: (1_431, 47),
    server_cpu: (11_400.0, 50.0),
    cpu: (17_400.0, 298.0),
    requests: 22,
};

pub const TEMPORAL: Figures = Figures {
    name: "Temporal",
    sockets: 1_000,
    memory: (208, 53),
    server_cpu: (11_000.0, 6_900.0),
    // 0.4 ms of KEDA's and 0.7 ms of ours.
    cpu: (2_900.0, 1_100.0),
    requests: 3,
};

/// KEDA's memory with 2,000 `kafka` triggers, in MiB: as by default, and with `fullMetadata: "false"`.
pub const FULL_METADATA: (u32, u32) = (588, 207);

/// The kind of a trigger.
pub fn of(backend: &str) -> Figures {
    match backend {
        "kafka" => KAFKA,
        "apache-kafka" => APACHE_KAFKA,
        "temporal" => TEMPORAL,
        _ => REDIS,
    }
}
