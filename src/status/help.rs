//! What the kinds of errors mean and what to do about them, for the page that errors link to.

use crate::error::Kind;

/// The page's path.
pub const PATH: &str = "/help";

/// What is to be known of one kind of error.
pub struct Help {
    pub kind: Kind,
    pub title: &'static str,
    /// The code that KEDA's events and logs show.
    pub code: &'static str,
    pub means: &'static str,
    /// What to do, step by step.
    pub steps: &'static [&'static str],
}

/// Every kind, in the order of [`Kind::ALL`].
pub const ALL: [Help; Kind::ALL.len()] = [
    Help {
        kind: Kind::Invalid,
        title: "The metadata is wrong",
        code: "InvalidArgument",
        means: "A key of the trigger is unknown, missing, or has a value that is not allowed. The \
                trigger is not read, and its object keeps its size.",
        steps: &[
            "The message names the key, its value, and what is allowed.",
            "Correct the ScaledObject; `backlog-scaler probe FILE` checks it before the cluster does.",
            "The keys of every trigger type: `backlog-scaler keys`, or docs/reference/keys.md.",
        ],
    },
    Help {
        kind: Kind::NotAllowed,
        title: "The namespace may not use this",
        code: "PermissionDenied",
        means: "The settings do not let this namespace use the connection, its queue, or an address \
                of its own.",
        steps: &[
            "Whoever runs this server can add the namespace under `connections.NAME.namespaces`, or \
             the queue under `names`.",
            "Addresses in triggers are allowed by `engine.inlineConnections`.",
        ],
    },
    Help {
        kind: Kind::NotFound,
        title: "What is to be measured does not exist",
        code: "NotFound",
        means: "The backend responds, but has no such group, topic, sentinel master or the like. A \
                missing queue is 0 only where the system itself treats it so.",
        steps: &[
            "The message names what was looked for; check the name for a typo.",
            "Create what is missing, or have the consumer run once.",
        ],
    },
    Help {
        kind: Kind::Unreadable,
        title: "The response cannot be counted",
        code: "FailedPrecondition",
        means: "The response of the backend does not give a number of waiting items, such as a key of \
                another type.",
        steps: &["The message names the key and its type; another trigger type may fit it."],
    },
    Help {
        kind: Kind::Undetermined,
        title: "The samples do not say the time yet",
        code: "FailedPrecondition",
        means: "With the signals `age` and `drainTime`, a time is known only after some samples, or \
                some completed work. Activity is reported all the same.",
        steps: &[
            "Wait for a minute after a start.",
            "docs/how-to/waiting-time.md lists when a time is not known.",
        ],
    },
    Help {
        kind: Kind::Unauthorized,
        title: "The backend refuses the login, or a right is missing",
        code: "FailedPrecondition",
        means: "The server connects, and the backend does not accept its user, password, token or \
                certificate, or does not let it read this queue.",
        steps: &[
            "Compare user and password with those that the workers have.",
            "Changed Secrets of named connections are reloaded by themselves; a refused login is \
             tried again after at most 4 minutes.",
            "The permissions that are needed: docs/how-to/redis.md, kafka.md, temporal.md.",
        ],
    },
    Help {
        kind: Kind::Unreachable,
        title: "The backend cannot be reached",
        code: "Unavailable",
        means: "No connection can be opened, or it broke. Values up to `maxStaleness` old are used \
                meanwhile; then the calls fail, and KEDA's `fallback` takes over. The server tries \
                again by itself, at most 10 s apart.",
        steps: &[
            "Check whether the backend runs, and listens at the address that the message names.",
            "Check whether a NetworkPolicy blocks the connection from this server.",
            "If the message mentions TLS, compare `tls` and `ca` with the backend's configuration.",
        ],
    },
    Help {
        kind: Kind::TimedOut,
        title: "The backend does not respond in time",
        code: "DeadlineExceeded",
        means: "The connection is open, and no result came within `callTimeout`.",
        steps: &[
            "Check the load of the backend, and its slow queries.",
            "The page of the connection shows how long a batch takes, and how many queries wait.",
        ],
    },
    Help {
        kind: Kind::Exhausted,
        title: "A limit is reached",
        code: "ResourceExhausted",
        means: "A limit in this server's settings, or in the backend, is reached.",
        steps: &[
            "The message names the limit.",
            "Remove triggers that are not needed, have them share connections, or raise the setting: \
             docs/reference/settings.md.",
        ],
    },
    Help {
        kind: Kind::Internal,
        title: "A bug in backlog-scaler",
        code: "Internal",
        means: "The program got into a state that should be impossible. Other triggers are not affected.",
        steps: &["Report the text of the message, with the surrounding log lines."],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_help() {
        assert_eq!(ALL.map(|help| help.kind), Kind::ALL);
    }
}
