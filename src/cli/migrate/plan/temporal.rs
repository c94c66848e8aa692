//! Temporal: TLS, which an API key or a client certificate switches on (`buildTemporalTLSConfig`).

use super::{Auth, OF_HOP, Planner, parse_bool};

pub fn plan(planner: &mut Planner<'_>) {
    let auth = planner.authentication;
    if auth.has("apiKey") {
        planner.goes(
            "apiKeyFromEnv",
            "KEDA takes that of the authentication before it",
        );
    } else if matches!(auth, Auth::Unknown(_)) && planner.by_variable("apiKey") {
        planner.note("if the authentication has an apiKey too, KEDA takes that, and here apiKeyFromEnv counts");
    }
    tls(planner);
    for key in ["buildId", "selectAllActive", "selectUnversioned"] {
        planner.differs(
            key,
            "Temporal deprecates it, and KEDA 2.21 refuses it; here it still works",
        );
    }
}

fn tls(planner: &mut Planner<'_>) {
    let auth = planner.authentication;
    let certificate = auth.may_have("cert");
    let api_key = auth.may_have("apiKey") || planner.by_variable("apiKey");
    match planner.text("enableTLS").map(parse_bool) {
        None => planner.goes("enableTLS", "is empty"),
        Some(None) => {
            return planner.refuse(
                Some("enableTLS"),
                "KEDA refuses it, because it is not a boolean",
            );
        }
        Some(Some(true)) => {
            let why = "is the default: an API key or a client certificate switches TLS on";
            planner.goes("enableTLS", why);
        }
        Some(Some(false)) if certificate || api_key => {
            // The SDK of KEDA 2.21 insists (go.temporal.io/sdk 1.49, `apiKeyCredentials.applyToOptions`).
            let why = "KEDA 2.21 speaks TLS with an API key or a client certificate all the same; add \
                       `tls: disable` if the server has none";
            planner.goes("enableTLS", why);
        }
        Some(Some(false)) => planner.goes("enableTLS", "is as it is without an API key"),
    }
    let in_use = certificate || api_key;
    match planner.text("unsafeSsl").map(parse_bool) {
        None => planner.goes("unsafeSsl", "is empty"),
        Some(Some(true)) if !in_use => {
            planner.goes(
                "unsafeSsl",
                "KEDA ignores it without TLS; here it would be refused",
            );
        }
        Some(_) => planner.becomes("unsafeSsl", "tlsSkipVerify", None, OF_HOP),
    }
    if !in_use && planner.text("tlsServerName").is_some() {
        let why = "KEDA ignores it without TLS; here it would be refused";
        planner.goes("tlsServerName", why);
    }
}
