//! Appending from tasks: who leads for them, and what a dropped future leaves.

use crate::durable::journal::append::AppendFuture;
use crate::durable::journal::rig::{Door, Hooked, config, journal, payloads, until};
use crate::durable::journal::runtime::{Runtime, TestRuntime};
use crate::durable::journal::{AppendError, Journal, SyncPolicy};
use crate::durable::storage::{MemoryStorage, Operation};
use futures::task::{ArcWake, waker};
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// A runtime that keeps what is spawned until it is told what to do with it.
#[derive(Default)]
struct Held {
    work: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    is_shut_down: AtomicBool,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

impl TestRuntime for Held {
    fn spawn(&self, work: Box<dyn FnOnce() + Send>) {
        if !self.is_shut_down.load(Ordering::Relaxed) {
            self.work.lock().unwrap().push(work);
        }
    }
}

impl Held {
    fn len(&self) -> usize {
        self.work.lock().unwrap().len()
    }

    fn run(&self) {
        let work = std::mem::take(&mut *self.work.lock().unwrap());
        work.into_iter().for_each(|work| work());
    }

    fn shut_down(&self) {
        self.is_shut_down.store(true, Ordering::Relaxed);
        let work = std::mem::take(&mut *self.work.lock().unwrap());
        drop(work);
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that appends.
struct Task<'a> {
    append: Pin<Box<AppendFuture<'a>>>,
    wakes: Arc<Wakes>,
}

impl<'a> Task<'a> {
    fn new(journal: &'a Journal, runtime: &Arc<Held>, payload: &'a [u8]) -> Self {
        let append = journal.append_async(1, payload);
        Self {
            append: Box::pin(append.on(Runtime::Test(runtime.clone()))),
            wakes: Arc::default(),
        }
    }

    fn poll(&mut self) -> Poll<Result<u64, AppendError>> {
        let waker = waker(self.wakes.clone());
        self.append.as_mut().poll(&mut Context::from_waker(&waker))
    }

    #[track_caller]
    fn waiting(journal: &'a Journal, runtime: &Arc<Held>, payload: &'a [u8]) -> Self {
        let mut task = Self::new(journal, runtime, payload);
        assert!(task.poll().is_pending());
        task
    }

    /// It was woken once, and has this sequence.
    #[track_caller]
    fn ends(mut self, sequence: u64) {
        assert_eq!(self.wakes.0.load(Ordering::Relaxed), 1);
        match self.poll() {
            Poll::Ready(Ok(got)) => assert_eq!(got, sequence),
            other => panic!("{other:?}"),
        }
        self.leaves_nothing();
    }

