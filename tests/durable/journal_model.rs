//! Recovery beside a naive model of what must be left.

use crate::image::{HEADER, Image, RECORD, config, open, read};
use backstop::durable::journal::{RecoveryMode, SyncPolicy};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Payloads of these lengths, in small segments.
fn written(lengths: &[usize]) -> Image {
    let storage = Image::default().store();
    let config = config().segment_bytes(1_024).sync(SyncPolicy::Always);
    let (journal, _) = open(&storage, config).unwrap();
    for (number, length) in (1..).zip(lengths) {
        journal.append(number, &payload(number, *length)).unwrap();
    }
    drop(journal);
    Image::of(&storage)
}

/// Without a zero, so that no sector is empty by chance.
fn payload(number: u32, length: usize) -> Vec<u8> {
    let mark = u8::try_from(number % 200).unwrap() + 1;
    vec![mark; length]
}

/// What stands where: the file, the bytes, and the sequence of the record; 0 for a segment's header.
fn places(image: &Image) -> Vec<(String, std::ops::Range<usize>, u64)> {
    let mut sequence = 0;
    let mut places = Vec::new();
    for name in image.segments() {
        let bytes = &image.0[&name];
        places.push((name.clone(), 0..HEADER, 0));
        let mut at = HEADER;
        while at < bytes.len() {
            sequence += 1;
            let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let end = at + (length as usize + RECORD).next_multiple_of(8);
            places.push((name.clone(), at..end, sequence));
            at = end;
        }
    }
    places
}

#[derive(Clone, Debug)]
struct Hit {
    segment: prop::sample::Index,
    at: prop::sample::Index,
    bytes: Vec<u8>,
}

fn hit() -> impl Strategy<Value = Hit> {
    let bytes = prop::collection::vec(any::<u8>(), 1..40);
    (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        bytes,
    )
        .prop_map(|(segment, at, bytes)| Hit { segment, at, bytes })
}

/// Which sequences are left in this mode, and what the open said if none.
fn left(image: &Image, mode: RecoveryMode) -> Result<Vec<(u64, u32, Vec<u8>)>, String> {
    let storage = image.store();
    let config = config().segment_bytes(1_024).recovery(mode);
    match open(&storage, config) {
        Ok((journal, report)) => Ok(read(&journal, report.first_sequence)),
        Err(error) => Err(error.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Bytes are written over in some places: every record that was not touched is there in the
    /// one mode, every one before the first touched byte in the other, and all or nothing in the two
    /// that refuse.
    #[test]
    fn jn6a_jn6b_jn6c_jn6d_what_is_left_is_what_was_not_touched(
        lengths in prop::collection::vec(0_usize..400, 1..30),
        hits in prop::collection::vec(hit(), 0..4),
    ) {
        let sound = written(&lengths);
        let places = places(&sound);
        let last = lengths.len() as u64;
        prop_assert_eq!(places.last().unwrap().2, last);
        let mut image = sound.clone();
        let mut touched = BTreeSet::new();
        for hit in &hits {
            let names = image.segments();
            let name = &names[hit.segment.index(names.len())];
            let bytes = image.0.get_mut(name).unwrap();
            let at = hit.at.index(bytes.len());
            for (offset, byte) in hit.bytes.iter().enumerate().take(bytes.len() - at) {
                bytes[at + offset] = *byte;
            }
        }
        for (number, (name, range, _)) in places.iter().enumerate() {
            if image.0[name][range.clone()] != sound.0[name][range.clone()] {
                touched.insert(number);
            }
        }
        let expected: Vec<_> = places
            .iter()
            .enumerate()
            .filter(|(number, (_, _, sequence))| *sequence > 0 && !touched.contains(number))
            .map(|(_, (_, _, sequence))| *sequence)
            .collect();
        let whole = |kept: &[(u64, u32, Vec<u8>)]| {
            kept.iter().all(|(sequence, kind, bytes)| {
                let length = lengths[usize::try_from(*sequence).unwrap() - 1];
                u64::from(*kind) == *sequence && *bytes == payload(*kind, length)
            })
        };
        let sequences = |kept: &[(u64, u32, Vec<u8>)]| -> Vec<u64> {
            kept.iter().map(|record| record.0).collect()
        };
        let skipped = left(&image, RecoveryMode::SkipDamaged).unwrap();
        prop_assert!(whole(&skipped));
        prop_assert_eq!(sequences(&skipped), expected);

        let prefix = left(&image, RecoveryMode::PointInTime).unwrap();
        prop_assert!(whole(&prefix));
        let before = touched.first().map_or(places.len(), |first| *first);
        let longest = places[..before].iter().map(|place| place.2).max().unwrap_or(0);
        prop_assert_eq!(sequences(&prefix), (1..=longest).collect::<Vec<_>>());

        let strict = left(&image, RecoveryMode::Strict);
        prop_assert_eq!(strict.is_ok(), touched.is_empty());

        match left(&image, RecoveryMode::TornTail) {
            Ok(kept) => {
                // The last one may be torn, and what was written over with zeros may be.
                prop_assert!(whole(&kept));
                prop_assert_eq!(sequences(&kept), (1..=longest).collect::<Vec<_>>());
                let later = touched.iter().filter(|number| places[**number].2 < last);
                prop_assert!(touched.is_empty() || longest + 1 == last || later.count() > 1);
            }
            Err(error) => prop_assert!(!touched.is_empty(), "{}", error),
        }
    }

    /// A journal is cut anywhere: what is before the cut is there, in each mode that opens.
    #[test]
    fn jn5b_jn5e_a_journal_that_is_cut_anywhere_opens_with_what_is_before(
        lengths in prop::collection::vec(0_usize..400, 1..20),
        at in any::<prop::sample::Index>(),
    ) {
        let mut image = written(&lengths);
        let places = places(&image);
        let segment = image.segment(-1);
        let len = HEADER + at.index(segment.len() - HEADER);
        segment.truncate(len);
        let name = image.name(-1);
        let kept: Vec<u64> = places
            .iter()
            .filter(|(file, range, sequence)| *sequence > 0 && (*file != name || range.end <= len))
            .map(|place| place.2)
            .collect();
        let is_boundary = len == HEADER || places.iter().any(|place| place.0 == name && place.1.end == len);
        for mode in [RecoveryMode::TornTail, RecoveryMode::PointInTime, RecoveryMode::SkipDamaged] {
            let found: Vec<u64> = left(&image, mode).unwrap().iter().map(|record| record.0).collect();
            prop_assert_eq!(&found, &kept);
        }
        prop_assert_eq!(left(&image, RecoveryMode::Strict).is_ok(), is_boundary);
    }
}
