//! What Temporal Cloud's endpoints take.

use crate::metadata::{
    problem::Problem,
    values::{HostPort, Switch},
};

/// How a trigger identifies itself.
#[derive(Clone, Copy)]
pub struct Identity {
    pub api_key: bool,
    pub cert: bool,
}

/// Refuses what Temporal Cloud would only refuse much less clearly.
///
/// A namespace's own endpoint (`name.account.tmprl.cloud`) takes a client certificate or an API
/// key, a regional one (`region.cloud.api.temporal.io`) an API key alone
/// (docs.temporal.io/cloud/namespaces, "Access a Namespace").
pub fn check_cloud(
    endpoint: &HostPort,
    namespace: &str,
    identity: Identity,
    tls: Option<Switch>,
) -> Result<(), Problem> {
    let host = endpoint.host.trim_end_matches('.').to_ascii_lowercase();
    let of_namespace = host.ends_with(".tmprl.cloud");
    let regional = host.ends_with(".api.temporal.io");
    if !of_namespace && !regional {
        return Ok(());
    }
    if tls == Some(Switch::Disable) {
        let reason = "Temporal Cloud speaks nothing but TLS; leave `tls` out";
        return Err(Problem::value("tls", "disable", reason));
    }
    if regional && !identity.api_key {
        let reason = "is a regional endpoint of Temporal Cloud and takes API keys: set apiKey; \
                      with a client certificate, use the namespace's own endpoint \
                      (name.account.tmprl.cloud:7233)";
        return Err(Problem::value("endpoint", endpoint.to_string(), reason));
    }
    if !identity.cert && !identity.api_key {
        let reason = "is a namespace of Temporal Cloud: set cert and key (mTLS), or apiKey";
        return Err(Problem::value("endpoint", endpoint.to_string(), reason));
    }
    if !namespace.contains('.') {
        let reason = "must be written with its account in Temporal Cloud: name.account, such as orders.a1b2c";
        return Err(Problem::value("namespace", namespace, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGIONAL: &str = "us-east-1.aws.api.temporal.io:7233";
    const OWN: &str = "orders.a1b2c.tmprl.cloud:7233";
    const NOBODY: Identity = Identity {
        api_key: false,
        cert: false,
    };
    const API_KEY: Identity = Identity {
        api_key: true,
        cert: false,
    };
    const CERT: Identity = Identity {
        api_key: false,
        cert: true,
    };

    fn check(endpoint: &str, namespace: &str, who: Identity, tls: Option<Switch>) -> String {
        let endpoint = endpoint.parse().unwrap();
        match check_cloud(&endpoint, namespace, who, tls) {
            Ok(()) => "fine".to_owned(),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn each_endpoint_takes_its_identities() {
        assert_eq!(check(REGIONAL, "orders.a1b2c", API_KEY, None), "fine");
        assert_eq!(check(OWN, "orders.a1b2c", CERT, None), "fine");
        assert_eq!(check(OWN, "orders.a1b2c", API_KEY, None), "fine");
        assert_eq!(check("temporal:7233", "orders", NOBODY, None), "fine");
    }

    #[test]
    fn what_cannot_fit_is_refused_with_the_way_out() {
        let off = Some(Switch::Disable);
        for (text, reason) in [
            (
                check(REGIONAL, "orders.a1b2c", CERT, None),
                "takes API keys: set apiKey",
            ),
            (
                check(OWN, "orders.a1b2c", NOBODY, None),
                "set cert and key (mTLS), or apiKey",
            ),
            (check(OWN, "orders", CERT, None), "name.account, such as"),
            (
                check(REGIONAL, "orders.a1b2c", API_KEY, off),
                "nothing but TLS",
            ),
        ] {
            assert!(text.contains(reason), "{text}");
        }
    }
}
