//! A map of strings → typed keys. Strings become what the declared struct says; everything that
//! is wrong is found at once.

use std::{collections::BTreeMap, hash::Hasher};

use serde::{
    Deserializer,
    de::{DeserializeOwned, IntoDeserializer, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};

use super::{
    problem::{Problem, Problems},
    schema::{Key, KeySet, nearest},
    tls::PEM_KEYS,
    values::without_login,
};

/// Keys of a trigger that are KEDA's own: they describe the hop from KEDA to this server, never the
/// backend (`pkg/scalers/external_scaler.go`).
pub const KEDAS_OWN: [&str; 6] = [
    "scalerAddress",
    "enableTLS",
    "unsafeSsl",
    "caCert",
    "tlsClientCert",
    "tlsClientKey",
];

/// KEDA resolves `xFromEnv` from the scale target's container environment and sends the value
/// under that very name.
pub const FROM_ENV: &str = "FromEnv";

/// The key that a user means who wrote `xFromEnv`.
pub fn base_of(written: &str) -> &str {
    written.strip_suffix(FROM_ENV).unwrap_or(written)
}

/// The keys of one map that are known and have a value, and what is wrong with the others.
#[derive(Clone, Debug)]
pub struct Metadata<'a> {
    entries: BTreeMap<&'a str, Entry<'a>>,
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    /// The key as the user wrote it, perhaps with `FromEnv`.
    written: &'a str,
    value: &'a str,
}

impl std::fmt::Debug for Entry<'_> {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.written)
    }
}

impl<'a> Metadata<'a> {
    /// Sorts the entries of a map into known keys and problems. As in KEDA, the white space around a
    /// value is trimmed, and a blank value counts as left out (`typed_config.go`, configParamValue):
    /// folded YAML and secrets often end in a line break.
    pub fn new(map: &'a BTreeMap<String, String>, known: &[&KeySet]) -> (Self, Problems) {
        let find = |name: &str| known.iter().find_map(|keys| keys.get(name));
        let is_known = |name: &str| find(name).is_some();
        let mut entries = BTreeMap::<&str, Entry>::new();
        let mut problems = Problems::default();
        // The known keys are listed once for all that have no near one.
        let mut listed = false;
        for (written, value) in map {
            let value = value.trim();
            if KEDAS_OWN.contains(&written.as_str()) {
                continue;
            }
            let base = written.strip_suffix(FROM_ENV).filter(|base| is_known(base));
            let name = if is_known(written) {
                Some(written.as_str())
            } else {
                base
            };
            match name {
                None => problems.push(unknown(written, known, &mut listed)),
                Some(_) if value.is_empty() => {}
                // The map is sorted: `x` comes before `xFromEnv`.
                Some(name) if entries.contains_key(name) => {
                    problems.push(Problem::exclusive(written, name));
                }
                Some(name) => {
                    if let Some(reason) = find(name).and_then(|key| unfit(key, value)) {
                        problems.push(Problem::key(written, reason));
                    }
                    entries.insert(name, Entry { written, value });
                }
            }
        }
        (Metadata { entries }, problems)
    }

