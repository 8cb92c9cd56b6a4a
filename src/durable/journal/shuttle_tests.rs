//! An engine with threads, tasks, cancellations and a disk that fails, under many seeded schedules.
//!
//! `BACKSTOP_SHUTTLE_ITERATIONS` sets the number of schedules (100,000, or 1,000,000 with
//! `BACKSTOP_SOAK`), `BACKSTOP_SHUTTLE_SEED` the seed that they all follow from, as for the circuit
//! breaker.

use super::append::AppendFuture;
use super::plain::Plain;
use super::rig::{Hooked, config, journal, read_back};
use super::runtime::{Runtime, TestRuntime};
use super::{AppendError, Journal, SyncPolicy};
use crate::durable::storage::Operation;
use crate::kernel::clock::unparker;
use crate::kernel::sync::park;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

const ACTORS: u32 = 4;
const STEPS: u32 = 4;

fn from_env<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn explore(scenario: fn()) {
    let is_soak = std::env::var_os("BACKSTOP_SOAK").is_some();
    let default = if is_soak { 1_000_000 } else { 100_000 };
    let schedules: usize = from_env("BACKSTOP_SHUTTLE_ITERATIONS").unwrap_or(default);
    let seed = from_env("BACKSTOP_SHUTTLE_SEED").unwrap_or(0x5EED);
    println!("{schedules} schedules from seed {seed}");
    let mut config = shuttle::Config::new();
    config.silence_warnings = true;
    let at_random = RandomScheduler::new_from_seed(seed, schedules.div_ceil(2));
    shuttle::Runner::new(at_random, config.clone()).run(scenario);
    let overtaken = PctScheduler::new_from_seed(seed, 4, schedules / 2);
    shuttle::Runner::new(overtaken, config).run(scenario);
}

fn draw(below: u32) -> u32 {
    thread_rng().gen_range(0..below)
}

/// A runtime with a thread per call, that at times is shut down for one.
#[derive(Debug, Default)]
struct Threads(Mutex<Vec<thread::JoinHandle<()>>>);

impl TestRuntime for Threads {
    fn spawn(&self, work: Box<dyn FnOnce() + Send>) {
        if draw(4) == 0 {
            return drop(work);
        }
        let thread = thread::spawn(work);
        self.0.lock().unwrap().push(thread);
    }
}

impl Threads {
    fn join(&self) {
        loop {
            let Some(thread) = self.0.lock().unwrap().pop() else {
                return;
            };
            thread.join().unwrap();
        }
    }
}

/// Which records were acknowledged, by sequence.
type Ledger = Mutex<BTreeMap<u64, u32>>;

struct Stage {
    journal: Journal,
    storage: Arc<Plain>,
    runtime: Arc<Threads>,
    acknowledged: Ledger,
    /// The last sequence that the disk has synced, kept beside the journal.
    poisons: Arc<AtomicBool>,
}

impl Stage {
    fn drawn(policy: SyncPolicy, fails: bool) -> Arc<Self> {
        let storage = Arc::new(Plain::default());
        let poisons = Arc::new(AtomicBool::new(false));
        let is_up = Arc::new(AtomicBool::new(false));
        let hooked = Hooked::new(storage.clone(), {
            let (poisons, is_up) = (poisons.clone(), is_up.clone());
            move |operation| {
                if !fails || !is_up.load(Ordering::Relaxed) {
                    return Ok(());
                }
                match operation {
                    Operation::Append | Operation::Create if draw(8) == 0 => {
                        Err(ErrorKind::StorageFull.into())
                    }
                    Operation::Sync if draw(24) == 0 => {
                        poisons.store(true, Ordering::Relaxed);
                        Err(ErrorKind::Other.into())
                    }
                    _ => Ok(()),
                }
            }
        });
        // Two or three records to a segment, and room for a few in the buffer.
        let config = config()
            .sync(policy)
            .segment_bytes(64 + 120)
            .buffer_bytes(150);
        let journal = journal(hooked, config);
        is_up.store(true, Ordering::Relaxed);
        Arc::new(Self {
            journal,
            storage,
            runtime: Arc::default(),
            acknowledged: Ledger::default(),
            poisons,
        })
    }

    fn heard(&self, kind: u32, appended: Result<u64, AppendError>) {
        match appended {
            Ok(sequence) => {
                if !self.journal.engine().is_buffered {
                    let durable = self.journal.status().durable_sequence;
                    assert!(durable >= sequence, "{sequence} is not durable");
                }
                let before = self.acknowledged.lock().unwrap().insert(sequence, kind);
                assert_eq!(before, None, "{sequence} was given twice");
            }
            Err(AppendError::Poisoned(_)) => assert!(self.poisons.load(Ordering::Relaxed)),
            Err(AppendError::Storage(error)) => assert!(error.is_full()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Polls an append until it has ended, or drops it before.
    fn task(&self, kind: u32) {
        let append: AppendFuture<'_> = self.journal.append_async(kind, b"task");
        let mut append = pin!(append.on(Runtime::Test(self.runtime.clone())));
        let waker = unparker();
        let mut patience = draw(4);
        loop {
            match append.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(appended) => return self.heard(kind, appended),
                // Dropped, as by a timeout.
                Poll::Pending if patience == 1 => return,
                Poll::Pending => {
                    patience = patience.saturating_sub(1);
                    park();
                }
            }
        }
    }

    fn act(&self, actor: u32) {
        for step in 0..STEPS {
            let kind = actor * STEPS + step;
            match draw(4) {
                0 | 1 => self.heard(kind, self.journal.append(kind, b"thread")),
                2 => self.task(kind),
                _ => {
                    let last = self.journal.status().last_sequence;
                    if let Ok(synced) = self.journal.sync() {
                        let _ = last;
                        assert!(self.journal.status().durable_sequence >= synced);
                    }
                }
            }
        }
    }

    /// What was acknowledged is in the files, once and in its place.
    fn check(&self, is_buffered: bool) {
        let is_poisoned = self.poisons.load(Ordering::Relaxed);
        while is_buffered && !is_poisoned && !self.poisons.load(Ordering::Relaxed) {
            if self.journal.sync().is_ok() {
                break;
            }
        }
        let is_poisoned = self.poisons.load(Ordering::Relaxed);
        let stored: BTreeMap<u64, u32> = read_back(&*self.storage)
            .into_iter()
            .flat_map(|(_, records)| records)
            .map(|record| (record.header.sequence, record.header.kind))
            .collect();
        for (sequence, kind) in &*self.acknowledged.lock().unwrap() {
            if is_buffered && is_poisoned && !stored.contains_key(sequence) {
                continue;
            }
            assert_eq!(stored.get(sequence), Some(kind), "sequence {sequence}");
        }
    }
}

fn run(policy: SyncPolicy, fails: bool) {
    let stage = Stage::drawn(policy, fails);
    let actors: Vec<_> = (0..ACTORS)
        .map(|actor| {
            let stage = stage.clone();
            thread::spawn(move || stage.act(actor))
        })
        .collect();
    for actor in actors {
        actor.join().unwrap();
    }
    stage.runtime.join();
    stage.check(policy != SyncPolicy::Always);
}

#[test]
fn shuttle_jn2h_threads_and_tasks_lead_each_other() {
    explore(|| run(SyncPolicy::Always, false));
}

#[test]
fn shuttle_jn3a_jn3c_a_disk_that_fails_loses_nothing_acknowledged() {
    explore(|| run(SyncPolicy::Always, true));
}

#[test]
fn shuttle_jn3f_what_is_buffered_outlives_a_full_disk() {
    explore(|| run(SyncPolicy::Never, true));
}
