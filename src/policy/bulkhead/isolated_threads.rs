//! The threads of an isolated bulkhead that run blocking work.
//!
//! Not tokio's `spawn_blocking`: where the system gives no thread, that one panics and keeps the
//! job in its queue, or leaves it to threads that may all be stuck. Here it is an error, and the
//! job is gone.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// An idle thread ends after this long, as tokio's do.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Made on demand, at most as many as calls may run. Dropping it lets idle ones end, busy ones
/// after their job.
#[derive(Debug)]
pub(super) struct Threads(Arc<Crew>);

#[derive(Debug)]
struct Crew {
    name: String,
    /// What runs on these threads finds the compartment's runtime as the current one.
    runtime: Handle,
    board: Mutex<Board>,
    news: Condvar,
}

#[derive(Default)]
struct Board {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Those that wait, whether or not a job is on its way to them.
    idle: usize,
    limit: usize,
    closed: bool,
}

impl Threads {
    pub(super) fn new(name: String, limit: usize, runtime: Handle) -> Self {
        let board = Board {
            limit,
            ..Board::default()
        };
        Self(Arc::new(Crew {
            name,
            runtime,
            board: Mutex::new(board),
            news: Condvar::new(),
        }))
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.0.board.lock().limit = limit;
    }

    /// Runs a job on a thread of its own. The caller sees to it that no more than the limit run.
    ///
    /// # Errors
    ///
    /// The system gives no thread. The job is dropped.
    pub(super) fn run(&self, job: Job) -> io::Result<()> {
        let mut board = self.0.board.lock();
        // At the limit, a thread has finished its job and is about to look for the next.
        if board.idle > board.jobs.len() || board.threads >= board.limit {
            board.jobs.push_back(job);
            drop(board);
            self.0.news.notify_one();
            return Ok(());
        }
        board.threads += 1;
        drop(board);
        let crew = self.0.clone();
        let spawned = std::thread::Builder::new()
            .name(self.0.name.clone())
            .spawn(move || crew.work(job));
        match spawned {
            Ok(_detached) => Ok(()),
            Err(error) => {
                self.0.board.lock().threads -= 1;
                Err(error)
            }
        }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.board.lock().threads
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let mut board = self.0.board.lock();
        board.closed = true;
        let never_begun = std::mem::take(&mut board.jobs);
        drop(board);
        self.0.news.notify_all();
        drop(never_begun);
    }
}

impl Crew {
    fn work(&self, first: Job) {
        let _runtime = self.runtime.enter();
        let mut next = Some(first);
        while let Some(job) = next {
            // Jobs catch what their work does; this is for the values that they drop.
            let _ = catch_unwind(AssertUnwindSafe(job));
            next = self.next();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut board = self.board.lock();
        let mut waited = false;
        loop {
            if let Some(job) = board.jobs.pop_front() {
                return Some(job);
            }
            if board.closed || waited || board.threads > board.limit {
                board.threads -= 1;
                return None;
            }
            board.idle += 1;
            waited = self.news.wait_for(&mut board, KEEP_ALIVE).timed_out();
            board.idle -= 1;
        }
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board")
            .field("jobs", &self.jobs.len())
            .field("threads", &self.threads)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }

    #[test]
    fn an_idle_thread_is_used_again_and_a_panic_ends_none() {
        let runtime = runtime();
        let threads = Threads::new("crew".into(), 2, runtime.handle().clone());
        let (done, is_done) = mpsc::channel();
        for round in 0..100 {
            let done = done.clone();
            let job = move || {
                done.send(std::thread::current().name().map(str::to_owned))
                    .unwrap();
                assert!(round % 2 == 0, "a job that panics");
            };
            threads.run(Box::new(job)).unwrap();
            assert_eq!(is_done.recv().unwrap().as_deref(), Some("crew"));
        }
        assert!((1..=2).contains(&threads.count()));
    }

    #[test]
    fn what_is_dropped_ends_its_threads() {
        let runtime = runtime();
        let threads = Threads::new("crew".into(), 1, runtime.handle().clone());
        let crew = Arc::downgrade(&threads.0);
        let (go, may_go) = mpsc::channel::<()>();
        let (done, is_done) = mpsc::channel();
        let begun = done.clone();
        threads
            .run(Box::new(move || {
                begun.send("begun").unwrap();
                may_go.recv().unwrap();
                begun.send("ended").unwrap();
            }))
            .unwrap();
        assert_eq!(is_done.recv(), Ok("begun"));
        // One job too many waits for a thread, and is dropped with them.
        threads
            .run(Box::new(move || done.send("never").unwrap()))
            .unwrap();
        drop(threads);
        go.send(()).unwrap();
        assert_eq!(is_done.recv(), Ok("ended"));
        assert!(is_done.recv().is_err(), "nobody is left to send");
        while crew.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
