//! What every store of checkpoints does, as checks for a store of your own.
//!
//! ```
//! use backstop::durable::snapshot::{MemoryStore, conformance};
//! use std::sync::Arc;
//!
//! conformance::all(&|keep| {
//!     let store = MemoryStore::keeping(keep).unwrap();
//!     let damaged = store.clone();
//!     conformance::Subject {
//!         store: Arc::new(store),
//!         damage: Box::new(move |key, sequence| assert!(damaged.damage(key, sequence))),
//!     }
//! });
//! ```
#![expect(
    clippy::missing_panics_doc,
    reason = "each of these panics if the store does not hold what the rule says"
)]

use super::{Checkpoint, CheckpointStore, LoadError, Mark, Marks, PassedOver, Reason, StoreError};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A new, empty store, and a way to damage what it keeps.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn CheckpointStore>,
    /// Damages the checkpoint of that key and sequence where it lies.
    pub damage: Damage,
}

/// Damages the checkpoint of a key and sequence.
pub type Damage = Box<dyn Fn(&str, u64)>;

/// Makes a new, empty store that keeps so many good checkpoints of a key.
pub type New<'a> = &'a dyn Fn(usize) -> Subject;

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Runs all checks.
pub fn all(new: New<'_>) {
    keeps_what_it_was_given(new);
    takes_newer_ones_only(new);
    passes_over_and_says_why(new);
    notes_marks(new);
    tells_keys_apart(new);
    keeps_what_a_fall_back_needs(new);
    names_the_oldest(new);
    forgets(new);
}

/// A checkpoint of that sequence, with something in each field.
pub fn checkpoint(sequence: u64) -> Checkpoint {
    Checkpoint {
        sequence,
        wall: SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000 + sequence % 1_000, 123_456_700),
        type_name: "ledger".to_owned(),
        version: 3,
        codec: "postcard".to_owned(),
        digest: (sequence % 2 == 0).then_some(sequence),
        payload: sequence.to_le_bytes().repeat(100),
    }
}

fn sequences(store: &dyn CheckpointStore, key: &str) -> Vec<u64> {
    let history = store.history(key).unwrap();
    history.iter().map(|entry| entry.sequence).collect()
}

fn latest(store: &dyn CheckpointStore, key: &str) -> Option<u64> {
    let latest = store.latest(key).unwrap();
    latest.checkpoint.map(|(checkpoint, _)| checkpoint.sequence)
}

fn save(store: &dyn CheckpointStore, key: &str, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        store.save(key, &checkpoint(sequence)).unwrap();
    }
}

/// What was saved comes back as it was, and a key without checkpoints has none, which is no error.
pub fn keeps_what_it_was_given(new: New<'_>) {
    let store = &*new(3).store;
    assert!(store.latest("a").unwrap().is_empty());
    assert!(sequences(store, "a").is_empty());
    assert_eq!(store.load("a", 1).unwrap(), None);
    assert_eq!(store.oldest_retained("a").unwrap(), None);
    let empty = Checkpoint {
        payload: Vec::new(),
        digest: None,
        ..checkpoint(1)
    };
    store.save("a", &empty).unwrap();
    assert_eq!(store.load("a", 1).unwrap(), Some(empty));
    for sequence in [2, 7, u64::MAX] {
        let saved = checkpoint(sequence);
        store.save("a", &saved).unwrap();
        assert_eq!(store.load("a", sequence).unwrap().as_ref(), Some(&saved));
        let latest = store.latest("a").unwrap();
        assert_eq!(latest.checkpoint, Some((saved.clone(), Marks::none())));
        assert_eq!(latest.passed_over, []);
        let entry = store.history("a").unwrap().swap_remove(0);
        assert_eq!((entry.sequence, entry.marks), (sequence, Marks::none()));
        assert_eq!(entry.about, Ok(saved.envelope().into()));
        assert!(entry.is_good());
    }
    assert_eq!(store.load("a", 3).unwrap(), None);
}

