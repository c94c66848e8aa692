use super::*;
use crate::{
    kubernetes::{
        authentication::Dependencies,
        object::{ObjectId, Resource},
        tests::without_api_server,
    },
    metadata::values::Secret,
};

fn authentication(namespace: Option<&str>, keys: &[(&str, &str, Provenance)]) -> Authentication {
    let resource = match namespace {
        Some(_) => Resource::TriggerAuthentications,
        None => Resource::ClusterTriggerAuthentications,
    };
    Authentication {
        namespace: "shop".to_owned(),
        keys: keys
            .iter()
            .map(|(key, value, _)| (key.to_string(), Secret::from(*value)))
            .collect(),
        from: keys
            .iter()
            .map(|(key, _, from)| (key.to_string(), *from))
            .collect(),
        origin: ObjectId::new(resource, namespace, "redis").unwrap(),
        version: 0,
        depends_on: Dependencies::default(),
    }
}

const PASSWORD: (&str, &str, Provenance) = ("password", "hunter2", Provenance::Secret);

#[tokio::test]
async fn a_cluster_authentication_is_for_its_own_addresses_and_for_listed_ones() {
    let kubernetes = without_api_server("redis", &["*.redis.svc:6379"]).await;
    let allowed = |authentication: &Authentication, server: &str| {
        kubernetes.may_send_to(authentication, &server.parse().unwrap())
    };
    let own = authentication(
        None,
        &[
            PASSWORD,
            (
                "address",
                "redis.shop:6379, other.shop:6379",
                Provenance::ConfigMap,
            ),
            ("host", "redis.mail", Provenance::Secret),
            ("port", "6380", Provenance::Secret),
            ("addresses", "redis.evil:6379", Provenance::Environment),
        ],
    );
    for (server, expected) in [
        ("redis.shop:6379", true),
        ("OTHER.shop.:6379", true),
        ("redis.mail:6380", true),
        ("a.redis.svc:6379", true),
        ("redis.shop:6380", false),
        ("redis.evil:6379", false),
        ("hunter2:6379", false),
    ] {
        assert_eq!(allowed(&own, server).is_ok(), expected, "{server}");
    }
    let error = allowed(&own, "redis.evil:6379").unwrap_err();
    assert_eq!(error.kind(), Kind::NotAllowed);
    assert_eq!(
        error.to_string(),
        "the keys of ClusterTriggerAuthentication redis may not be sent to redis.evil:6379, an \
         address of the trigger's own. Have the object give the address too, or whoever runs \
         backlog-scaler can list the server under kubernetes.clusterAuthenticationServers.redis."
    );
}

#[test]
fn a_trigger_does_not_weaken_what_protects_the_keys_of_the_cluster() {
    let silent = authentication(None, &[PASSWORD]);
    let strict = [
        PASSWORD,
        ("tls", "enable", Provenance::ConfigMap),
        ("sasl", "scram_sha512", Provenance::ConfigMap),
        ("sentinelMaster", "main", Provenance::Secret),
    ];
    let strict = authentication(None, &strict);
    for (authentication, key, value, expected) in [
        (&silent, "tls", "enable", true),
        (&silent, "tls", "disable", false),
        (&silent, "tlsSkipVerify", "true", false),
        (&silent, "tlsSkipVerify", "false", true),
        (&silent, "ca", "-----BEGIN CERTIFICATE-----", false),
        (&silent, "tlsServerName", "evil.example", false),
        (&silent, "sasl", "plaintext", true),
        (&silent, "sentinelMaster", "evil", false),
        (&silent, "databaseIndex", "3", true),
        (&strict, "tls", "enable", true),
        (&strict, "tls", "disable", false),
        (&strict, "sasl", "scram_sha512", true),
        (&strict, "sasl", "plaintext", false),
        (&strict, "sentinelMaster", "main", true),
    ] {
        let joined = authentication.may_be_joined(key, value);
        assert_eq!(joined.is_ok(), expected, "{key}: {value}");
    }
    let error = strict.may_be_joined("tls", "disable").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`tls` of the trigger's own may not decide how the keys of ClusterTriggerAuthentication \
         redis are sent. Have the object give `tls`, from its Secret or a ConfigMap."
    );
    let of_namespace = authentication(Some("shop"), &[PASSWORD]);
    assert!(of_namespace.may_be_joined("tlsSkipVerify", "true").is_ok());
}

#[tokio::test]
async fn the_environment_of_the_scale_target_is_the_trigger_s_own() {
    let kubernetes = without_api_server("redis", &["redis.svc:6379"]).await;
    let server: HostPort = "redis.svc:6379".parse().unwrap();
    let skip = ("tlsSkipVerify", "true", Provenance::Environment);
    let mixed = authentication(None, &[PASSWORD, skip]);
    let error = kubernetes.may_send_to(&mixed, &server).unwrap_err();
    assert!(error.to_string().starts_with("`tlsSkipVerify`"), "{error}");
}

#[tokio::test]
async fn a_token_endpoint_is_an_address_of_the_object() {
    let kubernetes = without_api_server("other", &[]).await;
    let endpoint = "https://id.example/oauth2/token";
    let own = ("oauthTokenEndpointUri", endpoint, Provenance::ConfigMap);
    let own = authentication(None, &[PASSWORD, own]);
    for (server, expected) in [
        ("id.example:443", true),
        ("id.example:80", false),
        ("evil.example:443", false),
    ] {
        let allowed = kubernetes.may_send_to(&own, &server.parse().unwrap());
        assert_eq!(allowed.is_ok(), expected, "{server}");
    }
}

#[tokio::test]
async fn keys_of_the_trigger_s_own_namespace_may_go_anywhere() {
    let kubernetes = without_api_server("other", &[]).await;
    let server: HostPort = "redis.anywhere:6379".parse().unwrap();
    let own = authentication(Some("shop"), &[PASSWORD]);
    assert!(kubernetes.may_send_to(&own, &server).is_ok());
    let of_another = authentication(Some("mail"), &[PASSWORD]);
    assert!(kubernetes.may_send_to(&of_another, &server).is_err());
    let of_target = [("password", "x", Provenance::Environment)];
    let of_target = authentication(None, &of_target);
    assert!(kubernetes.may_send_to(&of_target, &server).is_ok());
}
