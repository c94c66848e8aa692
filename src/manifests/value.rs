//! Nodes → values, as Kubernetes reads them: aliases and `<<` followed, plain scalars by their form.

use serde_json::{Map, Number, Value};

use super::{
    document::Unreadable,
    tree::{Kind, NodeRef, Style, Tag},
};

/// Aliases are written by hand, but a few lines of them can stand for gigabytes.
const MOST_REPEATED: usize = 100_000;
/// As deep as the parser lets a document be without aliases.
const DEEPEST: usize = 512;

impl NodeRef<'_> {
    /// What it holds.
    pub fn value(self) -> Result<Value, Unreadable> {
        let mut reading = Reading {
            repeated: 0,
            aliases: 0,
            depth: 0,
        };
        reading.value(self)
    }

    /// Whether it is `null`, or nothing at all.
    pub fn is_null(self) -> bool {
        scalar(self).is_ok_and(|value| value == Some(Value::Null))
    }

    /// Whether Kubernetes reads a scalar as something else than a text: it has no quotes, and the form
    /// of a number, a truth value or nothing. Its tools read YAML 1.1: `yes` and `0042` are no texts.
    pub fn is_not_text(self) -> bool {
        let Ok(Some(value)) = scalar(self) else {
            return false;
        };
        match value {
            Value::String(text) => {
                let node = self.resolved().node();
                let plain = self.style() == Some(Style::Plain) && node.tag.is_none();
                plain && is_1_1(&text)
            }
            _ => true,
        }
    }
}

/// What goyaml.v2, which kubectl reads with, takes for a truth value or a number beyond YAML 1.2.
fn is_1_1(text: &str) -> bool {
    let words = ["y", "yes", "n", "no", "on", "off"];
    let number = text.trim_start_matches(['+', '-']).replace('_', "");
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let digits = digits && !text.starts_with('_');
    words.iter().any(|word| text.eq_ignore_ascii_case(word)) || digits
}

struct Reading {
    repeated: usize,
    /// How many aliases lead to what is read.
    aliases: usize,
    depth: usize,
}

impl Reading {
    fn value(&mut self, node: NodeRef<'_>) -> Result<Value, Unreadable> {
        let alias = matches!(node.node().kind, Kind::Alias(_));
        self.aliases += usize::from(alias);
        self.repeated += usize::from(self.aliases > 0);
        self.depth += 1;
        let within = self.repeated <= MOST_REPEATED && self.depth <= DEEPEST;
        let value = match within {
            true => self.content(node),
            false => Err(bad(node, "its aliases stand for too much")),
        };
        self.depth -= 1;
        self.aliases -= usize::from(alias);
        value
    }

