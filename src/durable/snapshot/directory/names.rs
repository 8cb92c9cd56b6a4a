//! The names of the files, and which of them are there.
//!
//! A checkpoint is `{sequence}-{key}.checkpoint`, its marks are `{sequence}-{key}.marks`, and what is
//! being written has `.tmp` behind that. The sequence is 16 hexadecimal digits, so that no name is one
//! that a system has reserved. A capital letter of a key is a tilde and the small one: not all file
//! systems tell them apart. Other files are left alone.

use crate::durable::storage::DirEntry;
use std::collections::{BTreeMap, HashMap};

const CHECKPOINT: &str = ".checkpoint";
const MARKS: &str = ".marks";
const TEMPORARY: &str = ".tmp";

fn stem(key: &str, sequence: u64) -> String {
    let mut stem = format!("{sequence:016x}-");
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            stem.push('~');
        }
        stem.push(c.to_ascii_lowercase());
    }
    stem
}

pub(super) fn checkpoint(key: &str, sequence: u64) -> String {
    stem(key, sequence) + CHECKPOINT
}

pub(super) fn marks(key: &str, sequence: u64) -> String {
    stem(key, sequence) + MARKS
}

/// What the file of that name is called while it is written.
pub(super) fn temporary(name: &str) -> String {
    name.to_owned() + TEMPORARY
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Checkpoint(String, u64),
    Marks(String, u64),
    Temporary,
}

fn parse(name: &str) -> Option<Named> {
    if let Some(name) = name.strip_suffix(TEMPORARY) {
        return parse(name).and(Some(Named::Temporary));
    }
    if let Some(stem) = name.strip_suffix(CHECKPOINT) {
        let (key, sequence) = parse_stem(stem)?;
        return Some(Named::Checkpoint(key, sequence));
    }
    let (key, sequence) = parse_stem(name.strip_suffix(MARKS)?)?;
    Some(Named::Marks(key, sequence))
}

fn parse_stem(found: &str) -> Option<(String, u64)> {
    let (sequence, escaped) = found.split_once('-')?;
    let sequence = u64::from_str_radix(sequence, 16).ok()?;
    let mut key = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        key.push(match c {
            '~' => chars.next()?.to_ascii_uppercase(),
            c => c,
        });
    }
    // Only what this code would write: one file has one name.
    let is_ours = sequence != 0 && super::check_key(&key).is_ok() && stem(&key, sequence) == found;
    is_ours.then_some((key, sequence))
}

/// Which files there are of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) checkpoint: bool,
    pub(super) marks: bool,
}

/// The files of a key, by sequence.
pub(super) type Stock = BTreeMap<u64, Files>;

/// What is in a directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) stocks: HashMap<String, Stock>,
    pub(super) temporary: Vec<String>,
}

impl Listing {
    pub(super) fn of(entries: Vec<DirEntry>) -> Self {
        let mut listing = Self::default();
        for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
            match parse(&entry.name) {
                Some(Named::Checkpoint(key, sequence)) => {
                    listing.files(key, sequence).checkpoint = true;
                }
                Some(Named::Marks(key, sequence)) => listing.files(key, sequence).marks = true,
                Some(Named::Temporary) => listing.temporary.push(entry.name),
                None => {}
            }
        }
        listing
    }

    fn files(&mut self, key: String, sequence: u64) -> &mut Files {
        let stock = self.stocks.entry(key).or_default();
        stock.entry(sequence).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_and_no_other_is_taken_for_one() {
        for (key, sequence) in [
            ("a", 1),
            ("Ledger.EU-1_x", 0xabc),
            ("-", u64::MAX),
            ("a-b", 2),
        ] {
            let found = |name: &str| parse(name);
            let (file, notes) = (checkpoint(key, sequence), marks(key, sequence));
            assert_eq!(found(&file), Some(Named::Checkpoint(key.into(), sequence)));
            assert_eq!(found(&notes), Some(Named::Marks(key.into(), sequence)));
            assert_eq!(found(&temporary(&file)), Some(Named::Temporary));
            assert_eq!(found(&temporary(&notes)), Some(Named::Temporary));
            assert_eq!(file, file.to_lowercase());
        }
        assert_eq!(checkpoint("Ab", 10), "000000000000000a-~ab.checkpoint");
        for other in [
            "lock",
            ".tmp",
            "x.tmp",
            ".checkpoint",
            "-.checkpoint",
            "0000000000000001-.checkpoint",
            "0000000000000000-a.checkpoint",
            "1-a.checkpoint",
            "000000000000000A-a.checkpoint",
            "+000000000000001-a.checkpoint",
            "0000000000000001-A.checkpoint",
            "0000000000000001-~.checkpoint",
            "0000000000000001-~1.checkpoint",
            "0000000000000001-~~a.checkpoint",
            "0000000000000001-.a.checkpoint",
            "0000000000000001-ä.checkpoint",
            "0000000000000001-a.checkpoint.bak",
            "0000000000000001-a",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
        let long = "A".repeat(100);
        assert!(temporary(&checkpoint(&long, 1)).len() < 255);
    }
}
