use fjall::{Database, Error, KeyspaceCreateOptions, PersistMode};
use tempfile::tempdir;

use crate::syncs::where_syncs_fail;

#[test]
fn what_was_persisted_is_there_after_a_reopen() {
    let dir = tempdir().expect("a directory");
    for opened in 0..2 {
        let database = Database::builder(dir.path()).open().expect("a database");
        let records = database
            .keyspace("records", KeyspaceCreateOptions::default)
            .expect("a keyspace");
        assert_eq!(
            records.contains_key("first").expect("an answer"),
            opened == 1
        );
        records.insert("first", [1; 256]).expect("an insert");
        database.persist(PersistMode::SyncData).expect("a sync");
    }
}

#[test]
fn after_a_failed_sync_it_takes_nothing_more() {
    let dir = tempdir().expect("a directory");
    let database = Database::builder(dir.path()).open().expect("a database");
    let records = database
        .keyspace("records", KeyspaceCreateOptions::default)
        .expect("a keyspace");
    records.insert("first", [1; 256]).expect("an insert");
    let failed = where_syncs_fail(|| database.persist(PersistMode::SyncData).is_err());
    assert!(failed);
    assert!(matches!(
        records.insert("second", "2"),
        Err(Error::Poisoned)
    ));
    assert!(matches!(
        database.persist(PersistMode::SyncData),
        Err(Error::Poisoned)
    ));
}
