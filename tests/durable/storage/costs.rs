//! What the calls of a storage cost, and how async code waits for them.

use backstop::durable::storage::{FsStorage, MemoryStorage, NotRun, Storage, offload};
use backstop::kernel::clock::Clock;
use futures::FutureExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// System calls of this thread that read and that write, as the kernel counts them.
#[cfg(target_os = "linux")]
fn system_calls() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let count = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    (count("syscr:"), count("syscw:"))
}

#[cfg(target_os = "linux")]
#[test]
fn st2a_an_append_is_one_write_and_a_read_one_read() {
    let temp = tempfile::tempdir().unwrap();
    let file = FsStorage.create_new(&temp.path().join("file")).unwrap();
    let mut into = [0; 16];
    // What reading the counters costs by itself.
    let (before, after) = (system_calls(), system_calls());
    let own = after.0 - before.0;
    let before = system_calls();
    file.append(b"0123456789").unwrap();
    let after = system_calls();
    assert_eq!((after.0 - before.0, after.1 - before.1), (own, 1));
    let before = system_calls();
    assert_eq!(file.read_at(&mut into, 2).unwrap(), 8);
    let after = system_calls();
    assert_eq!((after.0 - before.0, after.1 - before.1), (own + 1, 0));
}

#[test]
fn st2a_calls_on_an_open_file_allocate_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let file = FsStorage.create_new(&temp.path().join("file")).unwrap();
    let mut into = [0; 16];
    let counted = allocation_counter::measure(|| {
        file.append(b"0123456789").unwrap();
        file.sync().unwrap();
        file.read_at(&mut into, 0).unwrap();
        file.len().unwrap();
        file.truncate(5).unwrap();
        file.reserve(100).unwrap();
    });
    assert_eq!(counted.count_total, 0);
    // The counter counts.
    let counted = allocation_counter::measure(|| drop(FsStorage.list(temp.path()).unwrap()));
    assert!(counted.count_total > 0);
}

#[tokio::test(start_paused = true)]
async fn st2b_a_paused_clock_stands_still_while_work_is_under_way() {
    let clock = Clock::tokio();
    let start = clock.now();
    let hour = Duration::from_secs(3_600);
    let storage = MemoryStorage::new();
    let work = offload(move || {
        for number in 0..1_000 {
            let name = format!("{number}");
            storage.create_new(Path::new(&name)).unwrap();
            std::thread::yield_now();
        }
        storage.list(Path::new("")).unwrap().len()
    });
    tokio::select! {
        biased;
        () = clock.sleep_until(start + hour).unwrap() => panic!("the clock ran ahead"),
        done = work => assert_eq!(done, Ok(1_000)),
    }
    assert_eq!(clock.now(), start);

    // On a thread of its own the same work would be overtaken: it is not done before the hour is.
    let (go, gate) = mpsc::channel();
    let (done, mut work) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        gate.recv().unwrap();
        done.send(()).unwrap();
    });
    tokio::select! {
        biased;
        _ = &mut work => panic!("nothing let it go"),
        () = clock.sleep_until(start + hour).unwrap() => go.send(()).unwrap(),
    }
    work.await.unwrap();
    thread.join().unwrap();
}

#[test]
fn st2b_without_a_runtime_nothing_is_run() {
    let (ran, has_run) = mpsc::channel();
    let work = offload(move || ran.send(()));
    assert_eq!(work.now_or_never(), Some(Err(NotRun)));
    has_run.recv().unwrap_err();
}

#[tokio::test]
async fn st2b_work_goes_on_without_its_future_and_a_panic_goes_on_with_it() {
    let (done, wait) = mpsc::channel();
    drop(offload(move || done.send(7)));
    assert_eq!(offload(move || wait.recv()).await, Ok(Ok(7)));

    let panicking = offload(|| panic!("of the work"));
    let caught = std::panic::AssertUnwindSafe(panicking).catch_unwind().await;
    let panic = caught.unwrap_err();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "of the work");
}

#[test]
fn st2b_a_runtime_that_shut_down_runs_nothing_and_says_so() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.build().unwrap()
    };
    let gone = runtime();
    let handle = gone.handle().clone();
    gone.shutdown_background();
    let (ran, has_run) = mpsc::channel();
    let work = {
        let _inside = handle.enter();
        offload(move || ran.send(()))
    };
    assert_eq!(runtime().block_on(work), Err(NotRun));
    has_run.recv().unwrap_err();
}
