//! Kerberos: its keys, and what they become where the build has it.

#[cfg(feature = "gssapi")]
use std::{fmt, path::Path};

#[cfg(feature = "gssapi")]
use base64::{Engine, prelude::BASE64_STANDARD};

use super::Sasl;
use crate::metadata::{
    problem::{Problem, Problems},
    values::Secret,
};

/// A Kerberos principal and how it gets tickets.
#[cfg(feature = "gssapi")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kerberos {
    /// `user@REALM`.
    pub principal: String,
    /// The first part of the brokers' principals.
    pub service: String,
    pub proof: Proof,
}

/// What proves a principal.
#[cfg(feature = "gssapi")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Proof {
    Password(Secret),
    /// The content of a keytab.
    Keytab(Vec<u8>),
    /// A file with tickets that somebody else renews.
    Cache(std::path::PathBuf),
}

#[cfg(feature = "gssapi")]
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proof::Password(_) => f.write_str("Password"),
            Proof::Keytab(_) => f.write_str("Keytab"),
            Proof::Cache(path) => write!(f, "Cache({})", path.display()),
        }
    }
}

/// Where KEDA keeps credential caches.
#[cfg(feature = "gssapi")]
const CACHES: &str = "/tmp/kerberos/ccache";

/// The one proof that is given.
#[cfg(feature = "gssapi")]
fn proof(
    password: Option<Secret>,
    keytab: Option<Secret>,
    cache: Option<String>,
) -> Result<Proof, Problem> {
    match (password, keytab, cache) {
        (Some(password), None, None) => Ok(Proof::Password(password)),
        (None, Some(keytab), None) => match BASE64_STANDARD.decode(keytab.expose().trim()) {
            Ok(keytab) => Ok(Proof::Keytab(keytab)),
            Err(_) => Err(Problem::key("keytab", "must be the keytab in base64")),
        },
        (None, None, Some(name)) if is_file_name(&name) => {
            Ok(Proof::Cache(Path::new(CACHES).join(name)))
        }
        (None, None, Some(name)) => {
            let reason = format!("must be the name of a file in {CACHES}");
            Err(Problem::value("ccacheName", name, reason))
        }
        _ => {
            let reason = "or keytab or ccacheName is required with `sasl: gssapi`, and only one";
            Err(Problem::key("password", reason))
        }
    }
}

#[cfg(feature = "gssapi")]
fn is_file_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name)
}

/// The keys of Kerberos, as given.
pub struct KerberosKeys {
    pub keytab: Option<Secret>,
    pub ccache_name: Option<String>,
    pub realm: Option<String>,
    pub config: Option<String>,
    pub service_name: Option<String>,
    pub disable_fast: bool,
}

impl KerberosKeys {
    /// The keys, and whether they are given.
    pub fn given(&self) -> [(&'static str, bool); 6] {
        [
            ("keytab", self.keytab.is_some()),
            ("ccacheName", self.ccache_name.is_some()),
            ("realm", self.realm.is_some()),
            ("kerberosConfig", self.config.is_some()),
            ("kerberosServiceName", self.service_name.is_some()),
            ("kerberosDisableFAST", self.disable_fast),
        ]
    }

    /// Checks the keys against each other, as KEDA does.
    #[cfg(feature = "gssapi")]
    pub fn check(
        self,
        username: Option<String>,
        password: Option<Secret>,
    ) -> Result<Sasl, Problems> {
        let mut problems = Problems::default();
        let required = |key| Problem::key(key, "is required with `sasl: gssapi`");
        if self.config.is_some() {
            let reason = "cannot be set for one connection: put it into /etc/krb5.conf, or name \
                          its file in KRB5_CONFIG where the server starts";
            problems.push(Problem::key("kerberosConfig", reason));
        }
        for (key, missing) in [
            ("username", username.is_none()),
            ("realm", self.realm.is_none()),
        ] {
            if missing {
                problems.push(required(key));
            }
        }
        let proof = proof(password, self.keytab, self.ccache_name);
        let proof = proof.map_err(|problem| problems.push(problem)).ok();
        problems.into_result()?;
        match (username, self.realm, proof) {
            (Some(user), Some(realm), Some(proof)) => Ok(Sasl::Kerberos(Kerberos {
                principal: format!("{user}@{realm}"),
                service: self.service_name.unwrap_or_else(|| "kafka".to_owned()),
                proof,
            })),
            _ => unreachable!("what is missing is a problem"),
        }
    }

    /// What is missing here, and how to get it.
    #[cfg(not(feature = "gssapi"))]
    pub fn check(self, _: Option<String>, _: Option<Secret>) -> Result<Sasl, Problems> {
        let reason = "is not part of this build: build with `cargo build --release --features \
                      gssapi` (Debian: libkrb5-dev, libclang-dev), or use SCRAM";
        Err(Problem::value("sasl", "gssapi", reason).into())
    }
}