/// Sequences grow; what is bad does not hinder, and is replaced without its marks.
pub fn takes_newer_ones_only(new: New<'_>) {
    let subject = new(3);
    let store = &*subject.store;
    let refused = |sequence, by| match store.save("a", &checkpoint(sequence)) {
        Err(StoreError::NotNewer {
            sequence: s,
            newest,
        }) => (s, newest) == (sequence, by),
        _ => false,
    };
    save(store, "a", [5, 9]);
    let before = store.history("a").unwrap();
    for sequence in [1, 5, 8, 9] {
        assert!(refused(sequence, 9), "{sequence}");
    }
    assert_eq!(store.history("a").unwrap(), before);

    store.mark("a", 9, Mark::Strike).unwrap();
    store.mark("a", 9, Mark::Suspect).unwrap();
    assert!(refused(5, 5));
    save(store, "a", [7]);
    assert_eq!(latest(store, "a"), Some(7));
    save(store, "a", [9]);
    let (_, marks) = store.latest("a").unwrap().checkpoint.unwrap();
    assert_eq!(marks, Marks::none());

    (subject.damage)("a", 9);
    assert!(refused(7, 7));
    save(store, "a", [9]);
    assert_eq!(latest(store, "a"), Some(9));

    for unfit in [
        checkpoint(0),
        Checkpoint {
            type_name: String::new(),
            ..checkpoint(20)
        },
        Checkpoint {
            codec: "x".repeat(256),
            ..checkpoint(20)
        },
    ] {
        let refused = store.save("a", &unfit);
        assert!(matches!(refused, Err(StoreError::Unfit(_))), "{refused:?}");
    }
    assert_eq!(latest(store, "a"), Some(9));
}

/// Damaged and suspect ones are passed over, newest first, each with its reason.
pub fn passes_over_and_says_why(new: New<'_>) {
    let subject = new(4);
    let store = &*subject.store;
    save(store, "a", [1, 2, 3, 4]);
    (subject.damage)("a", 4);
    store.mark("a", 3, Mark::Suspect).unwrap();
    let latest = store.latest("a").unwrap();
    assert_eq!(latest.checkpoint, Some((checkpoint(2), Marks::none())));
    let [damaged, suspect] = &latest.passed_over[..] else {
        panic!("{:?}", latest.passed_over);
    };
    assert!(
        matches!(
            damaged,
            PassedOver {
                sequence: 4,
                reason: Reason::Damaged(_)
            }
        ),
        "{damaged:?}"
    );
    assert_eq!((suspect.sequence, &suspect.reason), (3, &Reason::Suspect));
    let damaged = store.load("a", 4);
    assert!(matches!(damaged, Err(LoadError::Damaged(_))), "{damaged:?}");
    assert_eq!(store.load("a", 3).unwrap(), Some(checkpoint(3)));
    let good: Vec<bool> = store
        .history("a")
        .unwrap()
        .iter()
        .map(|e| e.is_good())
        .collect();
    assert_eq!(good, [false, false, true, true]);

    (subject.damage)("a", 2);
    store.mark("a", 1, Mark::Suspect).unwrap();
    let latest = store.latest("a").unwrap();
    assert_eq!(latest.checkpoint, None);
    assert_eq!(latest.passed_over.len(), 4);
    // Nothing good is not nothing.
    assert!(!latest.is_empty());
    store.mark("a", 1, Mark::Cleared).unwrap();
    assert_eq!(self::latest(store, "a"), Some(1));
}

/// Marks are counted, withdrawn and forgotten as [`Mark`] says, on damaged ones too.
pub fn notes_marks(new: New<'_>) {
    let subject = new(3);
    let store = &*subject.store;
    save(store, "a", [1, 2]);
    let none = store.mark("a", 3, Mark::Strike);
    assert!(
        matches!(none, Err(StoreError::NoSuchCheckpoint { sequence: 3 })),
        "{none:?}"
    );
    let none = store.mark("b", 1, Mark::Strike);
    assert!(
        matches!(none, Err(StoreError::NoSuchCheckpoint { .. })),
        "{none:?}"
    );
    let mut expected = Marks::none();
    for mark in [
        Mark::Provisional,
        Mark::Strike,
        Mark::Strike,
        Mark::Suspect,
        Mark::Cleared,
        Mark::Strike,
        Mark::Verified,
        Mark::Strike,
        Mark::Suspect,
        Mark::Provisional,
        Mark::Cleared,
    ] {
        expected = expected.with(mark);
        assert_eq!(store.mark("a", 2, mark).unwrap(), expected, "{mark}");
        assert_eq!(store.history("a").unwrap()[0].marks, expected, "{mark}");
    }
    assert_eq!(store.history("a").unwrap()[1].marks, Marks::none());
    assert_eq!(store.latest("a").unwrap().checkpoint.unwrap().1, expected);
    assert_eq!(store.load("a", 2).unwrap(), Some(checkpoint(2)));
    (subject.damage)("a", 1);
    assert!(store.mark("a", 1, Mark::Suspect).unwrap().suspect);

    let marks = Marks::none().with(Mark::Provisional).with(Mark::Strike);
    store.save_marked("a", &checkpoint(3), marks).unwrap();
    assert_eq!(
        store.latest("a").unwrap().checkpoint.unwrap(),
        (checkpoint(3), marks)
    );
}

