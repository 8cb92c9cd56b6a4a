//! What every storage does, run over all of them.

use backstop::durable::storage::{
    DirEntry, FsStorage, LockError, MemoryStorage, Storage, StorageFile,
};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A storage with an empty directory to work in.
struct Place {
    name: &'static str,
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    _temp: Option<tempfile::TempDir>,
}

impl Place {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn create(&self, name: &str) -> Box<dyn StorageFile> {
        self.storage.create_new(&self.at(name)).unwrap()
    }

    fn list(&self) -> Vec<DirEntry> {
        self.storage.list(&self.dir).unwrap()
    }
}

fn places() -> Vec<Place> {
    let temp = tempfile::tempdir().unwrap();
    let memory = MemoryStorage::new();
    memory.create_dir(Path::new("dir")).unwrap();
    #[cfg_attr(not(feature = "test-util"), expect(unused_mut))]
    let mut places = vec![
        Place {
            name: "fs",
            storage: Arc::new(FsStorage),
            dir: temp.path().to_owned(),
            _temp: Some(temp),
        },
        Place {
            name: "memory",
            storage: Arc::new(memory),
            dir: "dir".into(),
            _temp: None,
        },
    ];
    #[cfg(feature = "test-util")]
    {
        let faulty = backstop::durable::storage::faulty::FaultyStorage::new();
        faulty.create_dir(Path::new("dir")).unwrap();
        places.push(Place {
            name: "faulty",
            storage: Arc::new(faulty),
            dir: "dir".into(),
            _temp: None,
        });
    }
    places
}

fn whole(file: &dyn StorageFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut part = [0; 3];
    loop {
        let read = file.read_at(&mut part, bytes.len() as u64).unwrap();
        if read == 0 {
            return bytes;
        }
        bytes.extend_from_slice(&part[..read]);
    }
}

#[test]
fn st1a_opening_makes_nothing_up_and_creating_overwrites_nothing() {
    for place in places() {
        let name = place.name;
        let storage = &place.storage;
        let path = place.at("file");
        let missing = storage.open(&path).unwrap_err().kind();
        assert_eq!(missing, ErrorKind::NotFound, "{name}");
        assert!(place.list().is_empty(), "{name}");

        place.create("file").append(b"kept").unwrap();
        let there = storage.create_new(&path).unwrap_err().kind();
        assert_eq!(there, ErrorKind::AlreadyExists, "{name}");
        let there = storage.create_dir(&path).unwrap_err().kind();
        assert_eq!(there, ErrorKind::AlreadyExists, "{name}");
        assert_eq!(whole(&*storage.open(&path).unwrap()), b"kept", "{name}");

        let missing = storage.create_new(&place.at("no/file")).unwrap_err().kind();
        assert_eq!(missing, ErrorKind::NotFound, "{name}");
        let missing = storage.create_dir(&place.at("no/dir")).unwrap_err().kind();
        assert_eq!(missing, ErrorKind::NotFound, "{name}");
        storage.create_dir(&place.at("dir")).unwrap();
        let there = storage.create_dir(&place.at("dir")).unwrap_err().kind();
        assert_eq!(there, ErrorKind::AlreadyExists, "{name}");
        let there = storage.create_new(&place.at("dir")).unwrap_err().kind();
        assert_eq!(there, ErrorKind::AlreadyExists, "{name}");
        assert!(storage.open(&place.at("dir")).is_err(), "{name}");
        storage.create_new(&place.at("dir/file")).unwrap();
    }
}

#[test]
fn st1b_appends_go_to_the_end_and_reads_to_their_place() {
    for place in places() {
        let name = place.name;
        let file = place.create("file");
        assert_eq!(file.append(b"0123456789").unwrap(), 10, "{name}");
        let other = place.storage.open(&place.at("file")).unwrap();
        assert_eq!(other.append(b"ab").unwrap(), 2, "{name}");
        assert_eq!(file.append(b"").unwrap(), 0, "{name}");
        assert_eq!(file.len().unwrap(), 12, "{name}");
        assert_eq!(whole(&*file), b"0123456789ab", "{name}");

        let mut part = [0; 4];
        assert_eq!(file.read_at(&mut part, 3).unwrap(), 4, "{name}");
        assert_eq!(&part, b"3456", "{name}");
        assert_eq!(file.read_at(&mut part, 10).unwrap(), 2, "{name}");
        assert_eq!(&part[..2], b"ab", "{name}");
        for behind in [12, 13, u64::from(u32::MAX)] {
            assert_eq!(file.read_at(&mut part, behind).unwrap(), 0, "{name}");
        }

        other.truncate(5).unwrap();
        file.append(b"cd").unwrap();
        assert_eq!(whole(&*other), b"01234cd", "{name}");
        file.truncate(7).unwrap();
        file.truncate(1_000).unwrap();
        assert_eq!(file.len().unwrap(), 7, "{name}");
        file.truncate(0).unwrap();
        assert_eq!(whole(&*file), b"", "{name}");
        file.sync().unwrap();
    }
}

