//! Callers and workers at the desk, in every interleaving. What answers a caller is tokio's channel, whose
//! insides loom does not see: here it is read when the threads have ended.

use super::config::SupervisedConfig;
use super::desk::{Core, Outcome, Reply, Taken};
use crate::kernel::clock::Clock;
use crate::kernel::name::Name;
use crate::kernel::sync::{AtomicBool, Ordering, explore};
use loom::thread;
use std::sync::Arc;
use std::task::{Wake, Waker};
use tokio::sync::oneshot;

type Desk = Core<u64, u64, ()>;
type Told = oneshot::Receiver<Outcome<u64, ()>>;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

fn desk() -> Arc<Desk> {
    let clock = Clock::manual().clock();
    Arc::new(Core::new(
        Name::from("desk"),
        SupervisedConfig::default(),
        clock,
    ))
}

fn channel() -> (Reply<u64, ()>, Told) {
    oneshot::channel()
}

/// A worker's look, as in a poll.
fn take(desk: &Desk, worker: u64, flag: &Arc<Flag>) -> Taken<u64, u64, ()> {
    desk.take(worker, Waker::from(flag.clone()))
}

fn serves(taken: Taken<u64, u64, ()>) -> bool {
    match taken {
        Taken::Call(call) => {
            let _gone = call.reply.send(Outcome::Answered(Ok(call.request)));
            true
        }
        Taken::NoneYet | Taken::Over => false,
    }
}

fn answer(mut told: Told) -> Option<Outcome<u64, ()>> {
    told.try_recv().ok()
}

#[test]
fn loom_a_call_wakes_a_worker_that_waits() {
    explore(None, || {
        let (desk, flag): (_, Arc<Flag>) = (desk(), Arc::default());
        let worker = desk.come();
        let (reply, told) = channel();
        let calls = {
            let desk = desk.clone();
            thread::spawn(move || desk.put(7, reply).map(drop).expect("there is a worker"))
        };
        let served = serves(take(&desk, worker, &flag));
        calls.join().unwrap();
        if !served {
            assert!(flag.0.load(Ordering::Acquire), "nobody woke it");
            assert!(serves(take(&desk, worker, &flag)));
        }
        assert!(matches!(answer(told), Some(Outcome::Answered(Ok(7)))));
        desk.go(worker);
    });
}

#[test]
fn loom_a_call_that_meets_the_end_of_its_worker_is_answered() {
    explore(None, || {
        let (desk, flag): (_, Arc<Flag>) = (desk(), Arc::default());
        let worker = desk.come();
        let (reply, told) = channel();
        let works = {
            let (desk, flag) = (desk.clone(), flag.clone());
            thread::spawn(move || {
                let served = serves(take(&desk, worker, &flag));
                desk.go(worker);
                served
            })
        };
        let taken = desk.put(7, reply);
        let served = works.join().unwrap();
        match (taken, answer(told)) {
            (Ok(_), Some(Outcome::Answered(Ok(7)))) => assert!(served),
            (Ok(_), Some(Outcome::NotGiven)) | (Err(_), None) => assert!(!served),
            _ => panic!("it was left in the queue, or answered twice"),
        }
        assert_eq!(desk.state(), (false, 0));
    });
}

#[test]
fn loom_a_worker_that_is_replaced_hears_of_it_and_takes_nothing_more() {
    explore(Some(3), || {
        let (desk, flag): (_, Arc<Flag>) = (desk(), Arc::default());
        let old = desk.come();
        let comes = {
            let desk = desk.clone();
            thread::spawn(move || desk.come())
        };
        let (reply, told) = channel();
        let calls = {
            let desk = desk.clone();
            thread::spawn(move || desk.put(7, reply).map(drop).expect("there is a worker"))
        };
        let first = take(&desk, old, &flag);
        let waits = matches!(first, Taken::NoneYet);
        let served = serves(first);
        let new = comes.join().unwrap();
        calls.join().unwrap();
        assert!(!waits || flag.0.load(Ordering::Acquire), "nobody woke it");
        assert!(matches!(take(&desk, old, &flag), Taken::Over));
        // The end of the old one is not the end of the new one.
        desk.go(old);
        let (is_up, waiting) = desk.state();
        assert!(is_up && waiting == usize::from(!served));
        if !served {
            assert!(serves(take(&desk, new, &Arc::default())));
        }
        assert!(matches!(answer(told), Some(Outcome::Answered(Ok(7)))));
        desk.go(new);
    });
}

#[test]
fn loom_a_call_that_is_withdrawn_is_served_or_gone() {
    explore(None, || {
        let (desk, flag): (_, Arc<Flag>) = (desk(), Arc::default());
        let worker = desk.come();
        let (reply, told) = channel();
        let number = desk.put(7, reply).expect("there is a worker");
        let withdraws = {
            let desk = desk.clone();
            thread::spawn(move || desk.withdraw(number))
        };
        let served = serves(take(&desk, worker, &flag));
        withdraws.join().unwrap();
        assert_eq!(answer(told).is_some(), served);
        assert_eq!(desk.state(), (true, 0));
        desk.go(worker);
    });
}