    /// The value of a key.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.entries.get(name).map(|entry| entry.value)
    }

    /// The given keys of a set with their values, but for secrets.
    pub fn shown(&self, keys: &KeySet) -> String {
        let shown = keys.0.iter().filter(|key| !key.secret);
        let pairs = shown.filter_map(|key| Some((&key.name, self.get(&key.name)?)));
        let pairs = pairs.map(|(name, value)| format!("{name}={}", without_login(value)));
        pairs.collect::<Vec<_>>().join(" ")
    }

    /// The keys of a set that are given, as written.
    pub fn given<'b>(&'b self, keys: &'b KeySet) -> impl Iterator<Item = &'a str> + use<'a, 'b> {
        keys.names()
            .filter_map(|name| self.entries.get(name).map(|entry| entry.written))
    }

    /// A short hash of all values but secrets. It is fixed, like that of a metric's name.
    pub fn fingerprint(&self, known: &[&KeySet]) -> u32 {
        let is_secret = |name: &str| {
            let key = known.iter().find_map(|keys| keys.get(name));
            key.is_some_and(|key| key.secret)
        };
        let mut hasher = fnv::FnvHasher::default();
        for (name, entry) in &self.entries {
            if !is_secret(name) {
                hasher.write(format!("{name}={}\n", entry.value).as_bytes());
            }
        }
        let hash = hasher.finish();
        (hash >> 32) as u32 ^ hash as u32
    }

    /// Parses the declared keys of `T`. All values that cannot be parsed are reported at once.
    pub fn parse<T: DeserializeOwned>(&self, keys: &KeySet) -> Result<T, Problems> {
        let mut entries = self.entries.clone();
        entries.retain(|name, _| keys.get(name).is_some());
        let mut problems = Problems::default();
        loop {
            let values = entries
                .iter()
                .map(|(name, entry)| (*name, Text(entry.value)));
            let map = MapDeserializer::<_, serde::de::value::Error>::new(values);
            let error = match serde_path_to_error::deserialize::<_, T>(map) {
                Ok(parsed) => return problems.into_result().map(|()| parsed),
                Err(error) => error,
            };
            let name = error.path().to_string();
            let reason = error.into_inner().to_string();
            let Some((name, entry)) = entries.remove_entry(name.as_str()) else {
                // A missing key: its absence may be our own doing, if its value was bad.
                if problems.0.is_empty()
                    || !missing(&reason).is_some_and(|key| self.entries.contains_key(key))
                {
                    problems.push(self.missing_problem(&reason));
                }
                return Err(problems);
            };
            let secret = keys.get(name).is_some_and(|key| key.secret);
            problems.push(match secret {
                true => Problem::key(
                    entry.written,
                    "is not valid; its value is a secret and not shown",
                ),
                false => Problem::value(entry.written, entry.value, reason),
            });
        }
    }

    fn missing_problem(&self, reason: &str) -> Problem {
        match missing(reason) {
            Some(key) => Problem::key(key, "is required"),
            None => Problem::key("metadata", reason),
        }
    }
}

/// The key that serde found missing.
fn missing(reason: &str) -> Option<&str> {
    reason.strip_prefix("missing field `")?.strip_suffix('`')
}

/// Longer values than this are refused, but for PEM: what names a queue is part of log lines, errors
/// and metrics.
const LONGEST_VALUE: usize = 32 * 1024;

/// What is wrong with a value, whatever its type.
fn unfit(key: &Key, value: &str) -> Option<String> {
    if key.secret || PEM_KEYS.contains(&key.name.as_str()) {
        return None;
    }
    if value.len() > LONGEST_VALUE {
        let length = value.len();
        return Some(format!(
            "has {length} bytes; at most {LONGEST_VALUE} are allowed"
        ));
    }
    value
        .contains(char::is_control)
        .then(|| "contains a line break or another control character".to_owned())
}

fn unknown(written: &str, known: &[&KeySet], listed: &mut bool) -> Problem {
    let base = base_of(written);
    let names = known.iter().flat_map(|keys| keys.names());
    // Of a trigger, KEDA's own keys are known as well.
    let kedas = KEDAS_OWN.into_iter().filter(|_| is_of_trigger(known));
    let names = names.chain(kedas);
    Problem::key(
        written,
        match nearest(base, names) {
            Some(name) => format!("unknown key; did you mean `{name}`?"),
            None if std::mem::replace(listed, true) => "unknown key".to_owned(),
            None => format!("unknown key; {}", grouped(known)),
        },
    )
}

/// The first keys of the sets that are the same for every backend.
const COMMON: &str = "backend";
const TLS: &str = "tls";
/// So many keys of a group are listed.
const LISTED: usize = 8;

