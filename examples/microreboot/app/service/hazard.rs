//! What can go wrong in an incarnation of a component. All of it is real: locks that are held for ever,
//! memory that is kept, panics.

use super::fail::Fail;
use crate::app::time::sleep;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex as StdMutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Barrier, Mutex, RwLock, Semaphore};

/// What a leaking component keeps of each call, and what it may keep.
const LEAK: usize = 256 << 10;
const ARENA: usize = 12 * LEAK;

#[derive(Debug, Default)]
pub(crate) struct Hazard {
    /// The two locks of a component: each call passes the first one.
    door: RwLock<()>,
    book: Mutex<()>,
    /// What the component keeps.
    arena: StdMutex<VecDeque<Box<[u8]>>>,
    leaks: AtomicBool,
    panics: AtomicBool,
    /// Calls that will be slow, and calls that will fail: disturbances that pass.
    slow: AtomicU32,
    errors: AtomicU32,
}

impl Hazard {
    /// What each call of the component goes through.
    pub(crate) async fn pass(&self) -> Result<(), Fail> {
        drop(self.door.read().await);
        if self.leaks.load(Relaxed) {
            self.keep()?;
        }
        assert!(!self.panics.load(Relaxed), "the scratch file is damaged");
        if take(&self.slow) {
            sleep(Duration::from_millis(120)).await;
        }
        if take(&self.errors) {
            return Err(Fail::broken("a moment's weakness"));
        }
        Ok(())
    }

    fn keep(&self) -> Result<(), Fail> {
        let mut arena = self.arena.lock().unwrap_or_else(PoisonError::into_inner);
        if arena.len() * LEAK >= ARENA {
            return Err(Fail::broken("out of memory"));
        }
        // Written, so that it is memory and not a promise of some.
        arena.push_back(vec![1; LEAK].into_boxed_slice());
        Ok(())
    }

    pub(crate) fn leak(&self) {
        self.leaks.store(true, Relaxed);
    }

    pub(crate) fn panic(&self) {
        self.panics.store(true, Relaxed);
    }

    pub(crate) fn stumble(&self, slow: u32, errors: u32) {
        self.slow.fetch_add(slow, Relaxed);
        self.errors.fetch_add(errors, Relaxed);
    }

    /// Two tasks take the two locks, each in its own order, and wait for each other until the incarnation
    /// is gone.
    pub(crate) fn deadlock(self: &Arc<Self>, down: &Arc<Semaphore>) {
        let meet = Arc::new(Barrier::new(2));
        for door_first in [true, false] {
            let (hazard, down, meet) = (self.clone(), down.clone(), meet.clone());
            tokio::spawn(async move {
                let both = async {
                    if door_first {
                        let _door = hazard.door.write().await;
                        meet.wait().await;
                        drop(hazard.book.lock().await);
                    } else {
                        let _book = hazard.book.lock().await;
                        meet.wait().await;
                        drop(hazard.door.write().await);
                    }
                };
                tokio::select! {
                    () = both => (),
                    _ = down.acquire() => (),
                }
            });
        }
    }
}

fn take(left: &AtomicU32) -> bool {
    left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
        .is_ok()
}
