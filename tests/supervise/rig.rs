//! Children that write down what happens to them, and do as they are told.

use backstop::kernel::clock::Clock;
use backstop::kernel::event::Subscriber;
use backstop::kernel::instant::Instant;
use backstop::supervise::budget::RestartBackoff;
use backstop::supervise::child::{ChildContext, ChildSpec};
use backstop::supervise::supervisor::{Supervisor, SupervisorBuilder, SupervisorEvent};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a child is told from outside.
#[derive(Debug)]
pub(crate) enum Order {
    Return,
    Fail,
    Panic,
}

/// How an incarnation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Ready,
    /// Ends with an error before it is ready.
    Fail,
    /// Is never ready.
    Hang,
}

/// Where children write, and where they are told what to do.
#[derive(Clone, Default)]
pub(crate) struct Rig(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    log: Vec<String>,
    orders: HashMap<String, mpsc::UnboundedSender<Order>>,
    begins: HashMap<String, Vec<Begin>>,
    deaf: Vec<String>,
}

impl Rig {
    pub(crate) fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().log.push(line.into());
    }

    /// What was written since the last time.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().log)
    }

    /// How many lines wait to be read.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().log.len()
    }

    pub(crate) fn tell(&self, id: &str, order: Order) {
        let sender = self.0.lock().unwrap().orders.get(id).cloned();
        sender
            .expect("the child has run")
            .send(order)
            .expect("the child runs");
    }

    /// How the next incarnations of a child begin, in turn; the ones after that are ready.
    pub(crate) fn begins(&self, id: &str, begins: &[Begin]) {
        let mut begins = begins.to_vec();
        begins.reverse();
        self.0.lock().unwrap().begins.insert(id.to_owned(), begins);
    }

    /// The child does not hear that it is to stop.
    pub(crate) fn deafen(&self, id: &str) {
        self.0.lock().unwrap().deaf.push(id.to_owned());
    }

    /// A child that writes `+id` and `-id`, and `!id` when it is not ready.
    pub(crate) fn child(&self, id: &'static str) -> ChildSpec {
        let rig = self.clone();
        ChildSpec::new(id, move |cx| rig.clone().run(cx))
    }

    async fn run(self, cx: ChildContext) -> Result<(), String> {
        let id = cx.id().to_string();
        let (sender, mut orders) = mpsc::unbounded_channel();
        let (begin, is_deaf) = {
            let mut shared = self.0.lock().unwrap();
            shared.orders.insert(id.clone(), sender);
            let begin = shared.begins.get_mut(&id).and_then(Vec::pop);
            (begin.unwrap_or(Begin::Ready), shared.deaf.contains(&id))
        };
        match begin {
            Begin::Ready => {}
            Begin::Fail => {
                self.write(format!("!{id}"));
                return Err("not today".to_owned());
            }
            Begin::Hang => {
                self.write(format!("?{id}"));
                cx.cancelled().await;
                self.write(format!("-{id}"));
                return Ok(());
            }
        }
        self.write(format!("+{id}"));
        let _leaves = Leaves(self.clone(), id);
        cx.ready();
        tokio::select! {
            () = cx.cancelled(), if !is_deaf => Ok(()),
            order = orders.recv() => match order {
                Some(Order::Return) => Ok(()),
                Some(Order::Fail) => Err("told to fail".to_owned()),
                Some(Order::Panic) => panic!("told to panic"),
                None => std::future::pending().await,
            },
        }
    }
}

struct Leaves(Rig, String);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.write(format!("-{}", self.1));
    }
}

/// A stopwatch on tokio's clock.
pub(crate) struct Since(Instant);

impl Since {
    pub(crate) fn now() -> Self {
        Self(Clock::tokio().now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Clock::tokio().now().saturating_duration_since(self.0)
    }
}

/// A supervisor that restarts at once.
pub(crate) fn prompt(name: &'static str) -> SupervisorBuilder {
    Supervisor::builder(name).backoff(RestartBackoff::none())
}

/// Lets everything that can run do so; under paused time none of it passes.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn many() -> NonZeroUsize {
    NonZeroUsize::new(1024).unwrap()
}

/// The kinds of events that wait to be received.
pub(crate) fn kinds(events: &mut Subscriber<SupervisorEvent>) -> Vec<String> {
    std::iter::from_fn(|| events.try_recv())
        .map(|event| match event.kind.child() {
            Some(child) => format!("{} {child}", event.kind.as_str()),
            None => event.kind.as_str().to_owned(),
        })
        .collect()
}
