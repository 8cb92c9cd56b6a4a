//! Every kind of damage, in every recovery mode.

use crate::image::{
    HEADER, Image, RECORD, config, open, read, reseal_header, reseal_record, reseal_segment,
};
use backstop::durable::journal::{OpenError, RecoveryMode, Why};

const MODES: [RecoveryMode; 4] = [
    RecoveryMode::TornTail,
    RecoveryMode::PointInTime,
    RecoveryMode::SkipDamaged,
    RecoveryMode::Strict,
];

/// Bytes of a record here.
const EACH: usize = 100 + RECORD;

/// Records of a full segment here.
const FULL: usize = 6;

const LAST: u64 = 28;

/// 28 records, each durable before the next was appended: 6 in each segment, 4 in the fifth.
fn sound() -> Image {
    let storage = Image::default().store();
    let (journal, _) = open(&storage, config().segment_bytes(1_024)).unwrap();
    for sequence in 1..=LAST {
        assert_eq!(journal.append(7, &payload(sequence)).unwrap(), sequence);
    }
    drop(journal);
    let image = Image::of(&storage);
    assert_eq!(image.segments().len(), 5);
    image
}

/// Without a zero byte, so that no sector is empty by chance.
fn payload(sequence: u64) -> Vec<u8> {
    vec![0x40 | u8::try_from(sequence).unwrap(); 100]
}

/// Where a record begins in its segment.
fn place(sequence: u64) -> usize {
    let before = (sequence - 1) % FULL as u64;
    HEADER + usize::try_from(before).unwrap() * EACH
}

fn segment_of(sequence: u64) -> isize {
    isize::try_from((sequence - 1) / FULL as u64).unwrap()
}

/// What an open comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It opens with these records, and finds nothing wrong.
    Clean(Vec<u64>),
    /// It opens with these records, and repairs.
    Repaired(Vec<u64>),
    Refused(Why),
    Version,
    NotAFile,
    LowWater,
}

use Outcome::{Clean, Refused, Repaired};

fn all() -> Vec<u64> {
    (1..=LAST).collect()
}

