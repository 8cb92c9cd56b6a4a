//! A child and its supervisor in every interleaving: the notes, the signal, what still runs.
//!
//! The tokens and tasks are tokio's, whose insides loom does not see; here they are what is reached, not
//! what is checked.

use super::exit::ChildExit;
use super::incarnation::{Guard, Incarnation, Promised};
use super::link::{Link, Note, What};
use super::work::Work;
use crate::kernel::clock::Clock;
use crate::kernel::name::Name;
use crate::kernel::sync::{AtomicBool, Ordering, explore};
use loom::thread;
use std::sync::{Arc, LazyLock};
use std::task::{Wake, Waker};
use tokio::runtime::{Builder, Handle, Runtime};

/// Spawned into by `wake_apart` on other runtimes only; never run.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().unwrap());

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// The supervisor's side: it takes what is there, and looks again when it was woken.
struct Ear {
    link: Arc<Link>,
    flag: Arc<Flag>,
    notes: Vec<Note>,
    /// The last look found nothing.
    sleeps: bool,
    looks: usize,
}

impl Ear {
    fn new(link: &Arc<Link>) -> Self {
        Self {
            link: link.clone(),
            flag: Arc::default(),
            notes: Vec::new(),
            sleeps: false,
            looks: 0,
        }
    }

    /// One look, as in a poll.
    fn look(&mut self) {
        let waker = Waker::from(self.flag.clone());
        let mut notes = Vec::new();
        let found = self.link.receive(&mut notes, &waker);
        self.looks += usize::from(found);
        self.sleeps = !found;
        self.notes.append(&mut notes);
    }

    /// All others are done: what is left must have woken it.
    fn hears_the_rest(&mut self) {
        while !self.sleeps || self.flag.0.swap(false, Ordering::AcqRel) {
            self.look();
        }
    }

    fn close(&self) {
        self.link.close();
    }
}

fn link() -> Arc<Link> {
    let handle: Handle = RUNTIME.handle().clone();
    Arc::new(Link::new(Clock::system(), handle))
}

fn incarnation(link: &Arc<Link>, key: u32) -> Arc<Incarnation> {
    let id = Name::from("child");
    let promised = Promised {
        ready: true,
        heartbeat: None,
    };
    Arc::new(Incarnation::new(link.clone(), id, (key, 1), 1, promised))
}

fn is_exit(note: &Note) -> Option<bool> {
    match &note.what {
        What::Exited { drained, .. } => Some(*drained),
        _ => None,
    }
}

/// Whether its end was told once and after that, or with it, once that nothing of it runs.
fn ends_once(notes: &[Note], key: u32) -> bool {
    let of_it: Vec<_> = notes.iter().filter(|note| note.key == key).collect();
    let exit = of_it.iter().position(|note| is_exit(note).is_some());
    let drained: Vec<_> = (0..of_it.len())
        .filter(|at| is_exit(of_it[*at]) == Some(true) || matches!(of_it[*at].what, What::Drained))
        .collect();
    let exits = of_it.iter().filter(|note| is_exit(note).is_some()).count();
    exits == 1 && drained.len() == 1 && exit.is_some_and(|exit| exit <= drained[0])
}

#[test]
fn loom_a_note_wakes_a_supervisor_that_sleeps() {
    explore(None, || {
        let link = link();
        let child = incarnation(&link, 0);
        let runs = thread::spawn(move || {
            child.ready();
            // The second time it says nothing.
            child.ready();
            child.end(ChildExit::Normal);
        });
        let mut ear = Ear::new(&link);
        ear.look();
        ear.look();
        runs.join().unwrap();
        ear.hears_the_rest();
        assert_eq!(ear.notes.len(), 2, "{:?}", ear.notes);
        assert!(matches!(ear.notes[0].what, What::Ready));
        assert!(ends_once(&ear.notes, 0));
        ear.close();
    });
}

#[test]
fn loom_a_nudge_is_found_and_once() {
    explore(None, || {
        let link = link();
        let commands = {
            let link = link.clone();
            thread::spawn(move || link.nudge())
        };
        let mut ear = Ear::new(&link);
        ear.look();
        commands.join().unwrap();
        ear.hears_the_rest();
        assert_eq!(ear.looks, 1);
        ear.close();
    });
}

#[test]
fn loom_a_nudge_and_a_note_at_once_are_both_heard() {
    explore(Some(3), || {
        let link = link();
        let commands = {
            let link = link.clone();
            thread::spawn(move || link.nudge())
        };
        let child = incarnation(&link, 0);
        let runs = thread::spawn(move || child.end(ChildExit::Normal));
        let mut ear = Ear::new(&link);
        ear.look();
        commands.join().unwrap();
        runs.join().unwrap();
        ear.hears_the_rest();
        // Both at once, or one after the other.
        assert!((1..=2).contains(&ear.looks));
        assert!(ends_once(&ear.notes, 0), "{:?}", ear.notes);
        ear.close();
    });
}

