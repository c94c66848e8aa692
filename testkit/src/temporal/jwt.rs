//! Tokens as the server's default claim mapper reads them: JWTs, signed with ES256.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use tempfile::TempDir;

use crate::process;

/// Tokens of a server, and the key set by which it knows them.
pub struct Tokens {
    pub key_set: PathBuf,
    pub admin: String,
    /// May read the namespace `default`.
    pub reader: String,
    /// The same, but a minute ago.
    pub expired: String,
    /// The same, but signed by somebody else.
    pub forged: String,
    key: KeyPair,
    _dir: TempDir,
}

impl Tokens {
    pub fn generate() -> Self {
        let dir = process::directory();
        let key = KeyPair::generate().expect("a P-256 key");
        let other = KeyPair::generate().expect("a P-256 key");
        // An uncompressed point: a byte, then both coordinates.
        let point = key.der_bytes();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        let key_set = dir.path().join("keys.json");
        let keys = serde_json::json!({"keys": [
            {"kty": "EC", "use": "sig", "alg": "ES256", "crv": "P-256", "kid": "test", "x": x, "y": y}
        ]});
        fs::write(&key_set, keys.to_string()).expect("a key set");
        let hour = 3600;
        Tokens {
            key_set,
            admin: token(&key, &["temporal-system:admin", "system:admin"], hour),
            reader: token(&key, &["default:read"], hour),
            expired: token(&key, &["default:read"], -60),
            forged: token(&other, &["default:read"], hour),
            key,
            _dir: dir,
        }
    }

    /// Another one that may read the namespace `default`, for so long.
    pub fn reader_for(&self, lifetime: Duration) -> String {
        let seconds = i64::try_from(lifetime.as_secs()).expect("a lifetime");
        token(&self.key, &["default:read"], seconds)
    }
}

fn token(key: &KeyPair, permissions: &[&str], expires_in: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let now = i64::try_from(now.as_secs()).expect("this century");
    let header = serde_json::json!({"alg": "ES256", "typ": "JWT", "kid": "test"});
    let claims = serde_json::json!({
        "sub": "test", "permissions": permissions, "iat": now - 120, "exp": now + expires_in,
    });
    let signed = [header, claims]
        .map(|part| BASE64.encode(part.to_string()))
        .join(".");
    let signature = key.sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", BASE64.encode(both_numbers(&signature)))
}

/// A DER signature is SEQUENCE { INTEGER r, INTEGER s }; a JWS has both as 32 bytes.
fn both_numbers(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut numbers = Vec::with_capacity(64);
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let digits = &number[number.len().saturating_sub(32)..];
        numbers.resize(numbers.len() + 32 - digits.len(), 0);
        numbers.extend_from_slice(digits);
        rest = &rest[2 + length..];
    }
    numbers
}
