//! What Temporal Cloud's endpoints accept.

use crate::metadata::{
    problem::{Problem, Problems},
    values::{HostPort, Switch},
};

/// Which credentials a trigger or a named connection has.
#[derive(Clone, Copy)]
pub struct GivenCredentials {
    pub api_key: bool,
    pub cert: bool,
}

/// Refuses what Temporal Cloud would refuse with a much less specific error.
///
/// A namespace's own endpoint (`name.account.tmprl.cloud`) accepts a client certificate or an API
/// key, a regional one (`region.cloud.api.temporal.io`) an API key alone
/// (docs.temporal.io/cloud/namespaces, "Access a Namespace").
pub fn check_cloud(
    endpoint: &HostPort,
    namespace: &str,
    credentials: GivenCredentials,
    tls: Option<Switch>,
) -> Result<(), Problems> {
    let host = endpoint.host.trim_end_matches('.').to_ascii_lowercase();
    let of_namespace = host.ends_with(".tmprl.cloud");
    let regional = host.ends_with(".api.temporal.io");
    let mut problems = Problems::default();
    if !of_namespace && !regional {
        return Ok(());
    }
    if tls == Some(Switch::Disable) {
        let reason = "cannot be used, as Temporal Cloud requires TLS; leave `tls` out";
        problems.push(Problem::value("tls", "disable", reason));
    }
    if regional && !credentials.api_key {
        let reason = "is a regional endpoint of Temporal Cloud and accepts API keys: set apiKey; \
                      with a client certificate, use the namespace's own endpoint \
                      (name.account.tmprl.cloud:7233)";
        problems.push(Problem::value("endpoint", endpoint.to_string(), reason));
    } else if !credentials.cert && !credentials.api_key {
        let reason = "is a namespace of Temporal Cloud: set cert and key (mTLS), or apiKey";
        problems.push(Problem::value("endpoint", endpoint.to_string(), reason));
    }
    if !namespace.contains('.') {
        let reason =
            "must include its account in Temporal Cloud: name.account, such as orders.a1b2c";
        problems.push(Problem::value("namespace", namespace, reason));
    }
    problems.into_result()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGIONAL: &str = "us-east-1.aws.api.temporal.io:7233";
    const OWN: &str = "orders.a1b2c.tmprl.cloud:7233";
    const NOBODY: GivenCredentials = GivenCredentials {
        api_key: false,
        cert: false,
    };
    const API_KEY: GivenCredentials = GivenCredentials {
        api_key: true,
        cert: false,
    };
    const CERT: GivenCredentials = GivenCredentials {
        api_key: false,
        cert: true,
    };

    fn check(
        endpoint: &str,
        namespace: &str,
        credentials: GivenCredentials,
        tls: Option<Switch>,
    ) -> String {
        let endpoint = endpoint.parse().unwrap();
        match check_cloud(&endpoint, namespace, credentials, tls) {
            Ok(()) => "fine".to_owned(),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn each_endpoint_accepts_its_credentials() {
        assert_eq!(check(REGIONAL, "orders.a1b2c", API_KEY, None), "fine");
        assert_eq!(check(OWN, "orders.a1b2c", CERT, None), "fine");
        assert_eq!(check(OWN, "orders.a1b2c", API_KEY, None), "fine");
        assert_eq!(check("temporal:7233", "orders", NOBODY, None), "fine");
    }

    #[test]
    fn what_cannot_fit_is_refused_with_the_way_to_fix_it() {
        let off = Some(Switch::Disable);
        for (text, reason) in [
            (
                check(REGIONAL, "orders.a1b2c", CERT, None),
                "accepts API keys: set apiKey",
            ),
            (
                check(OWN, "orders.a1b2c", NOBODY, None),
                "set cert and key (mTLS), or apiKey",
            ),
            (check(OWN, "orders", CERT, None), "name.account, such as"),
            (
                check(REGIONAL, "orders.a1b2c", API_KEY, off),
                "requires TLS",
            ),
        ] {
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn all_that_cannot_fit_is_reported_at_once() {
        let text = check(REGIONAL, "orders", NOBODY, Some(Switch::Disable));
        for key in ["tls: ", "endpoint: ", "namespace: "] {
            assert!(text.contains(key), "{text}");
        }
    }
}
