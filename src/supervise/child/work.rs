//! The further work of an incarnation: its tasks, so that they can be aborted.

use super::incarnation::Guard;
use crate::kernel::sync::Mutex;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::task::AbortHandle;

/// Made with the first piece of further work.
#[derive(Debug, Default)]
pub(crate) struct Work(Mutex<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    aborted: bool,
    places: Vec<Place>,
    free: Vec<u32>,
    kept: Vec<Guard>,
}

#[derive(Debug)]
enum Place {
    /// Its task is being spawned.
    Reserved,
    Task(AbortHandle),
    /// Its task ended before it was put here.
    Over,
    Free,
}

impl Work {
    pub(super) fn reserve(&self) -> u32 {
        let mut tasks = self.0.lock();
        if let Some(place) = tasks.free.pop() {
            tasks.places[place as usize] = Place::Reserved;
            return place;
        }
        tasks.places.push(Place::Reserved);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "tasks are larger than a byte"
        )]
        let place = (tasks.places.len() - 1) as u32;
        place
    }

    pub(super) fn put(&self, place: u32, task: AbortHandle) {
        let mut tasks = self.0.lock();
        if matches!(tasks.places[place as usize], Place::Over) {
            tasks.places[place as usize] = Place::Free;
            tasks.free.push(place);
        } else if tasks.aborted {
            drop(tasks);
            task.abort();
        } else {
            tasks.places[place as usize] = Place::Task(task);
        }
    }

    pub(super) fn leave(&self, place: u32) {
        let mut tasks = self.0.lock();
        let over = match tasks.places[place as usize] {
            Place::Reserved => Place::Over,
            _ => Place::Free,
        };
        let is_free = matches!(over, Place::Free);
        let left = std::mem::replace(&mut tasks.places[place as usize], over);
        if is_free {
            tasks.free.push(place);
        }
        drop(tasks);
        drop(left);
    }

    /// Aborts all that is there and all that comes later.
    pub(super) fn abort(&self) {
        let mut tasks = self.0.lock();
        tasks.aborted = true;
        let all: Vec<_> = tasks
            .places
            .iter()
            .filter_map(|place| match place {
                Place::Task(task) => Some(task.clone()),
                _ => None,
            })
            .collect();
        drop(tasks);
        // It may drop the work right here, and that is the user's.
        all.iter().for_each(AbortHandle::abort);
    }

    pub(super) fn keep(&self, guard: Guard) {
        self.0.lock().kept.push(guard);
    }

    pub(super) fn let_go(&self) {
        let kept = std::mem::take(&mut self.0.lock().kept);
        drop(kept);
    }
}

/// A piece of further work: its place is left, and its incarnation let go of, when it is dropped.
#[derive(Debug)]
pub(super) struct Piece {
    guard: Guard,
    place: u32,
}

impl Piece {
    pub(super) const fn new(guard: Guard, place: u32) -> Self {
        Self { guard, place }
    }

    pub(super) const fn place(&self) -> u32 {
        self.place
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.guard.incarnation().work().leave(self.place);
    }
}

pin_project! {
    /// Work in a task of its own. Fields are dropped in order: what is the user's is gone when the
    /// incarnation hears of it.
    #[derive(Debug)]
    pub(super) struct Tracked<F> {
        #[pin]
        work: F,
        piece: Piece,
    }
}

impl<F> Tracked<F> {
    pub(super) const fn new(work: F, piece: Piece) -> Self {
        Self { work, piece }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().work.poll(cx)
    }
}

/// Work on a blocking thread.
#[derive(Debug)]
pub(super) struct Job<F> {
    work: F,
    piece: Piece,
}

impl<F> Job<F> {
    pub(super) const fn new(work: F, piece: Piece) -> Self {
        Self { work, piece }
    }

    pub(super) fn run<T>(self) -> T
    where
        F: FnOnce() -> T,
    {
        let Self { work, piece } = self;
        let _piece = piece;
        work()
    }
}