    /// Nothing of ours has its waker.
    #[track_caller]
    fn leaves_nothing(self) {
        let wakes = self.wakes.clone();
        drop(self);
        assert_eq!(Arc::strong_count(&wakes), 1, "a waker is left");
    }
}

fn fresh() -> (Journal, Arc<MemoryStorage>, Arc<Held>) {
    let storage = Arc::new(MemoryStorage::new());
    (journal(storage.clone(), config()), storage, Arc::default())
}

#[test]
fn jn2b_one_thread_leads_for_all_tasks() {
    let (journal, storage, runtime) = fresh();
    let tasks: Vec<_> = (0..5)
        .map(|_| Task::waiting(&journal, &runtime, b"task"))
        .collect();
    assert_eq!(runtime.len(), 1, "one was called");
    runtime.run();
    for (task, sequence) in tasks.into_iter().zip(1..) {
        task.ends(sequence);
    }
    assert_eq!(journal.engine().site.figures.totals(), (5, 1));
    assert_eq!(payloads(&*storage).len(), 5);
}

#[test]
fn jn2g_before_its_first_poll_a_dropped_append_appends_nothing() {
    let (journal, storage, runtime) = fresh();
    Task::new(&journal, &runtime, b"never").leaves_nothing();
    assert_eq!(runtime.len(), 0);
    assert_eq!(journal.append(1, b"one").unwrap(), 1);
    assert_eq!(payloads(&*storage), [b"one"]);
}

#[test]
fn jn2g_jn2h_a_dropped_append_holds_nobody_up_whoever_was_to_lead() {
    for dropped in 0..3 {
        for polls_again in [false, true] {
            let (journal, storage, runtime) = fresh();
            let mut tasks: Vec<_> = (0..3)
                .map(|_| Some(Task::waiting(&journal, &runtime, b"task")))
                .collect();
            let mut gone = tasks[dropped].take().unwrap();
            if polls_again {
                assert!(gone.poll().is_pending());
            }
            gone.leaves_nothing();
            runtime.run();
            for (task, sequence) in tasks.into_iter().zip(1..) {
                if let Some(task) = task {
                    task.ends(sequence);
                }
            }
            assert_eq!(journal.append(1, b"next").unwrap(), 4);
            assert_eq!(payloads(&*storage).len(), 4, "no hole");
        }
    }
}

#[test]
fn jn2g_an_append_dropped_between_its_end_and_its_poll_leaves_nothing() {
    let (journal, _, runtime) = fresh();
    let task = Task::waiting(&journal, &runtime, b"task");
    runtime.run();
    task.leaves_nothing();
    // Its place is free again.
    let next = Task::waiting(&journal, &runtime, b"task");
    runtime.run();
    next.ends(2);
}

#[test]
fn jn2g_when_all_are_dropped_the_next_append_takes_them_along() {
    let (journal, storage, runtime) = fresh();
    for _ in 0..3 {
        Task::waiting(&journal, &runtime, b"task").leaves_nothing();
    }
    runtime.shut_down();
    assert_eq!(journal.append(1, b"next").unwrap(), 4);
    assert_eq!(payloads(&*storage).len(), 4);
}

#[test]
fn jn2h_when_a_runtime_is_shut_down_others_lead() {
    let (journal, storage, gone) = fresh();
    let alive = Arc::new(Held::default());
    let first = Task::waiting(&journal, &gone, b"of the one that goes");
    let mut second = Task::waiting(&journal, &alive, b"of the other");
    assert_eq!((gone.len(), alive.len()), (1, 0));
    gone.shut_down();
    // All tasks are told, and the one that still runs calls.
    assert_eq!(second.wakes.0.load(Ordering::Relaxed), 1);
    assert!(second.poll().is_pending());
    assert_eq!(alive.len(), 1);
    alive.run();
    assert!(matches!(second.poll(), Poll::Ready(Ok(2))));
    drop(first);
    assert_eq!(payloads(&*storage).len(), 2);
}

#[test]
fn jn2h_a_thread_leads_when_who_was_called_does_not_come() {
    let (journal, storage, stuck) = fresh();
    let task = Task::waiting(&journal, &stuck, b"task");
    assert_eq!(journal.append(1, b"thread").unwrap(), 2);
    task.ends(1);
    assert_eq!(payloads(&*storage).len(), 2);
    // Who was called comes too late, and has nothing to do.
    stuck.run();
    assert_eq!(journal.engine().site.figures.totals(), (2, 1));
}

#[test]
fn jn2h_a_leader_of_tasks_goes_on_with_those_who_came_meanwhile() {
    let door = Arc::new(Door::default());
    let storage = Hooked::new(Arc::new(MemoryStorage::new()), {
        let door = door.clone();
        move |operation| {
            if operation == Operation::Sync {
                door.pass();
            }
            Ok(())
        }
    });
    let journal = journal(storage, config());
    let runtime = Arc::new(Held::default());
    let first = Task::waiting(&journal, &runtime, b"first");
    door.shut();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| runtime.run());
        door.wait_for_one();
        let second = Task::waiting(&journal, &runtime, b"second");
        assert_eq!(runtime.len(), 0, "nobody else is called");
        door.open();
        leader.join().unwrap();
        first.ends(1);
        second.ends(2);
    });
}

#[test]
fn jn2h_a_thread_that_waits_leads_before_a_task() {
    let door = Arc::new(Door::default());
    let storage = Hooked::new(Arc::new(MemoryStorage::new()), {
        let door = door.clone();
        move |operation| {
            if operation == Operation::Sync {
                door.pass();
            }
            Ok(())
        }
    });
    let journal = journal(storage, config());
    let runtime = Arc::new(Held::default());
    door.shut();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| journal.append(1, b"first").unwrap());
        door.wait_for_one();
        let task = Task::waiting(&journal, &runtime, b"task");
        let second = scope.spawn(|| journal.append(1, b"second").unwrap());
        until(|| journal.status().last_sequence == 3);
        door.open();
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (1, 3));
        assert_eq!(runtime.len(), 0);
        task.ends(2);
    });
}

