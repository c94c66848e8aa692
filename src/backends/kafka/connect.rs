//! Opening a connection: librdkafka's configuration, and the proof that a broker lets us in.

use std::{sync::Arc, time::Duration};

use rdkafka::ClientConfig;

use super::{
    client::Client, config::Connection, errors, health::Health, native::Handle, progress::Progress,
    sasl::Sasl, token,
};
use crate::{
    backends::pem::plain_key,
    error::{Error, Kind, Result},
    trigger::tls::Tls,
};

/// How the brokers know us, as client and as group. No group of this name is ever joined, but
/// librdkafka 2.12 crashes without one when a group's coordinator has moved: its answer to
/// NOT_COORDINATOR asks the handle's own group for the coordinator (`rd_kafka_handle_OffsetFetch`).
const NAME: &str = "backlog-scaler";

/// Makes a handle and proves it by a request.
pub async fn connect(
    connection: &Connection,
    progress: Arc<Progress>,
    limit: Duration,
) -> Result<Client> {
    let config = config(connection)?;
    let health = Arc::new(Health::new());
    let listener = health.clone();
    // Reading certificates takes a while.
    let made = tokio::task::spawn_blocking(move || Handle::new(&config, listener)).await;
    let handle = made.map_err(|error| {
        let next = "This is a defect of backlog-scaler: please report it with this text.";
        Error::new(Kind::Internal, error.to_string(), next)
    })?;
    let handle = Arc::new(handle.map_err(|error| errors::of_config(&error))?);
    let fall = health.fall();
    let tokens = match &connection.sasl {
        Some(Sasl::OAuth(oauth)) => {
            let ca = connection.tls.as_ref().and_then(|tls| tls.ca.clone());
            Some(token::supply(oauth.clone(), ca, &handle, &health)?)
        }
        _ => None,
    };
    let failure = tokio::select! {
        answer = handle.describe_cluster(limit).answer() => match answer {
            Ok(_) => None,
            // Why is told apart from the request.
            Err(failure) => Some(health.reason().unwrap_or(failure)),
        },
        failure = fall => Some(failure),
    };
    match failure {
        Some(failure) => Err(errors::of_connection(&failure, connection)),
        None => {
            health.well();
            Ok(Client::new(
                handle,
                health,
                progress,
                connection.clone(),
                tokens,
            ))
        }
    }
}

fn config(connection: &Connection) -> Result<ClientConfig> {
    let servers: Vec<String> = connection.servers.iter().map(ToString::to_string).collect();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers.join(","))
        .set("client.id", NAME)
        .set("group.id", NAME)
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("socket.keepalive.enable", "true")
        // A broker that comes back is found within a second.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        // Why a broker hung up is told in the log alone: at level 6, and on our queue.
        .set("log_level", "6")
        .set("log.queue", "true");
    let protocol = match (&connection.sasl, &connection.tls) {
        (None, None) => "plaintext",
        (None, Some(_)) => "ssl",
        (Some(_), None) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    match &connection.sasl {
        Some(Sasl::Password {
            mechanism,
            username,
            password,
        }) => {
            config
                .set("sasl.mechanisms", *mechanism)
                .set("sasl.username", username)
                .set("sasl.password", password.expose());
        }
        Some(Sasl::OAuth(_)) => {
            config.set("sasl.mechanisms", "OAUTHBEARER");
        }
        None => {}
    }
    if let Some(tls) = &connection.tls {
        set_tls(&mut config, tls)?;
    }
    Ok(config)
}

fn set_tls(config: &mut ClientConfig, tls: &Tls) -> Result<()> {
    match &tls.ca {
        Some(ca) => config.set("ssl.ca.pem", ca),
        // The system's, wherever the distribution keeps them.
        None => config.set("ssl.ca.location", "probe"),
    };
    if tls.skip_verify {
        config.set("enable.ssl.certificate.verification", "false");
    }
    if let Some(identity) = &tls.identity {
        config.set("ssl.certificate.pem", &identity.cert);
        config.set("ssl.key.pem", plain_key(identity)?.expose());
        // PKCS#8 is decrypted by now; OpenSSL's own older form of encryption is not.
        if let Some(password) = &identity.key_password {
            config.set("ssl.key.password", password.expose());
        }
    }
    Ok(())
}