    fn content(&mut self, node: NodeRef<'_>) -> Result<Value, Unreadable> {
        if let Some(value) = scalar(node)? {
            return Ok(value);
        }
        match node.is_mapping() {
            true => Ok(Value::Object(self.mapping(node)?)),
            false => {
                let items = node.items().map(|item| self.value(item));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
        }
    }

    fn mapping(&mut self, node: NodeRef<'_>) -> Result<Map<String, Value>, Unreadable> {
        let mut map = Map::new();
        for (key, value) in node.entries().filter(|(key, _)| !key.is_merge()) {
            let key = key.text().unwrap_or_default().to_owned();
            map.insert(key, self.value(value)?);
        }
        for (_, merged) in node.entries().filter(|(key, _)| key.is_merge()) {
            let Value::Object(merged) = self.merged(merged)? else {
                return Err(bad(merged, "`<<` needs a map, or a list of maps"));
            };
            for (key, value) in merged {
                map.entry(key).or_insert(value);
            }
        }
        Ok(map)
    }

    /// The mapping that `<<` merges: one, or those of a list, the first of which wins.
    fn merged(&mut self, node: NodeRef<'_>) -> Result<Value, Unreadable> {
        let Value::Array(maps) = self.value(node)? else {
            return self.value(node);
        };
        let mut all = Map::new();
        for map in maps {
            let Value::Object(map) = map else {
                return Err(bad(node, "`<<` needs a map, or a list of maps"));
            };
            for (key, value) in map {
                all.entry(key).or_insert(value);
            }
        }
        Ok(Value::Object(all))
    }
}

fn bad(node: NodeRef<'_>, reason: &str) -> Unreadable {
    Unreadable {
        at: node.span().start,
        reason: format!("not valid YAML: {reason}"),
    }
}

/// The value of a scalar; `None`: it is a collection.
fn scalar(node: NodeRef<'_>) -> Result<Option<Value>, Unreadable> {
    let resolved = node.resolved().node();
    let Kind::Scalar { text, style } = &resolved.kind else {
        return Ok(None);
    };
    let value = match (resolved.tag, style) {
        (None, Style::Plain) => plain(text),
        (None | Some(Tag::Str | Tag::Other), _) => Value::String(text.to_string()),
        (Some(tag), _) => {
            let value = plain(text);
            let fits = match tag {
                Tag::Int => value.is_i64() || value.is_u64(),
                Tag::Float => value.is_number(),
                Tag::Bool => value.is_boolean(),
                _ => value.is_null(),
            };
            if !fits {
                return Err(bad(node, "a value does not fit its tag"));
            }
            value
        }
    };
    Ok(Some(value))
}

/// The core schema of YAML 1.2, but for numbers with leading zeros or underscores: whoever wrote `007`
/// means the text.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix).ok().map(Number::from);
        }
    }
    let has_zeros =
        unsigned.starts_with('0') && unsigned[1..].starts_with(|c: char| c.is_ascii_digit());
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+');
    if has_zeros || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let plus = text.strip_prefix('+').unwrap_or(text);
    if let Ok(number) = plus.parse::<i64>() {
        return Some(number.into());
    }
    if let Ok(number) = plus.parse::<u64>() {
        return Some(number.into());
    }
    let float = plus
        .parse::<f64>()
        .ok()
        .filter(|_| unsigned.chars().all(numeric));
    float.and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifests::File;

    fn value(text: &str) -> Result<Value, Unreadable> {
        let file = File::new("f", text);
        let content = file.documents()[0].content.as_ref();
        content.map_err(Clone::clone)?.root().value()
    }

    #[test]
    fn scalars_are_what_their_form_says() {
        let text = "[1, -2, +3, 1.5, .5, 1e3, 0x1f, 0042, 1_000, 18446744073709551615, true, False, ~, \
                    null, yes, '5', \"a\\nb\", !!str 5, 1.2.3, 1e999, -, .inf]";
        let expected = json!([
            1,
            -2,
            3,
            1.5,
            0.5,
            1000.0,
            31,
            "0042",
            "1_000",
            18446744073709551615_u64,
            true,
            false,
            null,
            null,
            "yes",
            "5",
            "a\nb",
            "5",
            "1.2.3",
            "1e999",
            "-",
            ".inf"
        ]);
        let text = text.replace(" -,", " '-',");
        assert_eq!(value(&text), Ok(expected));
    }

    #[test]
    fn json_is_yaml() {
        let json = r#"{"kind": "ScaledObject", "n": [1, "a\nb"]}"#;
        assert_eq!(value(json).expect("is valid")["n"][1], "a\nb");
    }

    #[test]
    fn aliases_and_merges_are_followed() {
        let text = "base: &base {a: 1, b: 2}\nother: &other {c: 3, b: 4}\n\
                    one: {<<: *base, b: 5}\nmany: {<<: [*base, *other]}\nsame: *base\n";
        let value = value(text).expect("is valid");
        assert_eq!(value["one"], json!({"a": 1, "b": 5}));
        assert_eq!(value["many"], json!({"a": 1, "b": 2, "c": 3}));
        assert_eq!(value["same"], value["base"]);
        assert!(super::tests::value("a: &a {b: *a}").is_err());
        assert!(super::tests::value("a: {<<: 5}").is_err());
    }

    #[test]
    fn what_kubernetes_does_not_read_as_text_is_known() {
        let text = "[5, 'x', yes, \"yes\", 0042, '0042', 1_000, jobs, ~, true, a.b, 1.2.3]";
        let file = File::new("f", text);
        let tree = file.documents()[0].content.as_ref().expect("is valid");
        let found: Vec<bool> = tree.root().items().map(NodeRef::is_not_text).collect();
        let expected = [5, 2, 4, 6, 8, 9].len();
        assert_eq!(
            found.iter().filter(|found| **found).count(),
            expected,
            "{found:?}"
        );
        assert!(found[0] && found[2] && found[4] && found[6] && found[8] && found[9]);
    }

    #[test]
    fn a_tag_that_does_not_fit_is_an_error_without_the_value() {
        let error = value("a: !!int hunter2").expect_err("is not a number");
        assert!(!error.reason.contains("hunter2"), "{error:?}");
    }
}
