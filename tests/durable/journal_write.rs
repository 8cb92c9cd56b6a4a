//! A journal from end to end: appended to, closed, lost, opened again.

use crate::image::DIR;
use backstop::durable::journal::{
    AppendError, AppendFuture, CompactError, Journal, JournalConfig, JournalState, OpenError,
    OpenMode, OpenReport, SyncFuture, SyncPolicy,
};
use backstop::durable::storage::{FsStorage, MemoryStorage, Storage};
use std::sync::Arc;
use std::time::Duration;

fn config() -> JournalConfig {
    JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .lock_wait(Duration::ZERO)
}

fn open(storage: &Arc<dyn Storage>, config: JournalConfig) -> (Journal, OpenReport) {
    Journal::open(Arc::clone(storage), DIR, config).expect("it opens")
}

fn memory() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::new())
}

fn read(journal: &Journal, from: u64) -> Vec<(u64, u32, Vec<u8>)> {
    let mut reader = journal.read(from).unwrap();
    let mut found = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        found.push((record.sequence, record.kind, record.payload.to_vec()));
    }
    found
}

#[test]
fn jn1s_sequences_go_on_where_the_last_open_ended() {
    let storage = memory();
    for open_number in 0..4_u32 {
        let (journal, report) = open(&storage, config());
        assert_eq!(report.last_sequence, u64::from(open_number) * 2);
        for n in 0..2_u32 {
            let sequence = u64::from(open_number * 2 + n + 1);
            assert_eq!(journal.append(n, b"one").unwrap(), sequence);
        }
    }
    let (journal, _) = open(&storage, config());
    let sequences: Vec<_> = read(&journal, 1)
        .iter()
        .map(|(sequence, ..)| *sequence)
        .collect();
    assert_eq!(sequences, (1..=8).collect::<Vec<_>>());
}

#[test]
fn jn2j_the_last_handle_leaves_everything_for_the_next_open() {
    for policy in [
        SyncPolicy::Always,
        SyncPolicy::Interval(Duration::from_secs(3600)),
        SyncPolicy::Never,
    ] {
        let storage = memory();
        let (journal, _) = open(&storage, config().sync(policy));
        for n in 0..100_u8 {
            journal.append(7, &[n; 50]).unwrap();
        }
        let held = Journal::open(Arc::clone(&storage), DIR, config()).unwrap_err();
        assert!(matches!(held, OpenError::Locked { .. }), "{held}");
        drop(journal);
        let (journal, report) = open(&storage, config());
        assert_eq!(
            (report.last_sequence, report.damage_count),
            (100, 0),
            "{policy:?}"
        );
        let found = read(&journal, 1);
        assert!((0..100).all(|n: u8| found[usize::from(n)].2 == [n; 50]));
    }
}

#[test]
fn jn2k_a_closed_journal_can_be_opened_while_its_handle_is_there() {
    let storage = memory();
    let (journal, _) = open(&storage, config().sync(SyncPolicy::Never));
    journal.append(1, b"one").unwrap();
    journal.close().unwrap();
    let (next, report) = open(&storage, config());
    assert_eq!(report.last_sequence, 1);
    assert_eq!(next.append(1, b"two").unwrap(), 2);
    assert!(matches!(journal.append(1, b"x"), Err(AppendError::Closed)));
    assert!(matches!(journal.status().state, JournalState::Closed));
    drop(journal);
    assert_eq!(next.append(1, b"three").unwrap(), 3);
}

#[cfg(feature = "test-util")]
#[test]
fn jn3b_a_poisoned_journal_recovers_when_it_is_opened_again() {
    use backstop::durable::storage::Operation;
    use backstop::durable::storage::faulty::{Fault, FaultyStorage};
    let disk = FaultyStorage::new();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let (journal, _) = open(&storage, config());
    journal.append(1, b"durable").unwrap();
    disk.fail(Fault::on(Operation::Sync));
    let poisoned = journal.append(1, b"nobody knows").unwrap_err();
    assert!(matches!(poisoned, AppendError::Poisoned(_)));
    // Its readers see nothing that is not durable.
    assert_eq!(read(&journal, 1).len(), 1);
    // The handle is still there, and holds nothing.
    let (next, report) = open(&storage, config());
    assert!(report.last_sequence >= 1);
    let sequence = next.append(1, b"goes on").unwrap();
    assert_eq!(sequence, report.last_sequence + 1);
    assert_eq!(read(&next, 1)[0].2, b"durable");
}

