//! Certificates for TLS tests: a CA with a server and a client, and a stranger from another CA.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// One PEM document, as text and as the file that holds it.
#[derive(Clone)]
pub struct Pem {
    pub text: String,
    pub path: PathBuf,
}

/// A certificate and its private key (EC P-256, PKCS#8, not encrypted).
#[derive(Clone)]
pub struct Identity {
    pub cert: Pem,
    pub key: Pem,
}

/// What both ends of a TLS connection need, and what they must refuse.
#[derive(Clone)]
pub struct Certs {
    /// The CA that signed `server` and `client`.
    pub ca: Pem,
    /// Names localhost, 127.0.0.1 and ::1. Good as a client's too: servers also call one another.
    pub server: Identity,
    pub client: Identity,
    /// As `server`, and expired.
    pub expired: Identity,
    /// A CA that signed neither: whoever trusts only this one refuses the server.
    pub other_ca: Pem,
    /// A client signed by `other_ca`: a server that trusts only `ca` refuses it.
    pub stranger: Identity,
}

impl Certs {
    /// Writes new certificates into `dir`, which must exist and must outlive their use as files.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub fn generate(dir: impl AsRef<Path>) -> Self {
        let dir = dir.as_ref();
        let ca = Authority::new("test CA");
        let other = Authority::new("other test CA");
        Self {
            server: ca.identity(dir, "server", &["localhost", "127.0.0.1", "::1"]),
            client: ca.identity(dir, "client", &["client"]),
            expired: ca.expired(dir, "expired", &["localhost", "127.0.0.1", "::1"]),
            stranger: other.identity(dir, "stranger", &["stranger"]),
            ca: Pem::write(dir.join("ca.crt"), ca.pem),
            other_ca: Pem::write(dir.join("other-ca.crt"), other.pem),
        }
    }
}

impl Pem {
    fn write(path: PathBuf, text: String) -> Self {
        fs::write(&path, &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { text, path }
    }
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a new key");
        let cert = params.self_signed(&key).expect("a self-signed CA");
        Self {
            pem: cert.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn identity(&self, dir: &Path, name: &str, subject_alt_names: &[&str]) -> Identity {
        self.signed(dir, name, named(name, subject_alt_names))
    }

    fn expired(&self, dir: &Path, name: &str, subject_alt_names: &[&str]) -> Identity {
        let mut params = named(name, subject_alt_names);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        self.signed(dir, name, params)
    }

    fn signed(&self, dir: &Path, name: &str, mut params: CertificateParams) -> Identity {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a new key");
        let cert = params
            .signed_by(&key, &self.issuer)
            .expect("a signed certificate");
        Identity {
            cert: Pem::write(dir.join(format!("{name}.crt")), cert.pem()),
            key: Pem::write(dir.join(format!("{name}.key")), key.serialize_pem()),
        }
    }
}

fn named(common_name: &str, subject_alt_names: &[&str]) -> CertificateParams {
    let names: Vec<String> = subject_alt_names.iter().map(|n| n.to_string()).collect();
    let mut params = CertificateParams::new(names).expect("valid names");
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}