fn up_to(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

fn without(missing: impl Fn(u64) -> bool) -> Vec<u64> {
    (1..=LAST).filter(|sequence| !missing(*sequence)).collect()
}

/// Opens the image in `mode` and looks at everything that its line promises.
#[track_caller]
fn outcome(name: &str, image: &Image, mode: RecoveryMode) -> Outcome {
    let storage = image.store();
    let config = config().segment_bytes(1_024).recovery(mode);
    let (journal, report) = match open(&storage, config.clone()) {
        Ok(opened) => opened,
        Err(error) => {
            assert_eq!(
                Image::of(&storage),
                *image,
                "{name}: a refusal changes nothing"
            );
            let quarantine = Image::quarantine(&storage);
            assert!(quarantine.is_empty(), "{name}: nor does it copy");
            return match error {
                OpenError::Damaged { why, .. } => Refused(why),
                OpenError::Version { .. } => Outcome::Version,
                OpenError::NotAFile { .. } => Outcome::NotAFile,
                OpenError::LowWater { .. } => Outcome::LowWater,
                other => panic!("{name}, {mode:?}: {other}"),
            };
        }
    };
    let records = read(&journal, report.first_sequence);
    for (sequence, kind, found) in &records {
        assert_eq!((*kind, found), (7, &payload(*sequence)), "{name}");
    }
    let sequences: Vec<u64> = records.iter().map(|record| record.0).collect();
    let count = sequences.len() as u64;
    assert_eq!(report.records - report.dropped, count, "{name}: {report:?}");
    assert_eq!(report.recovery, mode);
    let next = journal.append(9, b"more").unwrap();
    assert_eq!(next, report.last_sequence + 1, "{name}");
    drop(journal);
    // What was changed is in the quarantine as it was.
    let after = Image::of(&storage);
    let quarantine = Image::quarantine(&storage);
    assert_eq!(quarantine.len(), report.quarantined.len(), "{name}");
    if !report.is_clean() {
        for (file, before) in &image.0 {
            let is_changed = after.0.get(file) != Some(before);
            let is_copied = quarantine.contains(before) || before.is_empty();
            assert!(
                !is_changed || is_copied,
                "{name}, {mode:?}: {file} was changed and not copied"
            );
        }
    }
    // A repaired journal is sound, for the strictest too.
    let strict = config.recovery(RecoveryMode::Strict);
    let (journal, again) = open(&storage, strict)
        .unwrap_or_else(|error| panic!("{name}, {mode:?}: the next open says {error}"));
    assert!(again.is_clean(), "{name}: {again}");
    let first = again.first_sequence;
    let mut expected = sequences.clone();
    expected.push(next);
    let found: Vec<u64> = read(&journal, first)
        .iter()
        .map(|record| record.0)
        .collect();
    assert_eq!(found, expected, "{name}, {mode:?}");
    if report.is_clean() {
        Clean(sequences)
    } else {
        Repaired(sequences)
    }
}

/// The outcomes in the order of [`MODES`].
#[track_caller]
fn expect(name: &str, damage: impl FnOnce(&mut Image), expected: [Outcome; 4]) {
    let mut image = sound();
    damage(&mut image);
    for (mode, expected) in MODES.into_iter().zip(expected) {
        let outcome = outcome(name, &image, mode);
        assert_eq!(outcome, expected, "{name}, {mode:?}");
    }
}

/// In every mode the same.
fn each(outcome: &Outcome) -> [Outcome; 4] {
    std::array::from_fn(|_| outcome.clone())
}

/// Damage in the middle: the prefix, what else verifies.
fn middle(prefix: u64, rest: Vec<u64>) -> [Outcome; 4] {
    [
        Refused(Why::InTheMiddle),
        Repaired(up_to(prefix)),
        Repaired(rest),
        Refused(Why::Strict),
    ]
}

/// A torn end behind this record.
fn torn(last: u64) -> [Outcome; 4] {
    [
        Repaired(up_to(last)),
        Repaired(up_to(last)),
        Repaired(up_to(last)),
        Refused(Why::Strict),
    ]
}

/// What is no end that a crash tore, behind this record, which is the last one that verifies.
fn not_torn(last: u64) -> [Outcome; 4] {
    [
        Refused(Why::NotTorn),
        Repaired(up_to(last)),
        Repaired(up_to(last)),
        Refused(Why::Strict),
    ]
}

/// A field of a record, by where a bit of it is.
const RECORD_FIELDS: [(&str, usize); 10] = [
    ("length", 1),
    ("kind", 4),
    ("sequence", 8),
    ("wall time", 16),
    ("synced through", 24),
    ("previous crc", 32),
    ("header crc", 36),
    ("payload", 40),
    ("last byte of the payload", 139),
    ("trailing crc", 143),
];

const SEGMENT_FIELDS: [(&str, usize); 10] = [
    ("magic", 0),
    ("version", 8),
    ("header length", 12),
    ("epoch", 16),
    ("salt", 24),
    ("first sequence", 32),
    ("synced through", 40),
    ("previous epoch", 48),
    ("previous crc", 56),
    ("crc", 63),
];

#[test]
fn jn6d_a_sound_journal_opens_in_every_mode() {
    expect("sound", |_| {}, each(&Clean(all())));
}

#[test]
fn jn5b_jn6a_a_torn_end() {
    for bytes in [1, 4, 10, EACH - 41, EACH - 39, EACH - 1] {
        expect(
            &format!("{bytes} bytes missing"),
            |image| {
                let segment = image.segment(-1);
                segment.truncate(segment.len() - bytes);
            },
            torn(LAST - 1),
        );
    }
    expect(
        "zeros behind the last record",
        |image| image.segment(-1).extend([0; 1_000]),
        torn(LAST),
    );
    // 12 bytes of record 26 are gone with the two behind it.
    expect(
        "a zeroed tail",
        |image| {
            let segment = image.segment(-1);
            let len = segment.len();
            segment[len - 2 * EACH - 12..].fill(0);
        },
        torn(25),
    );
    expect(
        "a length beyond the end",
        |image| {
            let segment = image.segment(-1);
            let at = place(LAST);
            segment[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            reseal_header(segment, at);
        },
        torn(LAST - 1),
    );
}

#[test]
fn jn5c_jn6a_damage_of_no_torn_shape_at_the_end_is_refused() {
    expect(
        "rubbish behind the last record",
        |image| image.segment(-1).extend([0xab; 1_000]),
        not_torn(LAST),
    );
    for (field, byte) in RECORD_FIELDS {
        expect(
            &format!("a bit of the {field} of the last record"),
            |image| image.segment(-1)[place(LAST) + byte] ^= 0x10,
            not_torn(LAST - 1),
        );
    }
}

#[test]
fn jn5a_jn6a_jn6b_jn6c_jn6d_a_bit_of_each_field_of_a_record_in_the_middle() {
    // The first and the last of a segment, one between, and the last but one of all.
    for sequence in [1, 6, 10, 13, LAST - 1] {
        for (field, byte) in RECORD_FIELDS {
            expect(
                &format!("a bit of the {field} of record {sequence}"),
                |image| {
                    image.segment(segment_of(sequence))[place(sequence) + byte] ^= 0x10;
                },
                middle(sequence - 1, without(|other| other == sequence)),
            );
        }
    }
}

#[test]
fn jn5a_a_bit_of_each_field_of_a_segment_header() {
    for (field, byte) in SEGMENT_FIELDS {
        for number in 0..5_u8 {
            let first = u64::from(number) * FULL as u64 + 1;
            expect(
                &format!("a bit of the {field} of segment {number}"),
                |image| image.segment(number.into())[byte] ^= 0x10,
                // No record is lost behind a damaged header.
                middle(first - 1, all()),
            );
        }
    }
}

#[test]
fn jn1d_jn5a_a_record_whose_length_is_4_gib() {
    for sequence in [1, 9, 12, LAST - 1] {
        expect(
            &format!("the length of record {sequence}"),
            |image| {
                let segment = image.segment(segment_of(sequence));
                let at = place(sequence);
                segment[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
                reseal_header(segment, at);
            },
            middle(sequence - 1, without(|other| other == sequence)),
        );
    }
}

#[test]
fn jn5d_missing_segments_and_cuts_on_a_boundary_are_noticed() {
    expect(
        "a segment in the middle is missing",
        |image| {
            let name = image.name(2);
            image.0.remove(&name);
        },
        middle(12, without(|sequence| (13..=18).contains(&sequence))),
    );
    expect(
        "two segments in the middle are missing",
        |image| {
            for name in [image.name(1), image.name(2)] {
                image.0.remove(&name);
            }
        },
        middle(6, without(|sequence| (7..=18).contains(&sequence))),
    );
    expect(
        "the first segment is missing",
        |image| {
            let name = image.name(0);
            image.0.remove(&name);
        },
        middle(0, without(|sequence| sequence <= 6)),
    );
    expect(
        "a segment is cut behind its fifth record",
        |image| image.segment(1).truncate(HEADER + 5 * EACH),
        middle(11, without(|sequence| sequence == 12)),
    );
    expect(
        "a segment is cut behind its header",
        |image| image.segment(1).truncate(HEADER),
        middle(6, without(|sequence| (7..=12).contains(&sequence))),
    );
    expect(
        "a segment is empty",
        |image| image.segment(1).clear(),
        middle(6, without(|sequence| (7..=12).contains(&sequence))),
    );
}

#[test]
fn jn5e_what_cannot_be_told_from_a_journal_that_ended_there() {
    expect(
        "the last record is cut off",
        |image| image.segment(-1).truncate(place(LAST)),
        each(&Clean(up_to(LAST - 1))),
    );
    expect(
        "the last segment is missing",
        |image| {
            let name = image.name(-1);
            image.0.remove(&name);
        },
        each(&Clean(up_to(24))),
    );
}

#[test]
fn jn1c_records_that_verify_in_the_wrong_place() {
    expect(
        "a record stands twice",
        |image| {
            let at = place(9);
            let segment = image.segment(1);
            let twice = segment[at..at + EACH].to_vec();
            segment.splice(at..at, twice);
        },
        middle(9, all()),
    );
    expect(
        "a record was cut out",
        |image| {
            let at = place(9);
            image.segment(1).drain(at..at + EACH);
        },
        middle(8, without(|sequence| sequence == 9)),
    );
    expect(
        "bytes were pushed in between",
        |image| {
            let at = place(9);
            image.segment(1).splice(at..at, [0; 8]);
        },
        middle(8, all()),
    );
    // It verifies, and is not the one that 10 was written behind.
    expect(
        "a record of another time",
        |image| {
            let segment = image.segment(1);
            segment[place(9) + 16] ^= 1;
            reseal_record(segment, place(9), 100);
        },
        middle(9, all()),
    );
    expect(
        "a segment of another time",
        |image| {
            let segment = image.segment(1);
            segment[place(12) + 16] ^= 1;
            reseal_record(segment, place(12), 100);
        },
        middle(12, all()),
    );
    // Record 9 stands where 8 should, which was in the same place of an older copy.
    expect(
        "a record was written over by the next",
        |image| {
            let (from, to) = (place(9), place(8));
            image.segment(1).copy_within(from..from + EACH, to);
        },
        middle(7, without(|sequence| sequence == 8)),
    );
}

#[test]
fn jn4d_copies_of_segments_and_foreign_files_are_left_alone() {
    for name in [
        "0000000000000001-0000000000000007-0123456789abcdef.segment",
        "00000000000000ff-0000000000000001-0123456789abcdef.segment",
        "notes.txt",
        "0000000000000001-0000000000000007-0123456789abcdef.segment.bak",
    ] {
        let mut image = sound();
        let copy = image.segment(1).clone();
        image.0.insert(name.to_owned(), copy.clone());
        for mode in MODES {
            assert_eq!(outcome(name, &image, mode), Clean(all()), "{mode:?}");
            let storage = image.store();
            let (_, report) = open(&storage, config().recovery(mode)).unwrap();
            assert_eq!(report.foreign, [std::path::Path::new("ledger").join(name)]);
            assert_eq!(Image::of(&storage).0[name], copy);
        }
    }
    // By whatever name: its header says what it is.
    let mut image = sound();
    let name = image.name(1);
    let renamed = image.0.remove(&name).unwrap();
    let other = "0000000000000001-00000000000000ff-0123456789abcdef.segment";
    image.0.insert(other.to_owned(), renamed);
    for mode in MODES {
        assert_eq!(outcome("renamed", &image, mode), Clean(all()), "{mode:?}");
    }
}

#[test]
fn jn4b_a_stale_segment_of_an_older_epoch_is_no_damage_and_goes_away() {
    let mut image = sound();
    image.segment(-1).truncate(place(LAST) - 2 * EACH);
    assert_eq!(
        image.segment(-1).len(),
        HEADER + EACH,
        "record 25 is the last one"
    );
    let name = image.name(-1);
    let stale = image.0[&name].clone();
    let storage = image.store();
    drop(open(&storage, config()).unwrap());
    let mut later = Image::of(&storage);
    assert!(!later.0.contains_key(&name), "a new one holds all of it");
    // A crash before it was removed, and even a bit of it that flipped since.
    for flipped in [None, Some(70)] {
        let mut stale = stale.clone();
        if let Some(at) = flipped {
            stale[at] ^= 1;
        }
        later.0.insert(name.clone(), stale);
        for mode in MODES {
            assert_eq!(outcome("stale", &later, mode), Clean(up_to(25)), "{mode:?}");
            let storage = later.store();
            let (_, report) = open(&storage, config().recovery(mode)).unwrap();
            assert!(report.is_clean());
            assert!(!Image::of(&storage).0.contains_key(&name));
            assert_eq!(report.quarantined.len(), 1, "nobody knows what is in it");
        }
    }
}

#[test]
fn jn4c_what_a_failed_creation_leaves() {
    let name = |first: u64| format!("0000000000000001-{first:016x}-0123456789abcdef.segment");
    for (what, bytes, is_torn) in [
        ("nothing", vec![], true),
        ("a part of a header", b"BSTPJRNL".to_vec(), true),
        ("a sector that was not stored", vec![0; HEADER], true),
        ("rubbish", vec![0xab; HEADER], false),
    ] {
        // At the end of the journal.
        expect(
            what,
            |image| {
                image.0.insert(name(LAST + 1), bytes.clone());
            },
            if is_torn { torn(LAST) } else { not_torn(LAST) },
        );
        // Where another attempt was made with success.
        expect(
            what,
            |image| {
                image.0.insert(name(13), bytes.clone());
            },
            each(&Clean(all())),
        );
    }
    // Its name says that records were there.
    expect(
        "a header behind a gap",
        |image| {
            image.0.insert(name(LAST + 2), Vec::new());
        },
        middle(LAST, all()),
    );
}

#[test]
fn jn6f_another_version_is_refused_in_every_mode() {
    for number in [0, 2, 4] {
        expect(
            "version",
            |image| {
                let segment = image.segment(number);
                segment[8] = 2;
                reseal_segment(segment);
            },
            each(&Outcome::Version),
        );
    }
}

#[test]
fn jn6g_the_low_water_mark() {
    let mark = |sequence: u64| {
        let mut bytes = b"BSTPLOWW\x01\0\0\0".to_vec();
        bytes.extend(sequence.to_le_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    };
    let compacted = |image: &mut Image, sequence| {
        let name = image.name(0);
        image.0.remove(&name);
        image.0.insert("low-water".to_owned(), mark(sequence));
    };
    // Removed on purpose.
    for sequence in [6, 7, 24, LAST] {
        expect(
            "compacted",
            |image| compacted(image, sequence),
            each(&Clean((7..=LAST).collect())),
        );
    }
    expect(
        "removed, but not on purpose",
        |image| compacted(image, 5),
        middle(5, (7..=LAST).collect()).map(|outcome| match outcome {
            Repaired(kept) if kept.len() == 5 => Repaired(Vec::new()),
            other => other,
        }),
    );
    expect(
        "removed beyond the end",
        |image| compacted(image, LAST + 1),
        [
            Refused(Why::InTheMiddle),
            Repaired((7..=LAST).collect()),
            Repaired((7..=LAST).collect()),
            Refused(Why::Strict),
        ],
    );
    for byte in 0..24 {
        expect(
            "a damaged mark",
            |image| {
                compacted(image, 6);
                image.0.get_mut("low-water").unwrap()[byte] ^= 0x20;
            },
            [
                Outcome::LowWater,
                Repaired((7..=LAST).collect()),
                Repaired((7..=LAST).collect()),
                Outcome::LowWater,
            ],
        );
    }
    expect(
        "a damaged mark and nothing else",
        |image| {
            image.0.clear();
            image.0.insert("low-water".to_owned(), vec![0; 24]);
        },
        each(&Outcome::LowWater),
    );
    expect(
        "a mark of another version",
        |image| {
            let mut bytes = mark(0);
            bytes[8] = 9;
            let crc = crc32c::crc32c(&bytes[..20]);
            bytes[20..].copy_from_slice(&crc.to_le_bytes());
            image.0.insert("low-water".to_owned(), bytes);
        },
        each(&Outcome::Version),
    );
}