/// Loom does not see that the token is made, so both orders are asked for by `turn`.
#[test]
fn sv1d_loom_a_token_that_is_made_during_the_signal_is_cancelled() {
    explore(None, || {
        let link = link();
        let child = incarnation(&link, 0);
        let turn = Arc::new(AtomicBool::new(false));
        let stops = {
            let (child, turn) = (child.clone(), turn.clone());
            thread::spawn(move || {
                turn.swap(true, Ordering::Relaxed);
                child.signal();
            })
        };
        turn.swap(true, Ordering::Relaxed);
        let token = child.token().clone();
        stops.join().unwrap();
        assert!(token.is_cancelled() && child.is_stopping());
    });
}

#[test]
fn sv10a_loom_that_nothing_runs_is_told_once_and_after_the_end() {
    explore(None, || {
        let link = link();
        let child = incarnation(&link, 0);
        let piece: Guard = child.guard().expect("it runs");
        let work = thread::spawn(move || drop(piece));
        child.end(ChildExit::Normal);
        work.join().unwrap();
        let mut ear = Ear::new(&link);
        ear.hears_the_rest();
        assert!(ends_once(&ear.notes, 0), "{:?}", ear.notes);
        assert!(child.guard().is_none(), "it rises from zero");
        ear.close();
    });
}

#[test]
fn sv10c_loom_what_comes_with_the_end_belongs_to_it_or_is_refused() {
    explore(None, || {
        let link = link();
        let child = incarnation(&link, 0);
        let adds = {
            let child = child.clone();
            thread::spawn(move || child.guard().map(drop).is_some())
        };
        child.end(ChildExit::Normal);
        adds.join().unwrap();
        assert!(child.guard().is_none(), "it rises from zero");
        let mut ear = Ear::new(&link);
        ear.hears_the_rest();
        assert!(ends_once(&ear.notes, 0), "{:?}", ear.notes);
        ear.close();
    });
}

/// A supervisor that has ended hands its orphans to the one above: that child has ended when they have.
#[test]
fn sv10f_loom_what_is_handed_over_is_let_go_of() {
    explore(None, || {
        let link = link();
        let (above, orphan) = (incarnation(&link, 0), incarnation(&link, 1));
        let piece = orphan.guard().expect("it runs");
        let guard = above.guard().expect("it runs");
        let ends = {
            let orphan = orphan.clone();
            thread::spawn(move || {
                orphan.end(ChildExit::Killed);
                drop(piece);
            })
        };
        orphan.keep(guard);
        above.end(ChildExit::Normal);
        ends.join().unwrap();
        let mut ear = Ear::new(&link);
        ear.hears_the_rest();
        assert!(ends_once(&ear.notes, 1), "{:?}", ear.notes);
        assert!(ends_once(&ear.notes, 0), "{:?}", ear.notes);
        ear.close();
    });
}

/// A task on a runtime that runs it only at the end, and whether it was aborted by then.
#[test]
fn sv10c_loom_a_task_that_is_put_while_all_are_aborted_is_aborted() {
    explore(None, || {
        let runtime = Builder::new_current_thread().build().unwrap();
        let task = runtime.spawn(std::future::pending::<()>());
        let work = Arc::new(Work::default());
        let aborts = {
            let work = work.clone();
            thread::spawn(move || work.abort())
        };
        let place = work.reserve();
        work.put(place, task.abort_handle());
        aborts.join().unwrap();
        runtime.block_on(tokio::task::yield_now());
        runtime.block_on(tokio::task::yield_now());
        assert!(task.is_finished(), "it was left");
    });
}

/// A piece of work that ends before its task is put in its place, and the next one.
#[test]
fn loom_the_next_piece_of_work_has_a_place_of_its_own() {
    explore(None, || {
        let runtime = Builder::new_current_thread().build().unwrap();
        let [first, second] = [0; 2].map(|_| runtime.spawn(std::future::pending::<()>()));
        let work = Arc::new(Work::default());
        let place = work.reserve();
        let next = {
            let (work, second) = (work.clone(), second.abort_handle());
            thread::spawn(move || {
                work.leave(place);
                let place = work.reserve();
                work.put(place, second);
            })
        };
        work.put(place, first.abort_handle());
        next.join().unwrap();
        work.abort();
        runtime.block_on(tokio::task::yield_now());
        runtime.block_on(tokio::task::yield_now());
        assert!(second.is_finished(), "it was left");
    });
}
