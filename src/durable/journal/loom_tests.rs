//! The interleavings of small cases on the whole engine.
//!
//! Two threads are interrupted as often as it can be, three threads up to four times.

use super::append::AppendFuture;
use super::plain::Plain;
use super::rig::{Hooked, config, journal, payloads};
use super::runtime::{Runtime, TestRuntime};
use super::{AppendError, Journal, Poisoned};
use crate::durable::storage::{Operation, Storage};
use crate::kernel::sync::explore;
use futures::task::{ArcWake, waker};
use loom::thread;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

const TWO_THREADS: Option<usize> = None;
const THREE_THREADS: Option<usize> = Some(4);

type Work = Box<dyn FnOnce() + Send>;

/// A runtime whose work the model takes and runs, or drops, where it likes.
#[derive(Default)]
struct Held(Mutex<Vec<Work>>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

impl TestRuntime for Held {
    fn spawn(&self, work: Work) {
        self.0.lock().unwrap().push(work);
    }
}

impl Held {
    fn take(&self) -> Vec<Work> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Runs what there is, and what comes of it.
    fn run(&self) {
        loop {
            let work = self.take();
            if work.is_empty() {
                return;
            }
            work.into_iter().for_each(|work| work());
        }
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Task<'a> {
    append: Pin<Box<AppendFuture<'a>>>,
    wakes: Arc<Wakes>,
}

impl<'a> Task<'a> {
    fn waiting(journal: &'a Journal, runtime: &Arc<Held>) -> Self {
        let append = journal.append_async(1, b"task");
        let mut task = Self {
            append: Box::pin(append.on(Runtime::Test(runtime.clone()))),
            wakes: Arc::default(),
        };
        assert!(task.poll().is_pending());
        task
    }

    fn poll(&mut self) -> Poll<Result<u64, AppendError>> {
        let waker = waker(self.wakes.clone());
        self.append.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Polls it until it has ended; it was woken before each poll that is not the first.
    fn end(mut self, runtime: &Held) -> Result<u64, AppendError> {
        loop {
            runtime.run();
            assert!(
                self.wakes.0.swap(0, Ordering::Relaxed) > 0,
                "nobody woke it"
            );
            if let Poll::Ready(ended) = self.poll() {
                return ended;
            }
        }
    }
}

fn fresh() -> (Journal, Arc<Plain>) {
    let storage = Arc::new(Plain::default());
    (journal(storage.clone(), config()), storage)
}

/// A journal of which all syncs fail once this is set.
fn failing() -> (Journal, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let storage = Hooked::new(Arc::new(Plain::default()), {
        let fails = fails.clone();
        move |operation| {
            if operation == Operation::Sync && fails.load(Ordering::Relaxed) {
                return Err(ErrorKind::Other.into());
            }
            Ok(())
        }
    });
    (journal(storage, config()), fails)
}

fn append(journal: &Journal) -> thread::JoinHandle<Result<u64, AppendError>> {
    let journal = journal.clone();
    thread::spawn(move || journal.append(1, b"thread"))
}

#[track_caller]
fn are(mut sequences: Vec<u64>, storage: &dyn Storage) {
    sequences.sort_unstable();
    let expected: Vec<_> = (1..=sequences.len() as u64).collect();
    assert_eq!(sequences, expected);
    assert_eq!(payloads(storage).len(), sequences.len());
}

#[test]
fn loom_jn2h_the_lead_goes_from_thread_to_thread() {
    explore(TWO_THREADS, || {
        let (journal, storage) = fresh();
        let other = append(&journal);
        let mine = journal.append(1, b"thread").unwrap();
        let theirs = other.join().unwrap().unwrap();
        assert_eq!(journal.status().durable_sequence, 2);
        are(vec![mine, theirs], &*storage);
    });
}

#[test]
fn loom_jn2h_one_of_two_who_wait_leads() {
    explore(THREE_THREADS, || {
        let (journal, storage) = fresh();
        let others = [append(&journal), append(&journal)];
        let mine = journal.append(1, b"thread").unwrap();
        let theirs = others.map(|other| other.join().unwrap().unwrap());
        are([vec![mine], theirs.to_vec()].concat(), &*storage);
    });
}

#[test]
fn loom_jn2g_a_task_that_was_to_lead_is_dropped() {
    explore(THREE_THREADS, || {
        let (journal, storage) = fresh();
        let runtime = Arc::new(Held::default());
        let dropped = Task::waiting(&journal, &runtime);
        let stays = Task::waiting(&journal, &runtime);
        let called = runtime.take();
        let leader = thread::spawn(move || called.into_iter().for_each(|work| work()));
        let other = append(&journal);
        drop(dropped);
        let theirs = other.join().unwrap().unwrap();
        leader.join().unwrap();
        let mine = stays.end(&runtime).unwrap();
        are(vec![1, mine, theirs], &*storage);
    });
}

#[test]
fn loom_jn2h_a_runtime_goes_while_others_come() {
    explore(THREE_THREADS, || {
        let (journal, storage) = fresh();
        let gone = Arc::new(Held::default());
        let alive = Arc::new(Held::default());
        let lost = Task::waiting(&journal, &gone);
        let called = gone.take();
        let end = thread::spawn(move || drop(called));
        let other = append(&journal);
        let stays = Task::waiting(&journal, &alive);
        let theirs = other.join().unwrap().unwrap();
        end.join().unwrap();
        let mine = stays.end(&alive).unwrap();
        drop(lost);
        are(vec![1, mine, theirs], &*storage);
    });
}

#[test]
fn loom_jn3a_poison_reaches_all() {
    explore(THREE_THREADS, || {
        let (journal, fails) = failing();
        let runtime = Arc::new(Held::default());
        let task = Task::waiting(&journal, &runtime);
        fails.store(true, Ordering::Relaxed);
        let others = [append(&journal), append(&journal)];
        let mut causes: Vec<Poisoned> = Vec::new();
        let mut hear = |result: Result<u64, AppendError>| match result {
            Err(AppendError::Poisoned(cause)) => causes.push(cause),
            other => panic!("{other:?}"),
        };
        others.map(|other| hear(other.join().unwrap()));
        hear(task.end(&runtime));
        assert!(causes.iter().all(|cause| cause.is_same(&causes[0])));
        assert_eq!(journal.status().durable_sequence, 0);
    });
}

#[test]
fn loom_jn2k_closing_makes_durable_what_was_accepted() {
    explore(TWO_THREADS, || {
        let (journal, storage) = fresh();
        let other = append(&journal);
        journal.close().unwrap();
        let theirs = other.join().unwrap();
        match theirs {
            Ok(sequence) => are(vec![sequence], &*storage),
            Err(AppendError::Closed) => are(vec![], &*storage),
            Err(other) => panic!("{other}"),
        }
    });
}

/// Either may lead; the one whose write fails opens the journal again, and the other one goes on.
#[test]
fn loom_jn2k_two_who_close_come_to_an_end_when_a_write_fails() {
    explore(TWO_THREADS, || {
        let fails = Arc::new(AtomicBool::new(false));
        let inner = Arc::new(Plain::default());
        let storage = Hooked::new(inner.clone(), {
            let fails = fails.clone();
            move |operation| {
                if operation == Operation::Append && fails.swap(false, Ordering::Relaxed) {
                    return Err(ErrorKind::StorageFull.into());
                }
                Ok(())
            }
        });
        let config = config().sync(super::SyncPolicy::Never);
        let journal = journal(storage, config);
        journal.append(1, b"buffered").unwrap();
        fails.store(true, Ordering::Relaxed);
        let other = {
            let journal = journal.clone();
            thread::spawn(move || journal.close().is_ok())
        };
        let mine = journal.close().is_ok();
        let theirs = other.join().unwrap();
        let is_closed = matches!(journal.status().state, super::JournalState::Closed);
        assert_eq!(mine || theirs, is_closed);
        assert_eq!(payloads(&*inner).len(), usize::from(is_closed));
    });
}

#[test]
fn loom_jn2d_a_sync_covers_what_was_appended_before_it() {
    explore(TWO_THREADS, || {
        let storage = Arc::new(Plain::default());
        let config = config().sync(super::SyncPolicy::Never);
        let journal = journal(storage.clone(), config);
        let other = {
            let journal = journal.clone();
            thread::spawn(move || {
                let sequence = journal.append(1, b"thread").unwrap();
                assert!(journal.sync().unwrap() >= sequence);
                assert!(journal.status().durable_sequence >= sequence);
            })
        };
        let sequence = journal.append(1, b"mine").unwrap();
        assert!(journal.sync().unwrap() >= sequence);
        assert!(journal.status().durable_sequence >= sequence);
        other.join().unwrap();
        are(vec![1, 2], &*storage);
    });
}
