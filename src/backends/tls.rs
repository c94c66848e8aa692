//! TLS to a backend, with rustls, and what its failures mean.

use std::sync::Arc;

use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, SecretDocument};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use crate::{
    error::{Error, Kind, Result},
    metadata::{
        problem::Problem,
        tls::{Identity, Tls},
        values::{HostPort, Secret},
    },
};

/// The configuration of a client that offers these protocols (ALPN).
pub fn client_config(tls: &Tls, protocols: &[&[u8]]) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("tls", error))?;
    let builder = match tls.skip_verify {
        true => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        false => builder.with_root_certificates(roots(tls)?),
    };
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates("cert", &identity.cert)?;
            let key = plain_key(identity)?;
            let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                .map_err(|_| problem("key", "is not a private key in PEM"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => problem("key", "does not fit `cert`"),
                    error => invalid("cert", error),
                })?
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// The name that the server's certificate must carry; `key` says where the server is.
pub fn server_name(tls: &Tls, key: &str, server: &HostPort) -> Result<ServerName<'static>> {
    let (key, name) = match &tls.server_name {
        Some(name) => ("tlsServerName", name),
        None => (key, &server.host),
    };
    ServerName::try_from(name.clone())
        .map_err(|_| Problem::value(key, name, "is not a host name").into())
}

fn roots(tls: &Tls) -> Result<RootCertStore> {
    let Some(ca) = &tls.ca else {
        return system_roots();
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", ca)? {
        roots
            .add(certificate)
            .map_err(|error| invalid("ca", error))?;
    }
    Ok(roots)
}

/// The certificates that the system trusts.
fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(found.certs) {
        (0, _) => Err(Error::new(
            Kind::Invalid,
            "tls: this system has no certificate authorities to trust",
            "Give the server's authority as ca, or install the system's (ca-certificates).",
        )),
        _ => Ok(roots),
    }
}

fn certificates(key: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(problem(key, "is not a certificate in PEM")),
    }
}

fn problem(key: &str, reason: &str) -> Error {
    Problem::key(key, reason).into()
}

fn invalid(key: &str, error: impl std::fmt::Display) -> Error {
    problem(key, &format!("cannot be used: {error}"))
}

/// What to do when the TLS handshake fails.
pub const HANDSHAKE_ADVICE: &str = "Check that ca is the authority of the server's certificate, that \
    the certificate carries the server's name (or set tlsServerName), and cert and key if the server \
    asks for a client certificate.";
/// What to do when a server responses TLS without TLS.
pub const NOT_TLS_ADVICE: &str =
    "The port does not speak TLS: leave out `tls`, or use the port with TLS.";
/// What to do when a server responses plain text with TLS.
pub const NEEDS_TLS_ADVICE: &str = "Set `tls: enable`, or use the port without TLS.";

/// Accepts whatever certificate: `tlsSkipVerify`.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// PEM label of a PKCS#8 key that a password protects (RFC 7468, section 11).
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// The identity's private key as plain PEM: rustls does not read encrypted keys.
pub fn plain_key(identity: &Identity) -> Result<Secret> {
    let pem = identity.key.expose();
    if !pem.contains(ENCRYPTED) {
        return Ok(identity.key.clone());
    }
    let Some(password) = &identity.key_password else {
        let reason = "is required, as `key` is encrypted";
        return Err(Problem::key("keyPassword", reason).into());
    };
    let (_, document) = SecretDocument::from_pem(pem).map_err(|_| unreadable())?;
    let encrypted =
        EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| unreadable())?;
    let plain = encrypted.decrypt(password.expose()).map_err(|error| {
        Error::new(
            Kind::Invalid,
            format!("key: cannot be decrypted with `keyPassword` ({error})"),
            "Check the password, and that the key is PKCS#8 with PBES2 (openssl pkcs8 -topk8).",
        )
    })?;
    let plain = plain
        .to_pem("PRIVATE KEY", LineEnding::LF)
        .map_err(|_| unreadable())?;
    Ok(Secret::from(plain.as_str()))
}

fn unreadable() -> Error {
    problem("key", "is not an encrypted PKCS#8 key in PEM")
}
