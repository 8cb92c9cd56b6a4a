//! Syncs that fail, and calls that never return.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// Runs it in a thread whose every sync of a file or directory fails with EIO, as after a disk that lost a write. The
/// kernel is made to say so: nothing of the peer is replaced.
pub(crate) fn where_syncs_fail<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let syncs = [libc::SYS_fsync, libc::SYS_fdatasync].map(|call| (call, Vec::new()));
    let filter = SeccompFilter::new(
        BTreeMap::from(syncs),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EIO.cast_unsigned()),
        ARCH.try_into().expect("an architecture it knows"),
    );
    let filter: BpfProgram = filter
        .and_then(TryInto::try_into)
        .expect("a filter of system calls");
    thread::scope(|scope| {
        let failing = scope.spawn(|| {
            apply_filter(&filter).expect("a kernel with seccomp");
            run()
        });
        failing.join().expect("no panic")
    })
}

/// What it answers, from a thread of its own; `None` if it does not within a time a thousand times longer than it takes.
/// The thread is then left behind.
pub(crate) fn answer<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(call()));
    match receiver.recv_timeout(Duration::from_secs(2)) {
        Ok(answer) => Some(answer),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => panic!("it panicked"),
    }
}
