//! Where the work of an isolated bulkhead runs.

use super::isolated_threads::{Job, Threads};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

#[derive(Debug)]
pub(super) enum Place {
    /// A runtime and threads of its own.
    Own(Own),
    /// Wherever the caller runs: under tokio's clock, which must see all that goes on to know when
    /// time may pass.
    Callers,
}

#[derive(Debug)]
pub(super) struct Own {
    /// Until it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
    threads: Threads,
}

/// Why work could not be started.
#[derive(Debug)]
pub(super) enum NotStarted {
    NoRuntime,
    NoThread(io::Error),
}

impl Place {
    pub(super) fn own(name: &str, workers: usize, blocking: usize) -> io::Result<Self> {
        // The system takes the first 15 bytes, and no zeros.
        let name = name.replace('\0', " ");
        let runtime = runtime(&name, workers)?;
        let handle = runtime.handle().clone();
        Ok(Self::Own(Own {
            threads: Threads::new(name, blocking, handle.clone()),
            runtime: Some(runtime),
            handle,
        }))
    }

    pub(super) fn spawn(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<AbortHandle, NotStarted> {
        let spawned = match self {
            Self::Own(own) => own.handle.spawn(work),
            Self::Callers => current()?.spawn(work),
        };
        Ok(spawned.abort_handle())
    }

    pub(super) fn spawn_blocking(&self, job: Job) -> Result<(), NotStarted> {
        match self {
            Self::Own(own) => own.threads.run(job).map_err(NotStarted::NoThread),
            Self::Callers => {
                let _detached = current()?.spawn_blocking(job);
                Ok(())
            }
        }
    }

    pub(super) fn set_blocking_threads(&self, limit: usize) {
        if let Self::Own(own) = self {
            own.threads.set_limit(limit);
        }
    }
}

fn current() -> Result<Handle, NotStarted> {
    Handle::try_current().map_err(|_| NotStarted::NoRuntime)
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A plain drop waits for blocking work, and panics where waiting is forbidden.
            runtime.shutdown_background();
        }
    }
}

fn runtime(name: &str, workers: usize) -> io::Result<Runtime> {
    make_sure_of_threads(workers)?;
    let build = || {
        Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name(name)
            .enable_all()
            .build()
    };
    catch_unwind(AssertUnwindSafe(build))
        .unwrap_or_else(|_| Err(io::Error::other("the runtime's threads could not be made")))
}

/// Fails if the system does not give that many threads now. Tokio, when it finds that out half-way
/// through, panics, and then waits for the workers that it has.
fn make_sure_of_threads(number: usize) -> io::Result<()> {
    let mut threads = Vec::with_capacity(number);
    let mut found = Ok(());
    while found.is_ok() && threads.len() < number {
        let (gate, closes) = mpsc::channel::<()>();
        let waits = move || {
            let _ = closes.recv();
        };
        match thread::Builder::new().spawn(waits) {
            Ok(thread) => threads.push((gate, thread)),
            Err(error) => found = Err(error),
        }
    }
    let (gates, threads): (Vec<_>, Vec<_>) = threads.into_iter().unzip();
    drop(gates);
    for thread in threads {
        // They do nothing, so they do not panic.
        let _ = thread.join();
    }
    found
}
