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
    let off = planner.text("enableTLS").map(parse_bool);
    let plain = match off {
        None => {
            planner.goes("enableTLS", "is empty");
            false
        }
        Some(None) => {
            return planner.refuse(Some("enableTLS"), "KEDA refuses it, as it is no boolean");
        }
        Some(Some(true)) => {
            let why = "is the default: an API key or a client certificate switches TLS on";
            planner.goes("enableTLS", why);
            false
        }
        Some(Some(false)) if auth.has("cert") => {
            planner.goes("enableTLS", "KEDA ignores it with a client certificate");
            false
        }
        Some(Some(false)) if api_key => {
            planner.becomes("enableTLS", "tls", Some("disable"), OF_HOP);
            if certificate {
                planner.note(
                    "with a client certificate in the authentication KEDA uses TLS all the same: then \
                     remove `tls: disable`",
                );
            }
            true
        }
        Some(Some(false)) => {
            planner.goes("enableTLS", "KEDA ignores it without an API key");
            true
        }
    };
    let in_use = !plain && (certificate || api_key);
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
