//! `partitionLimitation`: which partitions of a topic count, as `1,2,5-8`.

use std::fmt;

use crate::metadata::values::{TextValue, text_value};

/// Partitions, as ranges in ascending order with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PartitionList(Vec<(i32, i32)>);

/// No topic has as many partitions: Kafka clusters as a whole end at about two million.
const LARGEST: i32 = 999_999;
/// More partitions than this in one list are a slip, or one trigger for too much.
const MOST: i64 = 10_000;

impl PartitionList {
    /// Without entries there is no limitation.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every partition of the list.
    pub fn iter(&self) -> impl Iterator<Item = i32> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

impl fmt::Display for PartitionList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl TextValue for PartitionList {
    const ALLOWED: &'static str = "partitions and ranges, such as 1,2,5-8";

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(PartitionList::default());
        }
        let mut ranges = text.split(',').map(range).collect::<Result<Vec<_>, _>>()?;
        ranges.sort_unstable();
        let mut merged: Vec<(i32, i32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        let count: i64 = merged
            .iter()
            .map(|(first, last)| i64::from(last - first) + 1)
            .sum();
        match count > MOST {
            true => Err(format!(
                "stands for {count} partitions; at most {MOST} can be listed"
            )),
            false => Ok(PartitionList(merged)),
        }
    }
}
text_value!(PartitionList);

fn range(entry: &str) -> Result<(i32, i32), String> {
    let entry = entry.trim();
    let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
    let (first, last) = (number(entry, first)?, number(entry, last)?);
    match first <= last {
        true => Ok((first, last)),
        false => Err(format!("has the range {entry}, which is reversed")),
    }
}

fn number(entry: &str, text: &str) -> Result<i32, String> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        let allowed = PartitionList::ALLOWED;
        return Err(format!(
            "has `{entry}`, which is not a partition; it must be {allowed}"
        ));
    }
    let number = text.parse().ok().filter(|number| *number <= LARGEST);
    number.ok_or_else(|| format!("has the partition {text}; the largest can be {LARGEST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_sorted_and_merged() {
        let list = PartitionList::parse(" 7, 1,2 ,5-8,3 - 3").unwrap();
        assert_eq!(list.to_string(), "1-3,5-8");
        assert_eq!(Vec::from_iter(list.iter()), [1, 2, 3, 5, 6, 7, 8]);
        assert!(PartitionList::parse("  ").unwrap().is_empty());
    }

    #[test]
    fn bad_lists_say_what_is_wrong() {
        for (bad, reason) in [
            ("3-1", "has the range 3-1, which is reversed"),
            (
                "a",
                "has `a`, which is not a partition; it must be partitions and ranges",
            ),
            ("1-2-3", "has `1-2-3`, which is not a partition"),
            ("1,,2", "has ``, which is not a partition"),
            ("-1", "has `-1`, which is not a partition"),
            ("99999999", "the largest can be 999999"),
            ("99999999999999999999", "the largest can be 999999"),
            ("0-999999", "stands for 1000000 partitions; at most 10000"),
        ] {
            let error = PartitionList::parse(bad).unwrap_err();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }
}

#[cfg(test)]
mod properties {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a_list_holds_what_its_ranges_hold(
            ranges in vec((0..60_i32, 0..12_i32), 1..12),
            spaces in "[ ]{0,2}",
        ) {
            let written = ranges.iter().map(|(first, more)| match more {
                0 => format!("{spaces}{first}"),
                _ => format!("{first}{spaces}-{}{spaces}", first + more),
            });
            let written = written.collect::<Vec<_>>().join(",");
            let expected: BTreeSet<i32> =
                ranges.iter().flat_map(|(first, more)| *first..=first + more).collect();
            let list = PartitionList::parse(&written).unwrap();
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), Vec::from_iter(expected));
            // However it was written, the same partitions are the same query.
            prop_assert_eq!(PartitionList::parse(&list.to_string()), Ok(list));
        }

        #[test]
        fn any_text_is_a_bounded_list_or_an_error(
            text in prop_oneof![any::<String>(), "[0-9,\\- ]{0,40}", "([0-9]{1,7}(-[0-9]{1,7})?,){0,9}[0-9]"],
        ) {
            if let Ok(list) = PartitionList::parse(&text) {
                let partitions: Vec<i32> = list.iter().collect();
                prop_assert!(partitions.len() as i64 <= MOST);
                prop_assert!(partitions.iter().all(|partition| (0..=LARGEST).contains(partition)));
                prop_assert!(partitions.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