#[test]
fn st1b_room_set_aside_changes_no_bytes() {
    for place in places() {
        let name = place.name;
        let file = place.create("file");
        file.append(b"before").unwrap();
        file.reserve(10_000).unwrap();
        let len = file.len().unwrap();
        assert!(len == 6 || len == 10_000, "{name}: {len}");
        let bytes = whole(&*file);
        assert_eq!(&bytes[..6], b"before", "{name}");
        assert!(bytes[6..].iter().all(|&byte| byte == 0), "{name}");
        file.truncate(6).unwrap();
        file.append(b" and after").unwrap();
        assert_eq!(whole(&*file), b"before and after", "{name}");
        file.reserve(3).unwrap();
        assert_eq!(whole(&*file), b"before and after", "{name}");
    }
}

#[test]
fn st1c_a_rename_replaces_and_who_has_a_file_open_keeps_it() {
    for place in places() {
        let name = place.name;
        let storage = &place.storage;
        let (old, new) = (place.create("old"), place.create("new"));
        old.append(b"old").unwrap();
        new.append(b"new").unwrap();
        storage.rename(&place.at("new"), &place.at("old")).unwrap();
        let moved = storage.open(&place.at("old")).unwrap();
        assert_eq!(whole(&*moved), b"new", "{name}");
        assert_eq!(place.list(), [DirEntry::file("old", 3)], "{name}");
        assert_eq!(whole(&*old), b"old", "{name}");
        new.append(b"er").unwrap();
        assert_eq!(whole(&*moved), b"newer", "{name}");

        storage.remove(&place.at("old")).unwrap();
        assert!(place.list().is_empty(), "{name}");
        assert_eq!(whole(&*moved), b"newer", "{name}");
        for missing in [
            storage.remove(&place.at("old")),
            storage.rename(&place.at("old"), &place.at("new")),
        ] {
            assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound, "{name}");
        }
        place.create("file");
        let nowhere = storage.rename(&place.at("file"), &place.at("no/file"));
        assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NotFound, "{name}");
        storage.create_dir(&place.at("dir")).unwrap();
        assert!(storage.remove(&place.at("dir")).is_err(), "{name}");
        let over = storage.rename(&place.at("file"), &place.at("dir"));
        assert!(over.is_err(), "{name}");
        assert_eq!(place.list().len(), 2, "{name}");
        storage
            .rename(&place.at("file"), &place.at("dir/file"))
            .unwrap();
        assert_eq!(
            storage.list(&place.at("dir")).unwrap(),
            [DirEntry::file("file", 0)],
            "{name}"
        );
        storage
            .rename(&place.at("dir/file"), &place.at("dir/file"))
            .unwrap();
        storage.open(&place.at("dir/file")).unwrap();
    }
}

#[test]
fn st1d_a_list_is_sorted_and_one_level_deep() {
    for place in places() {
        let name = place.name;
        for file in ["b", "a", "c-", "c.d"] {
            place.create(file).append(file.as_bytes()).unwrap();
        }
        place.storage.create_dir(&place.at("c")).unwrap();
        place.create("c/deep");
        let expected = [
            DirEntry::file("a", 1),
            DirEntry::file("b", 1),
            DirEntry::dir("c"),
            DirEntry::file("c-", 2),
            DirEntry::file("c.d", 3),
        ];
        assert_eq!(place.list(), expected, "{name}");
    }
}

#[test]
fn st1d_what_is_no_directory_is_an_error_and_not_an_empty_one() {
    for place in places() {
        let name = place.name;
        let storage = &place.storage;
        let missing = storage.list(&place.at("no")).unwrap_err().kind();
        assert_eq!(missing, ErrorKind::NotFound, "{name}");
        let missing = storage.sync_dir(&place.at("no")).unwrap_err().kind();
        assert_eq!(missing, ErrorKind::NotFound, "{name}");
        place.create("file");
        let file = storage.list(&place.at("file")).unwrap_err().kind();
        assert_eq!(file, ErrorKind::NotADirectory, "{name}");
        storage.sync_dir(&place.dir).unwrap();
    }
}

#[test]
fn st1e_a_lock_has_one_holder_and_says_who() {
    for place in places() {
        let name = place.name;
        let storage = &place.storage;
        let path = place.at("lock");
        let held = storage.lock(&path, "process 17").unwrap();
        for _ in 0..2 {
            match storage.lock(&path, "another") {
                Err(LockError::Held { holder }) => assert_eq!(holder, "process 17", "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        let beside = storage.lock(&place.at("beside"), "process 17").unwrap();
        drop(held);
        let next = storage.lock(&path, "me").unwrap();
        match storage.lock(&path, "another") {
            Err(LockError::Held { holder }) => assert_eq!(holder, "me", "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        drop((beside, next));
        assert!(place.list().iter().any(|entry| entry.name == "lock"));
        match storage.lock(&place.at("no/lock"), "me") {
            Err(LockError::Io(error)) => assert_eq!(error.kind(), ErrorKind::NotFound, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}
