//! Redis: addresses in two spellings, TLS, and what its types ignore.

use super::{Auth, FROM_ENV, OF_HOP, Planner, parse_bool};

pub fn plan(planner: &mut Planner<'_>) {
    addresses(planner);
    tls(planner);
    if planner.scaler.name.ends_with("streams") {
        stream(planner);
    }
}

/// KEDA takes the first of `address`, `addresses` that has a value, and adds `host` and `port` to them
/// (`validateRedisAddress`).
fn addresses(planner: &mut Planner<'_>) {
    let text = ["address", "addresses"]
        .into_iter()
        .find(|key| planner.text(key).is_some());
    let of_auth = ["address", "addresses"]
        .into_iter()
        .any(|key| planner.authentication.has(key));
    let variable = ["address", "addresses"]
        .into_iter()
        .find(|key| planner.by_variable(key));
    let taken = match (text, of_auth, variable) {
        (Some(key), _, _) => Some(key.to_owned()),
        (None, true, _) => None,
        (None, false, variable) => variable.map(|key| format!("{key}{FROM_ENV}")),
    };
    if taken.is_none() && !of_auth {
        return one_spelling(planner);
    }
    for key in ["address", "addresses"] {
        for written in [key.to_owned(), format!("{key}{FROM_ENV}")] {
            let is_stale = Some(&written) != taken.as_ref() && planner.stays(&written);
            if is_stale && !planner.is_blank(&written) {
                planner.goes(&written, "KEDA takes another key's addresses before these");
            }
        }
    }
    for key in ["host", "hosts", "port", "ports"] {
        for written in [key.to_owned(), format!("{key}{FROM_ENV}")] {
            if planner.stays(&written) && !planner.is_blank(&written) {
                let why =
                    "KEDA puts it behind the addresses that are given, of which the first serve";
                planner.goes(&written, why);
            }
        }
    }
}

/// Of `host` and `hosts`, and of `port` and `ports`, KEDA takes the first.
fn one_spelling(planner: &mut Planner<'_>) {
    for (one, many) in [("host", "hosts"), ("port", "ports")] {
        let by_text = |planner: &Planner<'_>, key: &str| planner.text(key).is_some();
        if by_text(planner, one) {
            for written in [many.to_owned(), format!("{many}{FROM_ENV}")] {
                planner.goes(&written, "KEDA takes the other spelling");
            }
        } else if by_text(planner, many) {
            planner.goes(&format!("{one}{FROM_ENV}"), "KEDA takes the other spelling");
        }
    }
    // Which of two variables has a value is not known here.
    for (one, many) in [("host", "hosts"), ("port", "ports")] {
        if planner.by_variable(one) && planner.by_variable(many) {
            let why = "KEDA takes the other variable, if it has a value";
            planner.goes(&format!("{many}{FROM_ENV}"), why);
        }
    }
}

fn tls(planner: &mut Planner<'_>) {
    let given = planner.text("enableTLS").map(str::to_owned);
    let on = given.as_deref().and_then(parse_bool);
    match (&given, on) {
        (None, _) => planner.goes("enableTLS", "is empty"),
        (Some(_), Some(on)) => {
            let value = if on { "enable" } else { "disable" };
            planner.becomes("enableTLS", "tls", Some(value), OF_HOP);
        }
        (Some(_), None) => planner.refuse(
            Some("enableTLS"),
            "KEDA refuses it, because it is not a boolean",
        ),
    }
    let in_use = on == Some(true) || given.is_none() && planner.authentication.may_have("tls");
    let skips = planner.text("unsafeSsl").and_then(parse_bool);
    match skips {
        Some(true) if !in_use => {
            planner.goes(
                "unsafeSsl",
                "KEDA ignores it without TLS; here it would be refused",
            );
        }
        _ if planner.text("unsafeSsl").is_none() => planner.goes("unsafeSsl", "is empty"),
        _ => planner.becomes("unsafeSsl", "tlsSkipVerify", None, OF_HOP),
    }
    if let Auth::Known(reference, authentication) = planner.authentication {
        let keys = ["ca", "cert", "key"];
        let given: Vec<&str> = keys
            .into_iter()
            .filter(|key| authentication.has(key))
            .collect();
        if !in_use && !given.is_empty() {
            let keys = given.join(", ");
            let why = format!(
                "{reference} has {keys}, which KEDA ignores as nothing enables TLS; here that is an \
                 error: add the parameter `tls` (enable), or take them out"
            );
            planner.refuse(None, why);
        }
    }
}

/// As in KEDA: the group decides, then lagCount.
fn stream(planner: &mut Planner<'_>) {
    let grouped = planner.text("consumerGroup").is_some();
    if planner.text("lagCount") == Some("0") {
        planner.goes("lagCount", "0 is as if it were left out");
    } else if !grouped {
        planner.goes("lagCount", "KEDA ignores it without a consumer group");
    } else {
        planner.differs(
            "lagCount",
            "where Redis reports no lag, the entries are counted; KEDA takes 0",
        );
    }
    if !grouped {
        planner.goes(
            "pendingEntriesCount",
            "KEDA ignores it without a consumer group",
        );
    }
}
