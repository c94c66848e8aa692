//! SASL GSSAPI: logging in with a Kerberos ticket (RFC 4752).
//!
//! MIT's library contacts the ticket server itself and blocks meanwhile, so its calls run on threads
//! for that. It reads `/etc/krb5.conf`, or what `KRB5_CONFIG` names.

use std::time::Duration;

use libgssapi::{
    context::{ClientCtx, CtxFlags, SecurityContext},
    credential::{Cred, CredUsage},
    name::Name,
    oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet},
};

use super::{BrokerConnection, BrokerError, refused, show, ticket};
use crate::backends::kafka::sasl::{Kerberos, Proof};

/// The layers that a broker offers after the ticket: only its messages would be protected by the
/// others, and Kafka has none.
const NO_LAYER: u8 = 1;

/// Shows a ticket for the broker on `host`.
pub async fn log_in(
    connection: &BrokerConnection,
    host: &str,
    kerberos: &Kerberos,
) -> Result<Duration, BrokerError> {
    let (kerberos, host) = (kerberos.clone(), host.to_owned());
    let mut exchange = blocking(move || Exchange::new(&kerberos, &host)).await?;
    let mut challenge = None;
    loop {
        let (next, message) = blocking(move || exchange.step(challenge)).await?;
        exchange = next;
        let (response, lifetime) = show(connection, message.into()).await?;
        if matches!(exchange.stage, Stage::Done) {
            return Ok(lifetime);
        }
        challenge = Some(response.to_vec());
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, BrokerError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(error.to_string()));
    done.map_err(|error| refused(format!("Kerberos: {error}")))
}

/// What goes back and forth.
struct Exchange {
    context: ClientCtx,
    stage: Stage,
}

enum Stage {
    /// Tickets are exchanged.
    Tickets,
    /// The broker offers layers.
    Layer,
    Done,
}

impl Exchange {
    fn new(kerberos: &Kerberos, host: &str) -> Result<Self, String> {
        let service = format!("{}@{host}", kerberos.service);
        let service = Name::new(service.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE));
        let service = service.map_err(|error| error.to_string())?;
        let flags = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
        let credential = credential(kerberos)?;
        Ok(Exchange {
            context: ClientCtx::new(Some(credential), service, flags, Some(GSS_MECH_KRB5)),
            stage: Stage::Tickets,
        })
    }

    fn step(mut self, challenge: Option<Vec<u8>>) -> Result<(Self, Vec<u8>), String> {
        let message = match self.stage {
            Stage::Tickets => {
                let token = self.context.step(challenge.as_deref(), None);
                let token = token.map_err(|error| error.to_string())?;
                if self.context.is_complete() {
                    self.stage = Stage::Layer;
                }
                token.map_or_else(Vec::new, |token| token.to_vec())
            }
            Stage::Layer | Stage::Done => {
                let offer = self.context.unwrap(&challenge.unwrap_or_default());
                let offer = offer.map_err(|error| error.to_string())?;
                if offer.first().is_none_or(|layers| layers & NO_LAYER == 0) {
                    return Err("the broker insists on a layer that Kafka does not have".into());
                }
                self.stage = Stage::Done;
                // That layer, and no messages of any size in it.
                let choice = self.context.wrap(false, &[NO_LAYER, 0, 0, 0]);
                choice.map_err(|error| error.to_string())?.to_vec()
            }
        };
        Ok((self, message))
    }
}

fn credential(kerberos: &Kerberos) -> Result<Cred, String> {
    let password = match &kerberos.proof {
        Proof::Password(password) => password,
        Proof::Keytab(keytab) => return ticket::from_keytab(&kerberos.principal, keytab),
        Proof::Cache(path) => return ticket::from_cache(&kerberos.principal, path),
    };
    let principal = Name::new(kerberos.principal.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL));
    let principal = principal.map_err(|error| error.to_string())?;
    let mut kerberos5 = OidSet::new();
    let added = kerberos5.add(GSS_MECH_KRB5);
    added.map_err(|error| error.to_string())?;
    let (usage, mechanisms) = (CredUsage::Initiate, Some(&kerberos5));
    Cred::acquire_with_password(Some(&principal), password.expose(), None, usage, mechanisms)
        .map_err(|error| error.to_string())
}