#[test]
fn jn2h_a_thread_that_goes_calls_the_runtime_of_a_task_that_waits() {
    let door = Arc::new(Door::default());
    let storage = Hooked::new(Arc::new(MemoryStorage::new()), {
        let door = door.clone();
        move |operation| {
            if operation == Operation::Sync {
                door.pass();
            }
            Ok(())
        }
    });
    let journal = journal(storage, config());
    let runtime = Arc::new(Held::default());
    door.shut();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| journal.append(1, b"first").unwrap());
        door.wait_for_one();
        let task = Task::waiting(&journal, &runtime, b"task");
        door.open();
        first.join().unwrap();
        assert_eq!(runtime.len(), 1);
        runtime.run();
        task.ends(2);
    });
}

#[test]
fn jn3a_tasks_hear_of_a_failed_sync() {
    let fails = Arc::new(AtomicBool::new(false));
    let storage = Hooked::new(Arc::new(MemoryStorage::new()), {
        let fails = fails.clone();
        move |operation| {
            if operation == Operation::Sync && fails.load(Ordering::Relaxed) {
                return Err(ErrorKind::Other.into());
            }
            Ok(())
        }
    });
    let journal = journal(storage, config());
    let runtime = Arc::new(Held::default());
    let tasks: Vec<_> = (0..3)
        .map(|_| Task::waiting(&journal, &runtime, b"task"))
        .collect();
    fails.store(true, Ordering::Relaxed);
    runtime.run();
    let mut causes = Vec::new();
    for mut task in tasks {
        match task.poll() {
            Poll::Ready(Err(AppendError::Poisoned(cause))) => causes.push(cause),
            other => panic!("{other:?}"),
        }
    }
    assert!(causes.iter().all(|cause| cause.is_same(&causes[0])));
}

#[test]
fn jn2i_tasks_that_find_no_room_wait_for_it() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = journal(
        storage.clone(),
        config().sync(SyncPolicy::Never).buffer_bytes(200),
    );
    let runtime = Arc::new(Held::default());
    let mut first = Task::new(&journal, &runtime, &[7; 100]);
    assert!(matches!(first.poll(), Poll::Ready(Ok(1))));
    let mut second = Task::waiting(&journal, &runtime, &[7; 100]);
    let third = Task::waiting(&journal, &runtime, &[7; 100]);
    assert_eq!(journal.status().last_sequence, 1);
    third.leaves_nothing();
    runtime.run();
    assert!(matches!(second.poll(), Poll::Ready(Ok(2))));
    journal.sync().unwrap();
    assert_eq!(payloads(&*storage).len(), 2);
}

#[test]
fn jn2d_what_is_buffered_is_ready_at_once_and_needs_no_runtime() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = journal(storage, config().sync(SyncPolicy::Never));
    let mut append = std::pin::pin!(journal.append_async(1, b"one"));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(append.as_mut().poll(&mut cx), Poll::Ready(Ok(1))));
}

#[test]
fn jn2g_without_a_runtime_nothing_is_appended() {
    let (journal, ..) = fresh();
    let mut append = std::pin::pin!(journal.append_async(1, b"one"));
    let mut cx = Context::from_waker(Waker::noop());
    let polled = append.as_mut().poll(&mut cx);
    assert!(matches!(polled, Poll::Ready(Err(AppendError::NoRuntime))));
    assert_eq!(journal.status().last_sequence, 0);
}

