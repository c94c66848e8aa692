//! Private keys: encrypted ones are decrypted here, as rustls reads only plain ones.

use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, SecretDocument};

use crate::{
    error::{Error, Kind, Result},
    metadata::{
        problem::{Problem, Problems},
        tls::Identity,
        values::Secret,
    },
};

/// PEM label of a PKCS#8 key that a password protects (RFC 7468, section 11).
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// The identity's private key as plain PEM.
pub fn plain_key(identity: &Identity) -> Result<Secret> {
    let pem = identity.key.expose();
    if !pem.contains(ENCRYPTED) {
        return Ok(identity.key.clone());
    }
    let Some(password) = &identity.key_password else {
        let reason = "is required, as `key` is encrypted";
        return Err(Problems::from(Problem::key("keyPassword", reason)).into());
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
    let problem = Problem::key("key", "is not an encrypted PKCS#8 key in PEM");
    Problems::from(problem).into()
}
