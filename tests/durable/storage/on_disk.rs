//! What the machine's file system does beyond what all storages do.

use backstop::durable::storage::{FsStorage, Storage};
use std::io::ErrorKind;

#[cfg(unix)]
#[test]
fn st1f_files_and_directories_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    FsStorage.create_new(&at("file")).unwrap();
    FsStorage.create_dir(&at("dir")).unwrap();
    let _lock = FsStorage.lock(&at("lock"), "me").unwrap();
    for (name, expected) in [("file", 0o600), ("dir", 0o700), ("lock", 0o600)] {
        let mode = std::fs::metadata(at(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn st1d_an_entry_that_cannot_be_looked_at_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    FsStorage.create_new(&temp.path().join("file")).unwrap();
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(temp.path().join("file"), &link).unwrap();
    assert_eq!(FsStorage.list(temp.path()).unwrap().len(), 2);
    std::fs::remove_file(temp.path().join("file")).unwrap();
    let error = FsStorage.list(temp.path()).unwrap_err();
    // `NotFound` would say that the directory is not there.
    assert_eq!(error.kind(), ErrorKind::Other, "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn st1d_a_name_that_is_not_unicode_is_listed_all_the_same() {
    use std::os::unix::ffi::OsStrExt;
    let temp = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"a\xffb");
    FsStorage.create_new(&temp.path().join(name)).unwrap();
    let found = FsStorage.list(temp.path()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, "a\u{fffd}b");
}

#[test]
fn the_empty_path_is_this_directory() {
    // The tests of a package run in its directory.
    let here = FsStorage.list("".as_ref()).unwrap();
    assert!(here.iter().any(|entry| entry.name == "Cargo.toml"));
    FsStorage.sync_dir("".as_ref()).unwrap();
}
