//! What is said of ours beside the peers, on the same disk and the same failures.

use std::path::Path;
use std::sync::Arc;

use backstop::durable::journal::{AppendError, Journal, JournalConfig, OpenMode};
use backstop::durable::storage::FsStorage;
use tempfile::tempdir;

use crate::syncs::{answer, where_syncs_fail};

fn open(dir: &Path) -> Journal {
    let config = JournalConfig::default().open(OpenMode::CreateIfMissing);
    let (journal, _) = Journal::open(Arc::new(FsStorage), dir, config).expect("a journal");
    journal
}

#[test]
fn after_a_failed_sync_it_takes_nothing_more_until_it_is_opened_anew() {
    let dir = tempdir().expect("a directory");
    let journal = open(dir.path());
    assert_eq!(journal.append(7, b"sound").expect("an append"), 1);
    let failed = where_syncs_fail(|| journal.append(7, b"failed"));
    assert!(
        matches!(failed, Err(AppendError::Poisoned(_))),
        "{failed:?}"
    );
    for _ in 0..2 {
        let later = journal.clone();
        let later = answer(move || later.append(7, b"later")).expect("it answers");
        assert!(matches!(later, Err(AppendError::Poisoned(_))), "{later:?}");
    }
    // The old handle is still there: it has given the directory back.
    let mut records = open(dir.path()).read(1).expect("a reader");
    let first = records.next().expect("a sound record").expect("a record");
    assert_eq!((first.sequence, first.payload), (1, &b"sound"[..]));
}
