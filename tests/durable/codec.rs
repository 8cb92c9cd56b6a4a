//! Codecs and envelopes under what nobody encoded.

use backstop::durable::codec::{
    Codec, CodecError, Envelope, EnvelopeError, Postcard, State, StateError,
};
use backstop::durable::snapshot::conformance::checkpoint;
use backstop::durable::snapshot::{
    CheckpointStore, Checkpoints, MemoryStore, Reason, RestoreError, SaveError,
};
use proptest::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    let end = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The bytes of a small envelope, changed, with checksums that match.
fn forged(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = checkpoint(2).envelope().encode().unwrap();
    change(&mut bytes);
    sealed(bytes)
}

#[test]
fn sn2a_an_envelope_comes_back_and_no_bit_of_it_can_flip() {
    for (payload, digest) in [
        (&b""[..], None),
        (b"x", Some(0)),
        (b"state", Some(u64::MAX)),
    ] {
        let envelope = Envelope {
            sequence: 7,
            wall: SystemTime::UNIX_EPOCH + Duration::new(1, 100),
            type_name: "t",
            version: u32::MAX,
            codec: "json",
            digest,
            payload,
        };
        let bytes = envelope.encode().unwrap();
        assert_eq!(bytes.len(), 64 + 5 + payload.len() + 4);
        assert_eq!(Envelope::decode(&bytes), Ok(envelope));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Envelope::decode(&flipped).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            let found = Envelope::decode(&bytes[..cut]);
            assert_eq!(found, Err(EnvelopeError::Short), "cut at {cut}");
        }
        let longer = [&bytes[..], b"\0"].concat();
        assert_eq!(Envelope::decode(&longer), Err(EnvelopeError::Trailing));
    }
}

#[test]
fn sn2a_the_bytes_are_as_they_are_documented() {
    let envelope = Envelope {
        sequence: 0x0102,
        wall: SystemTime::UNIX_EPOCH + Duration::from_nanos(0x0304),
        type_name: "ab",
        version: 5,
        codec: "c",
        digest: Some(6),
        payload: &[0xaa, 0xbb],
    };
    let mut expected = b"BSTPCKPT".to_vec();
    for (value, len) in [(1, 4), (64, 4), (0x0102, 8), (0x0304, 8), (2, 8), (6, 8)] {
        expected.extend(&u64::to_le_bytes(value)[..len]);
    }
    for (value, len) in [(5, 4), (1, 2), (2, 2), (1, 2), (0, 2), (0, 4)] {
        expected.extend(&u64::to_le_bytes(value)[..len]);
    }
    expected.extend(b"abc\xaa\xbb\0\0\0\0");
    assert_eq!(envelope.encode().unwrap(), sealed(expected));
}

#[test]
fn sn2a_a_time_that_has_no_place_is_the_nearest_that_has() {
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 36);
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    for (wall, nanos) in [(far, u64::MAX), (before, 0)] {
        let checkpoint = backstop::durable::snapshot::Checkpoint {
            wall,
            ..checkpoint(1)
        };
        let bytes = checkpoint.envelope().encode().unwrap();
        let stored = Envelope::decode(&bytes).unwrap().wall;
        assert_eq!(stored, SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos));
    }
}

#[test]
fn sn2b_lengths_are_looked_at_before_they_are_followed() {
    let payload = |len: u64| forged(|bytes| bytes[32..40].copy_from_slice(&len.to_le_bytes()));
    for len in [801, 1 << 32, u64::MAX - 76, u64::MAX] {
        let bytes = payload(len);
        let spent = allocation_counter::measure(|| {
            assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::Short), "{len}");
        });
        assert_eq!(spent.count_total, 0);
    }
    assert_eq!(
        Envelope::decode(&payload(799)),
        Err(EnvelopeError::Trailing)
    );
    for at in [54, 56] {
        for len in [0, 256, u16::MAX] {
            let name = forged(|bytes| bytes[at..at + 2].copy_from_slice(&len.to_le_bytes()));
            assert_eq!(Envelope::decode(&name), Err(EnvelopeError::Name), "{len}");
        }
        let longer = forged(|bytes| bytes[at] += 1);
        assert_eq!(Envelope::decode(&longer), Err(EnvelopeError::Short));
    }
    let not_text = forged(|bytes| bytes[64] = 0xff);
    assert_eq!(Envelope::decode(&not_text), Err(EnvelopeError::Name));
    let none = forged(|bytes| bytes[16..24].fill(0));
    assert_eq!(Envelope::decode(&none), Err(EnvelopeError::Sequence));
}