#[cfg(feature = "test-util")]
#[test]
fn jn4r_what_a_segment_that_could_not_be_begun_leaves_holds_no_record() {
    use backstop::durable::storage::Operation;
    use backstop::durable::storage::faulty::{Fault, FaultyStorage};
    let disk = FaultyStorage::new();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let small = config().segment_bytes(1024);
    let (journal, _) = open(&storage, small.clone());
    journal.append(1, &[1; 900]).unwrap();
    // Neither can its header be written, nor can it be taken away again.
    disk.fail(Fault::on(Operation::Append).torn(10));
    disk.fail(Fault::on(Operation::Remove));
    // Nobody knows whether it would come back between the records that follow.
    assert!(matches!(
        journal.append(1, &[2; 900]),
        Err(AppendError::Poisoned(_))
    ));
    let (journal, report) = open(&storage, small.clone());
    // A torn end, and no record is in it.
    assert_eq!((report.last_sequence, report.damage_count), (1, 1));
    assert_eq!((report.records, report.bytes_cut), (1, 0));
    assert_eq!(journal.append(1, &[2; 900]).unwrap(), 2);
    drop(journal);
    let (journal, report) = open(&storage, small);
    assert_eq!((report.last_sequence, report.damage_count), (2, 0));
    assert_eq!(read(&journal, 1).len(), 2);
}

#[cfg(feature = "test-util")]
#[test]
fn jn3h_the_reserve_is_set_aside_by_an_open_and_fails_none() {
    use backstop::durable::storage::Operation;
    use backstop::durable::storage::faulty::{Fault, FaultyStorage};
    let disk = FaultyStorage::new();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    for has_reserve in [true, false, true] {
        if !has_reserve {
            disk.fail(Fault::on(Operation::Reserve));
        }
        let (journal, report) = open(&storage, config());
        assert_eq!(journal.status().has_reserve, has_reserve);
        assert!(report.foreign.is_empty());
        journal.append(1, b"one").unwrap();
    }
}

#[test]
fn jn9a_a_compacted_journal_opens_from_its_mark_on() {
    let storage = memory();
    let small = config().segment_bytes(1024);
    let (journal, _) = open(&storage, small.clone());
    for n in 0..40_u8 {
        journal.append(1, &[n; 300]).unwrap();
    }
    let done = journal.compact(20).unwrap();
    assert!(done.segments > 0 && done.through <= 20, "{done:?}");
    let left = read(&journal, done.through + 1);
    drop(journal);
    let (journal, report) = open(&storage, small);
    assert_eq!((report.low_water, report.damage_count), (done.through, 0));
    assert_eq!(report.first_sequence, done.through + 1);
    assert_eq!(read(&journal, done.through + 1), left);
    assert_eq!(journal.append(1, b"next").unwrap(), 41);
}

#[test]
fn jn9e_a_poisoned_or_closed_journal_is_not_compacted() {
    let storage = memory();
    let (journal, _) = open(&storage, config());
    journal.close().unwrap();
    assert!(matches!(journal.compact(1), Err(CompactError::Closed)));
}

#[test]
fn jn2b_threads_on_a_real_disk_lose_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join(DIR);
    let storage: Arc<dyn Storage> = Arc::new(FsStorage);
    let config = config().segment_bytes(16 * 1024);
    let (journal, _) = Journal::open(Arc::clone(&storage), &dir, config.clone()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..16_u32 {
            let journal = &journal;
            scope.spawn(move || {
                for n in 0..50_u32 {
                    journal.append(thread, &n.to_le_bytes()).unwrap();
                }
            });
        }
        // A reader beside them.
        scope.spawn(|| {
            for _ in 0..20 {
                for (at, (sequence, ..)) in read(&journal, 1).iter().enumerate() {
                    assert_eq!(*sequence, at as u64 + 1);
                }
            }
        });
    });
    drop(journal);
    let (journal, report) = Journal::open(storage, &dir, config).unwrap();
    assert_eq!((report.last_sequence, report.damage_count), (800, 0));
    let found = read(&journal, 1);
    for thread in 0..16_u32 {
        let of: Vec<_> = found
            .iter()
            .filter(|(_, kind, _)| *kind == thread)
            .map(|(.., payload)| u32::from_le_bytes(payload[..].try_into().unwrap()))
            .collect();
        assert_eq!(of, (0..50).collect::<Vec<_>>());
    }
}

#[test]
fn a_static_handle_shares_the_journal() {
    let storage = memory();
    let (journal, _) = open(&storage, config());
    let leaked: &'static Journal = Box::leak(Box::new(journal));
    let copied = Journal::from(leaked);
    assert_eq!(copied.append(1, b"one").unwrap(), 1);
    drop(copied);
    assert_eq!(leaked.append(1, b"two").unwrap(), 2);
}

#[test]
fn handles_and_futures_go_where_users_need_them() {
    fn is<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}
    fn goes<T: Send + Sync + std::fmt::Debug + Unpin>() {}
    is::<Journal>();
    is::<AppendError>();
    is::<CompactError>();
    goes::<AppendFuture<'static>>();
    goes::<SyncFuture<'static>>();
}