/// Keys are checked, and do not see each other.
pub fn tells_keys_apart(new: New<'_>) {
    let store = &*new(3).store;
    let long = "x".repeat(101);
    for key in [
        "", ".", "..", ".a", "a/b", "a\\b", "a b", "ä", "a\0", "a~", "*", &*long,
    ] {
        let refused = |result: Option<StoreError>| {
            assert!(
                matches!(result, Some(StoreError::Key(_))),
                "{key:?}: {result:?}"
            );
        };
        refused(store.save(key, &checkpoint(1)).err());
        refused(store.history(key).err());
        refused(store.latest(key).err());
        refused(store.oldest_retained(key).err());
        refused(store.mark(key, 1, Mark::Strike).err());
        refused(store.forget(key).err());
        let loaded = store.load(key, 1);
        let is_refused = matches!(loaded, Err(LoadError::Store(StoreError::Key(_))));
        assert!(is_refused, "{key:?}: {loaded:?}");
    }
    let keys = ["a", "A", "a.b", "a-1", "a_", "-", "con", "x.", &long[..100]];
    for (sequence, key) in (1..).zip(keys) {
        save(store, key, [sequence]);
    }
    for (sequence, key) in (1..).zip(keys) {
        assert_eq!(sequences(store, key), [sequence], "{key}");
    }
}

/// The newest good ones are kept, the newest verified one with them; what is bad or provisional takes
/// nobody's place.
pub fn keeps_what_a_fall_back_needs(new: New<'_>) {
    let subject = new(2);
    let store = &*subject.store;
    save(store, "a", [1, 2]);
    let saved = store.save("a", &checkpoint(3)).unwrap();
    assert_eq!(saved.removed, [1]);
    assert!(saved.leftover.is_none());
    assert_eq!(sequences(store, "a"), [3, 2]);
    // A verified one stays, however old.
    store.mark("a", 2, Mark::Verified).unwrap();
    save(store, "a", [4, 5, 6]);
    assert_eq!(sequences(store, "a"), [6, 5, 2]);
    store.mark("a", 5, Mark::Verified).unwrap();
    save(store, "a", [7]);
    assert_eq!(sequences(store, "a"), [7, 6, 5]);

    // Bad ones do not count, and take nothing with them.
    save(store, "b", [1, 2]);
    (subject.damage)("b", 2);
    save(store, "b", [3]);
    assert_eq!(sequences(store, "b"), [3, 2, 1]);
    store.mark("b", 3, Mark::Suspect).unwrap();
    save(store, "b", [4]);
    assert_eq!(sequences(store, "b"), [4, 3, 2, 1]);
    // With two good ones they stay as evidence, no older than those, and no more than there are good ones.
    save(store, "b", [5]);
    assert_eq!(sequences(store, "b"), [5, 4]);
    (subject.damage)("b", 5);
    save(store, "b", [6]);
    (subject.damage)("b", 6);
    save(store, "b", [7]);
    (subject.damage)("b", 7);
    save(store, "b", [8]);
    assert_eq!(sequences(store, "b"), [8, 7, 6, 4]);

    // Nor do provisional ones.
    let provisional = Marks::none().with(Mark::Provisional);
    save(store, "c", [1, 2]);
    for sequence in [3, 4, 5] {
        store
            .save_marked("c", &checkpoint(sequence), provisional)
            .unwrap();
    }
    assert_eq!(sequences(store, "c"), [5, 4, 2, 1]);
    store.mark("c", 4, Mark::Verified).unwrap();
    save(store, "c", [6]);
    assert_eq!(sequences(store, "c"), [6, 5, 4]);
}

/// The oldest one that a fall back could come to.
pub fn names_the_oldest(new: New<'_>) {
    let subject = new(3);
    let store = &*subject.store;
    save(store, "a", [1, 2, 3, 4]);
    assert_eq!(store.oldest_retained("a").unwrap(), Some(2));
    (subject.damage)("a", 2);
    assert_eq!(store.oldest_retained("a").unwrap(), Some(3));
    store.mark("a", 3, Mark::Suspect).unwrap();
    assert_eq!(store.oldest_retained("a").unwrap(), Some(4));
    store.mark("a", 4, Mark::Suspect).unwrap();
    assert_eq!(store.oldest_retained("a").unwrap(), None);
}

/// A key is forgotten with its marks, and the others are not.
pub fn forgets(new: New<'_>) {
    let store = &*new(3).store;
    save(store, "a", [1, 2]);
    save(store, "b", [1]);
    store.mark("a", 2, Mark::Suspect).unwrap();
    store.forget("a").unwrap();
    assert!(store.latest("a").unwrap().is_empty());
    assert_eq!(store.load("a", 2).unwrap(), None);
    assert_eq!(sequences(store, "b"), [1]);
    save(store, "a", [1, 2]);
    assert_eq!(latest(store, "a"), Some(2));
    store.forget("never").unwrap();
}
