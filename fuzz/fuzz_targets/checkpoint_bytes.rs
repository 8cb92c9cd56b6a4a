//! A checkpoint out of any bytes, as they are and with checksums that match: reading never panics, a
//! directory says of a file what the decoder says of its bytes, what is read has one form, and its
//! payload decodes to a value or an error.
#![no_main]

use backstop::durable::codec::{Codec, Envelope, Json, Postcard};
use backstop::durable::snapshot::{CheckpointStore, DirectoryConfig, DirectoryStore, LoadError};
use backstop::durable::storage::{MemoryStorage, Storage};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug, Serialize, Deserialize)]
enum Tree {
    Leaf(u64),
    Pair(Box<Tree>, Box<Tree>),
    Many(Vec<Tree>),
    Named {
        units: Vec<()>,
        map: BTreeMap<String, Option<char>>,
        next: Option<Box<Tree>>,
    },
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut sealed = bytes.to_vec();
    if let Some(end) = sealed.len().checked_sub(4).filter(|end| *end >= 64) {
        sealed[0..8].copy_from_slice(b"BSTPCKPT");
        let crc = crc32c::crc32c(&sealed[..60]);
        sealed[60..64].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c(&sealed[..end]);
        sealed[end..].copy_from_slice(&crc.to_le_bytes());
        read(&sealed);
    }
    decode(&Postcard, bytes);
    decode(&Json, bytes);
});

fn decode(codec: &impl Codec, bytes: &[u8]) {
    if let Ok(tree) = codec.decode::<Tree>(bytes) {
        let again = codec.encode(&tree).expect("what was read has a form");
        assert!(codec.decode::<Tree>(&again).is_ok());
    }
}

fn read(bytes: &[u8]) {
    let found = Envelope::decode(bytes);
    if let Ok(envelope) = &found {
        assert_eq!(envelope.encode().expect("it was read"), bytes);
        decode(&Postcard, envelope.payload);
    }
    let sequence = found.map_or(1, |envelope| envelope.sequence);
    let storage = MemoryStorage::new();
    storage.create_dir(Path::new("dir")).expect("it is new");
    let name = format!("dir/{sequence:016x}-key.checkpoint");
    let file = storage.create_new(Path::new(&name)).expect("it is new");
    file.append(bytes).expect("memory takes it");
    let config = DirectoryConfig::default();
    let store = DirectoryStore::open(Arc::new(storage), "dir", config).expect("it opens");
    match (store.load("key", sequence), found) {
        (Ok(Some(checkpoint)), Ok(envelope)) => assert_eq!(checkpoint.envelope(), envelope),
        (Err(LoadError::Damaged(one)), Err(other)) => assert_eq!(one, other),
        (loaded, found) => panic!("{loaded:?}, not {found:?}"),
    }
    let history = store.history("key").expect("memory can be read");
    assert_eq!(history[0].about, found.map(Into::into));
}