#[test]
fn sn2c_an_unknown_version_of_the_format_is_told_from_damage() {
    for (at, value) in [(8, 2), (12, 72), (52, 3), (52, 0), (58, 1)] {
        let bytes = forged(|bytes| bytes[at] = value);
        let found = Envelope::decode(&bytes);
        let is_version = matches!(found, Err(EnvelopeError::Version(_)));
        assert!(is_version, "byte {at}: {found:?}");
    }
    let mut bytes = checkpoint(1).envelope().encode().unwrap();
    bytes[8] = 2;
    assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::HeaderChecksum));
    bytes[0] = b'X';
    assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::Magic));
}

// --- Codecs ---

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(u64),
    Tuple(i8, String),
    Struct { at: Option<f32>, tags: Vec<String> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    shapes: Vec<Shape>,
    map: BTreeMap<String, (u8, char, bool)>,
    wide: (u128, i128, i64),
    nested: Option<Box<Everything>>,
    wrapper: Wrapper,
    unit: (),
    marker: Marker,
    fixed: [u16; 3],
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapper(Vec<u8>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

fn everything(nested: Option<Box<Everything>>) -> Everything {
    Everything {
        shapes: vec![
            Shape::Unit,
            Shape::Newtype(u64::MAX),
            Shape::Tuple(-7, "t".to_owned()),
            Shape::Struct {
                at: Some(0.5),
                tags: vec!["a".to_owned()],
            },
        ],
        map: [("k".to_owned(), (1, 'ä', true))].into(),
        wide: (u128::MAX, i128::MIN, -1),
        nested,
        wrapper: Wrapper(vec![1, 2, 3]),
        unit: (),
        marker: Marker,
        fixed: [1, 2, 3],
    }
}

fn text<T>(result: Result<T, CodecError>) -> String {
    match result {
        Ok(_) => "it decoded".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn comes_back(codec: &impl Codec) {
    let value = everything(Some(Box::new(everything(None))));
    let bytes = codec.encode(&value).unwrap();
    assert_eq!(codec.decode::<Everything>(&bytes).unwrap(), value);
    for cut in 0..bytes.len() {
        assert!(
            codec.decode::<Everything>(&bytes[..cut]).is_err(),
            "cut at {cut}"
        );
    }
    let longer = [&bytes[..], b"0"].concat();
    assert!(codec.decode::<Everything>(&longer).is_err());
}

#[test]
fn sn2e_every_kind_of_value_comes_back_and_nothing_may_be_left_over() {
    comes_back(&Postcard);
    #[cfg(feature = "json")]
    comes_back(&backstop::durable::codec::Json);
    let left = text(Postcard.decode::<u8>(b"\x07\x07\x07"));
    assert_eq!(left, "postcard: 2 bytes are left");
}

/// A list that holds itself.
#[derive(Debug, Serialize, Deserialize)]
enum List {
    End,
    More(Box<List>),
}

#[test]
fn sn2e_what_nests_too_deep_is_an_error_and_no_overflow() {
    // `More` is 1, and `End` is 0.
    let list = |len: usize| [vec![1; len], vec![0]].concat();
    assert!(Postcard.decode::<List>(&list(127)).is_ok());
    for len in [128, 1_000_000] {
        let deep = text(Postcard.decode::<List>(&list(len)));
        assert_eq!(deep, "postcard: it nests deeper than 128 levels");
    }
    // Depth is not length.
    assert_eq!(
        Postcard
            .decode::<Vec<Option<u8>>>(&[200, 1].into_iter().chain([0; 200]).collect::<Vec<_>>())
            .unwrap()
            .len(),
        200
    );
    #[cfg(feature = "json")]
    {
        let deep = format!(
            "{}\"End\"{}",
            "{\"More\":".repeat(100_000),
            "}".repeat(100_000)
        );
        let deep = text(backstop::durable::codec::Json.decode::<List>(deep.as_bytes()));
        assert!(deep.contains("recursion limit"), "{deep}");
    }
}

#[test]
fn sn2e_a_huge_length_is_an_error_and_no_allocation() {
    // 2^63 and more, as a varint.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let decoders: [fn(&[u8]) -> String; 5] = [
        |bytes| text(Postcard.decode::<Vec<u64>>(bytes)),
        |bytes| text(Postcard.decode::<String>(bytes)),
        |bytes| text(Postcard.decode::<BTreeMap<u8, u8>>(bytes)),
        |bytes| text(Postcard.decode::<Vec<Vec<String>>>(bytes)),
        |bytes| text(Postcard.decode::<Vec<[u64; 32]>>(bytes)),
    ];
    for (nth, decode) in decoders.into_iter().enumerate() {
        let mut text = String::new();
        let spent = allocation_counter::measure(|| text = decode(&huge));
        assert!(text.starts_with("postcard: "), "{nth}: {text}");
        // serde's own bound on what it allocates ahead.
        assert!(spent.bytes_max <= 2 << 20, "{nth}: {}", spent.bytes_max);
    }
    // Elements that take no bytes: their number is the only bound.
    let units = text(Postcard.decode::<Vec<()>>(&huge));
    assert_eq!(
        units,
        "postcard: a sequence of empty elements is longer than 65,536"
    );
    let pairs = text(Postcard.decode::<BTreeSet<()>>(&huge));
    assert!(pairs.contains("longer than 65,536"), "{pairs}");
    let few = Postcard.encode(&vec![(); 60_000]).unwrap();
    assert_eq!(Postcard.decode::<Vec<()>>(&few).unwrap().len(), 60_000);
    // Elements that take bytes are as many as there are bytes.
    let many = Postcard.encode(&vec![0_u8; 300_000]).unwrap();
    assert_eq!(Postcard.decode::<Vec<u8>>(&many).unwrap().len(), 300_000);
}

proptest! {
    #[test]
    fn sn2e_any_bytes_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Envelope::decode(&bytes);
        if let Ok(value) = Postcard.decode::<Everything>(&bytes) {
            let again = Postcard.encode(&value).unwrap();
            prop_assert!(Postcard.decode::<Everything>(&again).is_ok());
        }
        let _ = Postcard.decode::<List>(&bytes);
        let _ = Postcard.decode::<Vec<()>>(&bytes);
    }
}

// --- States ---

/// Does as its field says.
#[derive(Clone, Debug, PartialEq)]
struct Act(String);

fn act(what: &str, at: &str) -> Result<(), String> {
    assert!(what != format!("panic in {at}"), "panic in {at}");
    if what == format!("error in {at}") {
        return Err(format!("error in {at}"));
    }
    Ok(())
}

impl Serialize for Act {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        act(&self.0, "serialize").map_err(serde::ser::Error::custom)?;
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Act {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let what = String::deserialize(from)?;
        act(&what, "deserialize").map_err(serde::de::Error::custom)?;
        Ok(Self(what))
    }
}

impl State for Act {
    const TYPE: &'static str = "act";
    const VERSION: u32 = 2;

    fn migrate<C: Codec>(from: u32, bytes: &[u8], codec: &C) -> Result<Self, StateError> {
        if from != 1 {
            return Err(StateError::UnknownVersion { found: from });
        }
        let Self(what) = codec.decode(bytes)?;
        act(&what, "migrate").map_err(StateError::invalid)?;
        Ok(Self(format!("migrated {what}")))
    }

    fn validate(&self) -> Result<(), StateError> {
        act(&self.0, "validate").map_err(StateError::invalid)
    }
}

fn acts(store: &MemoryStore) -> Checkpoints<Act> {
    Checkpoints::new(Arc::new(store.clone()), "acts").unwrap()
}

/// Stores a state by hand, as another build would have.
fn plant(store: &MemoryStore, sequence: u64, version: u32, what: &str) {
    let planted = backstop::durable::snapshot::Checkpoint {
        sequence,
        type_name: "act".to_owned(),
        version,
        payload: Postcard.encode(what).unwrap(),
        ..checkpoint(sequence)
    };
    store.save("acts", &planted).unwrap();
}

fn refused(sequence: u64, store: &MemoryStore) -> StateError {
    match acts(store).load(sequence) {
        Err(RestoreError::Bad(Reason::State(error))) => error,
        other => panic!("{other:?}"),
    }
}

/// Says nothing about versions.
#[derive(Serialize, Deserialize)]
struct Plain(String);

impl State for Plain {
    const TYPE: &'static str = "act";
}

#[test]
fn sn2d_another_type_codec_or_version_is_named_or_migrated() {
    let store = MemoryStore::keeping(10).unwrap();
    plant(&store, 1, 1, "old");
    let restored = acts(&store).load(1).unwrap().unwrap();
    assert_eq!(
        (restored.state, restored.version),
        (Act("migrated old".to_owned()), 1)
    );
    plant(&store, 2, 2, "now");
    assert_eq!(
        acts(&store).load(2).unwrap().unwrap().state,
        Act("now".to_owned())
    );
    plant(&store, 3, 3, "of tomorrow");
    assert_eq!(refused(3, &store), StateError::UnknownVersion { found: 3 });
    store.save("acts", &checkpoint(4)).unwrap();
    let other = StateError::OtherType {
        found: "ledger".to_owned(),
    };
    assert_eq!(refused(4, &store), other);
    let json = backstop::durable::snapshot::Checkpoint {
        type_name: "act".to_owned(),
        codec: "json".to_owned(),
        ..checkpoint(5)
    };
    store.save("acts", &json).unwrap();
    let other = StateError::OtherCodec {
        found: "json".to_owned(),
    };
    assert_eq!(refused(5, &store), other);
    // A type that says nothing about versions knows its own.
    let plain = Checkpoints::<Plain>::new(Arc::new(store.clone()), "acts").unwrap();
    let recovered = plain.latest().unwrap();
    assert_eq!(recovered.restored.unwrap().sequence, 1);
    let reasons: Vec<&str> = recovered
        .passed_over
        .iter()
        .map(|one| one.reason.name())
        .collect();
    assert_eq!(
        reasons,
        [
            "other_codec",
            "other_type",
            "unknown_version",
            "unknown_version"
        ]
    );
}

#[test]
fn sn2f_a_panic_in_the_types_code_is_an_error() {
    let store = MemoryStore::keeping(10).unwrap();
    for (sequence, at) in (1..).zip(["deserialize", "migrate", "validate"]) {
        let version = if at == "migrate" { 1 } else { 2 };
        plant(&store, sequence, version, &format!("panic in {at}"));
        let expected = StateError::Panicked(format!("panic in {at}"));
        assert_eq!(refused(sequence, &store), expected);
    }
    for at in ["serialize", "deserialize", "validate"] {
        let state = Act(format!("panic in {at}"));
        match acts(&store).save(20, &state) {
            Err(SaveError::State(StateError::Panicked(text))) => {
                assert_eq!(text, format!("panic in {at}"));
            }
            other => panic!("{at}: {other:?}"),
        }
    }
    assert_eq!(store.history("acts").unwrap().len(), 3);
}

#[test]
fn sn2g_a_state_that_is_not_valid_is_neither_stored_nor_handed_out() {
    let store = MemoryStore::new();
    plant(&store, 1, 2, "error in validate");
    let invalid = StateError::Invalid("error in validate".to_owned());
    assert_eq!(refused(1, &store), invalid);
    let recovered = acts(&store).latest().unwrap();
    assert!(recovered.restored.is_none());
    assert_eq!(recovered.passed_over[0].reason.name(), "invalid");
    let refused = acts(&store)
        .read_back(false)
        .save(2, &Act("error in validate".to_owned()));
    assert!(
        matches!(&refused, Err(SaveError::State(error)) if *error == invalid),
        "{refused:?}"
    );
    assert_eq!(store.history("acts").unwrap().len(), 1);
}

#[test]
fn sn2h_what_would_not_decode_again_is_not_stored() {
    /// Postcard has no names by which it could tell that a field was left out.
    #[derive(Serialize, Deserialize)]
    struct Skipping {
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        balance: u64,
    }
    impl State for Skipping {
        const TYPE: &'static str = "skipping";
    }
    let store = Arc::new(MemoryStore::new());
    let checkpoints = Checkpoints::<Skipping>::new(store.clone(), "a").unwrap();
    let state = Skipping {
        note: None,
        balance: 7,
    };
    let refused = checkpoints.save(1, &state);
    assert!(
        matches!(refused, Err(SaveError::State(StateError::Codec(_)))),
        "{refused:?}"
    );
    assert!(store.latest("a").unwrap().is_empty());
    // Who turns that off learns it at the next start.
    checkpoints
        .clone()
        .read_back(false)
        .save(1, &state)
        .unwrap();
    let recovered = checkpoints.latest().unwrap();
    assert_eq!(recovered.passed_over[0].reason.name(), "undecodable");
    assert_eq!((state.note, state.balance), (None, 7));
}

#[test]
fn a_long_text_of_a_users_is_cut() {
    let long = "ä".repeat(1_000);
    let error = CodecError::new("mine", &long);
    assert!(error.to_string().len() < 300);
    assert!(StateError::invalid(&long).to_string().len() < 300);
}
