//! What KEDA sends of a trigger, as the key of a map.

use std::collections::BTreeMap;

use super::authenticated::Version;
use crate::metadata::TriggerRef;

/// All that KEDA sent, rather than a hash of it, so that no two triggers are confused. One flat
/// buffer, because comparing a map of strings visits a dozen places in memory.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct TriggerKey(pub Box<[u8]>);

impl TriggerKey {
    pub fn of(request: &TriggerRef) -> Self {
        TriggerKey(TriggerKey::bytes(request, 0).into_boxed_slice())
    }

    /// With what an authentication has made of it.
    pub fn with_version(request: &TriggerRef, Version(version): Version) -> Self {
        let version = version.to_ne_bytes();
        let mut key = TriggerKey::bytes(request, size_of::<usize>() + version.len());
        // One text more than a request has.
        key.extend_from_slice(&version.len().to_ne_bytes());
        key.extend_from_slice(&version);
        TriggerKey(key.into_boxed_slice())
    }

    fn bytes(request: &TriggerRef, more: usize) -> Vec<u8> {
        let pairs = || {
            request
                .metadata
                .iter()
                .flat_map(|(key, value)| [key, value])
        };
        let texts = || {
            [&request.namespace, &request.name]
                .into_iter()
                .chain(pairs())
        };
        let length: usize = texts().map(|text| size_of::<usize>() + text.len()).sum();
        let mut key = Vec::with_capacity(length + more);
        for text in texts() {
            // With its length, so that no two maps read the same.
            key.extend_from_slice(&text.len().to_ne_bytes());
            key.extend_from_slice(text.as_bytes());
        }
        key
    }

    /// The metadata map that it was made of.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let mut texts = self.texts().skip(2);
        let mut metadata = BTreeMap::new();
        while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
            metadata.insert(key, value);
        }
        metadata
    }

    /// Namespace, name, and each key with its value.
    fn texts(&self) -> impl Iterator<Item = String> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk()?;
            let (text, after) = after.split_at_checked(usize::from_ne_bytes(*length))?;
            rest = after;
            Some(String::from_utf8_lossy(text).into_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_back_to_the_metadata() {
        let metadata = [
            ("address", "redis:6379"),
            ("listName", ""),
            ("z\0\u{ff}", "é\n"),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let request = TriggerRef {
            namespace: "shop".to_owned(),
            name: "worker".to_owned(),
            metadata: BTreeMap::from(metadata),
        };
        assert_eq!(TriggerKey::of(&request).metadata(), request.metadata);
        let [one, two] = [1, 2].map(|version| TriggerKey::with_version(&request, Version(version)));
        assert_eq!(one.metadata(), request.metadata);
        assert!(one != two && one != TriggerKey::of(&request));
    }
}
