//! What a server of known settings means for a trigger: a connection that there is, and TLS.

use super::{
    existing,
    plan::{Auth, Plan, Trigger},
    rewrite::Migrator,
    written::{Written, backend_of},
};
use crate::{sampling::TypeKeys, settings::ServerTls};

impl Migrator<'_> {
    /// The name of a connection of the settings with the address and the login of a trigger. The plan then
    /// has its keys go.
    pub fn existing(
        &self,
        keys: &TypeKeys,
        namespace: &str,
        trigger: &Trigger<'_>,
        plan: &mut Plan,
    ) -> Option<String> {
        let server = self.options.server.as_ref()?;
        let authentication = match trigger.authentication {
            Auth::Known(reference, authentication) => Some((reference, authentication)),
            _ => None,
        };
        let written = Written::of(keys, &trigger.metadata, authentication, plan);
        let name = existing::find(server, namespace, &backend_of(keys), &written)?;
        written.leave(plan);
        let elsewhere = written.elsewhere();
        let unseen = match elsewhere.is_empty() {
            true => String::new(),
            false => format!(
                "; that {} is the same cannot be seen here",
                elsewhere.join(", ")
            ),
        };
        plan.notes.push(format!(
            "connection: `{name}` of the settings has this address and login{unseen}"
        ));
        Some(name)
    }
}

/// What KEDA needs for a listener with TLS (`pkg/scalers/external_scaler.go`: `enableTLS` in the metadata,
/// the others in the authentication alone).
pub fn tls_note(tls: &ServerTls, authentication: Auth<'_>) -> String {
    let mut note = "enableTLS: added, as the settings have listen.tls".to_owned();
    let mut needed = vec!["caCert"];
    if tls.client_ca_file.is_some() {
        needed.extend(["tlsClientCert", "tlsClientKey"]);
    }
    needed.retain(|key| !authentication.has(key));
    if !needed.is_empty() {
        let needed = needed.join(", ");
        note += &format!(
            "; KEDA takes {needed} from the trigger's TriggerAuthentication, and without caCert trusts the \
             authorities of its own image"
        );
    }
    note
}