/// A waker that asks the journal how it stands, whatever is done to it.
fn nosy(journal: &Journal, seen: &Arc<AtomicUsize>) -> Waker {
    struct Nosy(Journal, Arc<AtomicUsize>);
    impl Nosy {
        fn look(&self) {
            // Would not return if the lock were held here.
            let _ = self.0.status();
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl ArcWake for Nosy {
        fn wake_by_ref(this: &Arc<Self>) {
            this.look();
        }
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.look();
        }
    }
    waker(Arc::new(Nosy(journal.clone(), seen.clone())))
}

#[test]
fn jn2l_wakers_are_woken_and_dropped_outside_the_lock() {
    let (journal, _, runtime) = fresh();
    let seen = Arc::new(AtomicUsize::new(0));
    let mut task = Task::new(&journal, &runtime, b"task");
    for _ in 0..2 {
        let waker = nosy(&journal, &seen);
        assert!(
            task.append
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    assert_eq!(
        seen.load(Ordering::Relaxed),
        1,
        "the first one was replaced"
    );
    runtime.run();
    assert_eq!(seen.load(Ordering::Relaxed), 3, "the second one was woken");
    let waker = nosy(&journal, &seen);
    assert!(
        task.append
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
    );
    drop(waker);
    // A dropped future drops its waker outside, too.
    let mut task = Task::new(&journal, &runtime, b"task");
    let waker = nosy(&journal, &seen);
    assert!(
        task.append
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(waker);
    drop(task);
    assert_eq!(seen.load(Ordering::Relaxed), 5);
}

#[test]
fn jn2l_a_waker_that_panics_keeps_nobody_from_being_woken() {
    struct Panics;
    impl ArcWake for Panics {
        fn wake_by_ref(_: &Arc<Self>) {
            panic!("a waker that panics");
        }
    }
    let (journal, _, runtime) = fresh();
    let mut bad = Task::new(&journal, &runtime, b"bad");
    let waker = waker(Arc::new(Panics));
    assert!(
        bad.append
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    let good = Task::waiting(&journal, &runtime, b"good");
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.run()));
    assert!(ran.is_err());
    good.ends(2);
    assert!(matches!(bad.poll(), Poll::Ready(Ok(1))));
    assert_eq!(journal.append(1, b"next").unwrap(), 3);
}

#[test]
fn jn2h_a_real_runtime_that_is_shut_down_leaves_no_task_of_another_behind() {
    let (journal, storage, _) = fresh();
    let build = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .build()
            .unwrap()
    };
    let (gone, alive) = (build(), build());
    let (release, held) = std::sync::mpsc::channel::<()>();
    // Its only thread for blocking work is busy, so who is called there does not come.
    gone.spawn_blocking(move || held.recv());
    std::thread::scope(|scope| {
        let journal = &journal;
        let counter = Arc::new(Wakes::default());
        let mut lost = Box::pin(journal.append_async(1, b"lost"));
        {
            let _inside = gone.enter();
            let waker = waker(counter.clone());
            assert!(
                lost.as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        let other = scope.spawn(|| alive.block_on(journal.append_async(1, b"other")));
        until(|| journal.status().last_sequence == 2);
        drop(release);
        gone.shutdown_background();
        assert_eq!(other.join().unwrap().unwrap(), 2);
    });
    assert_eq!(payloads(&*storage).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jn2b_thousands_of_tasks_and_threads_lose_nothing() {
    let storage = Arc::new(MemoryStorage::new());
    let journal = journal(storage.clone(), config().segment_bytes(1 << 16));
    let tasks: Vec<_> = (0..500)
        .map(|n: u32| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for _ in 0..4 {
                    if n % 7 == 0 {
                        // A blocking append in a task blocks its thread, and works.
                        journal.append(n, b"blocking").unwrap();
                    } else {
                        journal.append_async(n, b"async").await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(payloads(&*storage).len(), 2000);
    assert_eq!(journal.status().durable_sequence, 2000);
}

#[tokio::test(start_paused = true)]
async fn jn2e_a_paused_clock_moves_the_interval() {
    use crate::durable::journal::rig::opened;
    use crate::kernel::clock::Clock;
    use std::time::Duration;
    let storage = Arc::new(MemoryStorage::new());
    let config = config().sync(SyncPolicy::Interval(Duration::from_secs(60)));
    let journal = opened(storage.clone(), config, Clock::tokio())
        .start()
        .unwrap();
    assert_eq!(journal.append_async(1, b"one").await.unwrap(), 1);
    assert!(payloads(&*storage).is_empty());
    // The flusher hears of it.
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_secs(59)).await;
    tokio::task::yield_now().await;
    assert!(payloads(&*storage).is_empty());
    tokio::time::advance(Duration::from_secs(2)).await;
    while journal.status().durable_sequence == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(payloads(&*storage), [b"one"]);
    assert_eq!(journal.sync_async().await.unwrap(), 1);
}

#[test]
fn jn2e_when_its_runtime_goes_a_thread_flushes() {
    use crate::durable::journal::rig::opened;
    use crate::kernel::clock::Clock;
    use std::time::Duration;
    let storage = Arc::new(MemoryStorage::new());
    let config = config().sync(SyncPolicy::Interval(Duration::from_millis(1)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let journal = runtime.block_on(async {
        opened(storage.clone(), config, Clock::tokio())
            .start()
            .unwrap()
    });
    drop(runtime);
    journal.append(1, b"one").unwrap();
    until(|| journal.status().durable_sequence == 1);
    assert_eq!(payloads(&*storage), [b"one"]);
}
