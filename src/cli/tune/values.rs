//! Values to try: as arguments name them, and as the search takes them by itself.

/// Keys of `--try`, with their values if it names some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    pub key: String,
    pub values: Option<Values>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// `20,50,100`.
    List(Vec<String>),
    /// `20..100`, both included.
    Range(u64, u64),
}

/// As a value: without the key.
pub const NONE: &str = "none";

const MOST_VALUES: usize = 1_000;

impl Try {
    /// Of an argument.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected KEY, KEY=VALUE,VALUE,… or KEY=FROM..UNTIL, as listLength=20,50";
        let (key, values) = match text.split_once('=') {
            Some((key, values)) => (key, Some(values)),
            None => (text, None),
        };
        let key = key.trim();
        if key.is_empty() {
            return Err(expected.to_owned());
        }
        let values = match values {
            None => None,
            Some(values) => Some(match values.split_once("..") {
                Some((from, until)) => range(from.trim(), until.trim())?,
                None => list(values).ok_or(expected)?,
            }),
        };
        Ok(Try {
            key: key.to_owned(),
            values,
        })
    }
}

fn list(text: &str) -> Option<Values> {
    let mut values = Vec::new();
    for value in text.split(',').map(str::trim) {
        if value.is_empty() || values.len() == MOST_VALUES {
            return None;
        }
        if !values.iter().any(|known| known == value) {
            values.push(value.to_owned());
        }
    }
    Some(Values::List(values))
}

fn range(from: &str, until: &str) -> Result<Values, String> {
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse::<u32>().ok().filter(|_| digits);
        number.ok_or_else(|| format!("`{text}` is not a whole number, as in 20..100"))
    };
    let (from, until) = (number(from)?, number(until)?);
    match from < until {
        true => Ok(Values::Range(from.into(), until.into())),
        false => Err(format!("{from}..{until} is empty")),
    }
}

/// Steps of about a quarter, of numbers that people would choose.
const STEPS: [u64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
/// So many are all tried.
const FEW: u64 = 20;

/// Whole numbers from one until another, evenly by their ratio; both ends are among them.
pub fn round_numbers(from: u64, until: u64) -> Vec<u64> {
    if until.saturating_sub(from) < FEW {
        return (from..=until).collect();
    }
    let mut numbers = vec![from, until];
    let mut next = Some(1_u64);
    while let Some(decade) = next.filter(|decade| *decade <= until) {
        let all = STEPS.iter().map(|step| step.saturating_mul(decade));
        // Of tenths, those that are whole.
        let whole = all.filter(|tenths| tenths % 10 == 0);
        let numbers_of_decade = whole.map(|tenths| tenths / 10);
        numbers.extend(numbers_of_decade.filter(|number| (from..=until).contains(number)));
        next = decade.checked_mul(10);
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_a_list_or_a_range() {
        let parsed = |text: &str| Try::parse(text).map(|parsed| (parsed.key, parsed.values));
        let list = |values: &[&str]| {
            let values = values.iter().map(|value| value.to_string());
            Some(Values::List(values.collect()))
        };
        for (text, values) in [
            ("listLength", None),
            ("listLength=20", list(&["20"])),
            (" listLength = 20, 50,20", list(&["20", "50"])),
            ("listLength=20..100", Some(Values::Range(20, 100))),
            ("scaleDownBelow=none,2.5", list(&["none", "2.5"])),
        ] {
            assert_eq!(
                parsed(text),
                Ok(("listLength".to_owned(), values)).map(|(key, values)| {
                    let key = if text.contains("Below") {
                        "scaleDownBelow".to_owned()
                    } else {
                        key
                    };
                    (key, values)
                })
            );
        }
        let many = format!("a={}", vec!["1"; MOST_VALUES + 2].join(","));
        assert_eq!(
            parsed(&many),
            Ok(("a".to_owned(), list(&["1"]))),
            "they are one"
        );
        let numbers: Vec<String> = (0..=MOST_VALUES).map(|n| n.to_string()).collect();
        let many = format!("a={}", numbers.join(","));
        for text in [
            "",
            "=1",
            "a=",
            "a=1,",
            "a=,1",
            "a=1..",
            "a=..",
            "a=5..1",
            "a=1..x",
            "a=1..1",
            "a=-1..3",
            "a=1..99999999999",
            &many,
        ] {
            assert!(Try::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_round_and_few() {
        assert_eq!(round_numbers(3, 9), [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(
            round_numbers(7, 170),
            [
                7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 170
            ]
        );
        assert_eq!(round_numbers(0, 60)[..8], [0, 1, 2, 3, 4, 5, 6, 8]);
        let all = round_numbers(0, u64::from(u32::MAX));
        assert!(all.len() < 110, "{}", all.len());
        assert!(round_numbers(0, u64::MAX).len() < 220);
    }
}