fn is_of_trigger(known: &[&KeySet]) -> bool {
    known.iter().any(|keys| keys.names().next() == Some(COMMON))
}

/// The known keys in groups: those of what is measured and of the connection by name, the others by
/// what they are for.
fn grouped(known: &[&KeySet]) -> String {
    let is = |keys: &KeySet, first: &str| keys.names().next() == Some(first);
    // A trigger has keys for what is measured before those of its connection.
    let of_trigger = is_of_trigger(known);
    let mut headings = ["to measure", "of the connection"].into_iter();
    if !of_trigger {
        headings.next();
    }
    let group = |keys: &&KeySet| match () {
        () if is(keys, COMMON) => None,
        () if is(keys, TLS) => Some("of TLS: tls, ca, cert, key and more".to_owned()),
        () => {
            let names: Vec<&str> = keys.names().collect();
            let shown = names.get(..LISTED).unwrap_or(&names).join(", ");
            let more = match names.len().saturating_sub(LISTED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Some(format!("{}: {shown}{more}", headings.next()?))
        }
    };
    let mut groups: Vec<String> = known.iter().filter_map(group).collect();
    if of_trigger {
        groups.push("of every trigger: connection, signal, freshFor and more".to_owned());
    }
    format!(
        "known are, {}. `backlog-scaler keys BACKEND` explains each",
        groups.join("; ")
    )
}

/// A metadata value: text that becomes the type of its field.
#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        // KEDA parses booleans with Go's strconv.ParseBool; these are the spellings that users write.
        match self.0 {
            "true" | "True" | "TRUE" | "1" => visitor.visit_bool(true),
            "false" | "False" | "FALSE" | "0" => visitor.visit_bool(false),
            _ => Err(serde::de::Error::custom("must be true or false")),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de> for Text<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;
    use crate::metadata::values::{Activation, Secret, Target};

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code)]
    struct Keys {
        /// The list.
        list_name: String,
        #[serde(default = "five")]
        list_length: Target,
        #[serde(default)]
        activation: Activation,
        password: Option<Secret>,
        #[serde(default)]
        idle: bool,
    }

    fn five() -> Target {
        Target(5)
    }

    fn parse(pairs: &[(&str, &str)]) -> Result<Keys, String> {
        let map = pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        let keys = KeySet::of::<Keys>();
        let (metadata, problems) = Metadata::new(&map, &[&keys]);
        problems.into_result().map_err(|p| p.to_string())?;
        metadata.parse(&keys).map_err(|p| p.to_string())
    }

    #[test]
    fn strings_become_typed_values_with_their_defaults() {
        let keys = parse(&[("listName", "jobs"), ("idle", "true")]).unwrap();
        assert_eq!((keys.list_length, keys.idle), (Target(5), true));
    }

    #[test]
    fn every_bad_value_is_reported_at_once() {
        let error = parse(&[
            ("listLength", "ten"),
            ("activation", "-1"),
            ("idle", "maybe"),
        ]);
        assert_eq!(
            error.unwrap_err(),
            "activation: `-1` must be a whole number from 0; \
             idle: `maybe` must be true or false; \
             listLength: `ten` must be a whole number from 1; \
             listName: is required"
        );
    }

    #[test]
    fn a_value_from_the_environment_counts_and_its_twin_is_refused() {
        let keys = parse(&[("listName", "jobs"), ("passwordFromEnv", "s3cret")]).unwrap();
        assert_eq!(keys.password.unwrap().expose(), "s3cret");
        let error = parse(&[("listName", "a"), ("listNameFromEnv", "b")]).unwrap_err();
        assert_eq!(
            error,
            "listNameFromEnv: is mutually exclusive with `listName`"
        );
    }

    #[test]
    fn kedas_own_keys_are_ignored_and_others_name_the_nearest() {
        assert!(
            parse(&[
                ("listName", "a"),
                ("scalerAddress", "x:1"),
                ("enableTLS", "t")
            ])
            .is_ok()
        );
        let error = parse(&[("listName", "a"), ("listLenght", "5")]).unwrap_err();
        assert_eq!(error, "listLenght: unknown key; did you mean `listLength`?");
    }

    #[test]
    fn a_key_without_a_near_one_gets_the_known_ones_in_groups() {
        let map = BTreeMap::from([("zzz".to_owned(), String::new())]);
        let keys = KeySet::of::<Keys>();
        let sets = [
            &KeySet::of::<crate::metadata::CommonKeys>(),
            &keys,
            &KeySet::of::<Address>(),
            &KeySet::of::<crate::metadata::tls::TlsKeys>(),
        ];
        let (_, problems) = Metadata::new(&map, &sets);
        assert_eq!(
            problems.to_string(),
            "zzz: unknown key; known are, to measure: listName, listLength, activation, password, idle; \
             of the connection: address; of TLS: tls, ca, cert, key and more; of every trigger: \
             connection, signal, freshFor and more. `backlog-scaler keys BACKEND` explains each"
        );
        let (_, problems) = Metadata::new(&map, &sets[2..]);
        let text = problems.to_string();
        assert!(
            text.contains("known are, of the connection: address; of TLS"),
            "{text}"
        );
    }

    #[test]
    fn of_many_keys_some_are_listed_and_kedas_own_may_be_meant() {
        #[derive(Deserialize, JsonSchema)]
        #[allow(dead_code)]
        struct Many {
            a: u32,
            b: u32,
            c: u32,
            d: u32,
            e: u32,
            f: u32,
            g: u32,
            h: u32,
            i: u32,
            j: u32,
        }
        let map = ["scaleraddress", "zzzzzz"].map(|key| (key.to_owned(), String::new()));
        let sets = [
            &KeySet::of::<crate::metadata::CommonKeys>(),
            &KeySet::of::<Many>(),
        ];
        let (_, problems) = Metadata::new(&BTreeMap::from(map), &sets);
        let text = problems.to_string();
        assert!(text.contains("did you mean `scalerAddress`?"), "{text}");
        assert!(
            text.contains("to measure: a, b, c, d, e, f, g, h and 2 more;"),
            "{text}"
        );
    }

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code)]
    struct Address {
        address: String,
    }

    #[test]
    fn white_space_is_trimmed_and_a_blank_value_counts_as_left_out() {
        for blank in ["", "  ", "\n"] {
            let error = parse(&[("listName", blank)]).unwrap_err();
            assert_eq!(error, "listName: is required");
        }
        let keys = parse(&[
            ("listName", " jobs\n"),
            ("listLength", " 7 "),
            ("password", "s3cret\n"),
        ]);
        let keys = keys.unwrap();
        assert_eq!(
            (keys.list_name.as_str(), keys.list_length),
            ("jobs", Target(7))
        );
        assert_eq!(keys.password.unwrap().expose(), "s3cret");
    }

    #[test]
    fn a_value_that_would_break_a_log_line_is_refused_and_a_secret_may_hold_anything() {
        let error = parse(&[("listName", "jobs\nmail")]).unwrap_err();
        assert_eq!(
            error,
            "listName: contains a line break or another control character"
        );
        let error = parse(&[("listName", &"x".repeat(40_000))]).unwrap_err();
        assert_eq!(
            error,
            "listName: has 40000 bytes; at most 32768 are allowed"
        );
        assert!(parse(&[("listName", "jobs"), ("password", "a\tb\nc")]).is_ok());
    }

    #[test]
    fn keys_are_read_from_the_declaration() {
        let keys = KeySet::of::<Keys>();
        let length = keys.get("listLength").unwrap();
        assert_eq!(length.default.as_deref(), Some("5"));
        assert_eq!(length.allowed, "a whole number from 1");
        assert!(keys.get("password").unwrap().secret);
        assert!(keys.get("listName").unwrap().required);
        assert_eq!(keys.get("listName").unwrap().meaning, "The list.");
    }
}
