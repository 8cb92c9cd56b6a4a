//! A checkpointed child that does as it is told, and a store with moods.

use backstop::durable::codec::{Codec, State, StateError};
use backstop::durable::snapshot::{
    Checkpoint, CheckpointStore, Checkpoints, Entry, LoadError, Mark, Marks, MemoryStore, Restored,
    Saved, StoreError,
};
use backstop::kernel::event::Subscriber;
use backstop::supervise::budget::RestartBackoff;
use backstop::supervise::checkpointed::{
    BadState, CheckpointContext, Checkpointed, CheckpointedConfig, CheckpointedEvent, EventKind,
    Origin, SaveFailure,
};
use backstop::supervise::child::ChildSpec;
use backstop::supervise::supervisor::{Supervisor, SupervisorBuilder};
use serde::{Deserialize, Serialize, Serializer};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use tokio::sync::{mpsc, oneshot};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A state that does not always go along.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Count(pub(crate) u64);

pub(crate) const PANICS: u64 = 13;
pub(crate) const INVALID: u64 = 666;

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, PANICS, "thirteen");
        to.serialize_newtype_struct("Count", &self.0)
    }
}

impl State for Count {
    const TYPE: &'static str = "count";
    const VERSION: u32 = 2;

    /// Version 1 counted half as fast.
    fn migrate<C: Codec>(from: u32, bytes: &[u8], codec: &C) -> Result<Self, StateError> {
        match from {
            1 => Ok(Self(2 * codec.decode::<u64>(bytes)?)),
            found => Err(StateError::UnknownVersion { found }),
        }
    }

    fn validate(&self) -> Result<(), StateError> {
        if self.0 == INVALID {
            return Err(StateError::invalid("the number of the beast"));
        }
        Ok(())
    }
}

/// A store that fails, panics or hangs when it is told to, and writes down what it is asked.
#[derive(Debug, Default)]
pub(crate) struct Moody {
    inner: MemoryStore,
    pub(crate) fails_marks: AtomicBool,
    pub(crate) fails_saves: AtomicBool,
    pub(crate) fails_reads: AtomicBool,
    pub(crate) panics: AtomicBool,
    hangs: Mutex<bool>,
    goes_on: Condvar,
    /// Calls inside, now and at most.
    inside: AtomicUsize,
    most: AtomicUsize,
    pub(crate) log: Mutex<Vec<String>>,
}

impl Moody {
    pub(crate) fn keeping(keep: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::keeping(keep).expect("it is in range"),
            ..Self::default()
        })
    }

    pub(crate) fn hang(&self, hangs: bool) {
        *self.hangs.lock().unwrap() = hangs;
        self.goes_on.notify_all();
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    pub(crate) fn write(&self, line: impl Into<String>) {
        self.log.lock().unwrap().push(line.into());
    }

    pub(crate) fn written(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn call<T>(
        &self,
        line: Option<String>,
        fails: &AtomicBool,
        run: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        let mut hangs = self.hangs.lock().unwrap();
        while *hangs {
            hangs = self.goes_on.wait(hangs).unwrap();
        }
        drop(hangs);
        self.inside.fetch_sub(1, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "the store panics");
        if fails.load(Ordering::SeqCst) {
            return Err(StoreError::other("the store has a mood"));
        }
        let done = run();
        if let (Ok(_), Some(line)) = (&done, line) {
            self.write(line);
        }
        done
    }
}

impl CheckpointStore for Moody {
    fn save_marked(
        &self,
        key: &str,
        checkpoint: &Checkpoint,
        marks: Marks,
    ) -> Result<Saved, StoreError> {
        let line = format!("save {}", checkpoint.sequence);
        self.call(Some(line), &self.fails_saves, || {
            self.inner.save_marked(key, checkpoint, marks)
        })
    }

    fn history(&self, key: &str) -> Result<Vec<Entry>, StoreError> {
        self.call(None, &self.fails_reads, || self.inner.history(key))
    }

    fn load(&self, key: &str, sequence: u64) -> Result<Option<Checkpoint>, LoadError> {
        self.inner.load(key, sequence)
    }

    fn mark(&self, key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        let line = format!("{mark} {sequence}");
        self.call(Some(line), &self.fails_marks, || {
            self.inner.mark(key, sequence, mark)
        })
    }

    fn forget(&self, key: &str) -> Result<(), StoreError> {
        self.inner.forget(key)
    }
}

/// What a child is told.
pub(crate) enum Order {
    Save(u64, oneshot::Sender<Result<u64, SaveFailure>>),
    Recover(BoxError, oneshot::Sender<bool>),
    Ready,
    Fail,
    BadState,
    Panic,
    Return,
}

/// How a start began.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) origin: Origin,
    pub(crate) state: Option<u64>,
    pub(crate) sequence: Option<u64>,
}

type Give = mpsc::UnboundedSender<(Begun, CheckpointContext<Count>)>;

pub(crate) struct Bench {
    pub(crate) store: Arc<Moody>,
    pub(crate) checkpoints: Checkpoints<Count>,
    pub(crate) events: Subscriber<CheckpointedEvent>,
    pub(crate) spec: Option<ChildSpec>,
    pub(crate) supervisor: Option<Supervisor>,
    begun: mpsc::UnboundedReceiver<(Begun, CheckpointContext<Count>)>,
    orders: Arc<Mutex<Option<mpsc::UnboundedSender<Order>>>>,
    pub(crate) cx: Option<CheckpointContext<Count>>,
}

/// Has many restarts, which come at once.
pub(crate) fn config() -> CheckpointedConfig {
    let budget = backstop::supervise::budget::RestartBudget::new(50, super::MINUTE);
    CheckpointedConfig::default().budget(budget)
}

/// Checkpoints 1 to `n`, each with ten times its sequence, already in the store.
pub(crate) fn stocked(n: u64) -> Arc<Moody> {
    let store = Moody::keeping(100);
    let checkpoints = front(&store);
    for sequence in 1..=n {
        checkpoints.save(sequence, &Count(10 * sequence)).unwrap();
    }
    store.written();
    store
}

pub(crate) fn front(store: &Arc<Moody>) -> Checkpoints<Count> {
    Checkpoints::new(store.clone(), "count").expect("it is a key")
}

/// A supervisor that restarts at once.
pub(crate) fn root() -> SupervisorBuilder {
    Supervisor::builder("root").backoff(RestartBackoff::none())
}

impl Bench {
    pub(crate) fn new(store: Arc<Moody>, config: CheckpointedConfig) -> Self {
        let checkpoints = front(&store);
        let child = Checkpointed::new("count", checkpoints.clone(), config).expect("it is valid");
        let events = child.subscribe(NonZeroUsize::new(10_000).unwrap());
        let (give, begun) = mpsc::unbounded_channel();
        let orders = Arc::new(Mutex::new(None));
        let spec = {
            let (orders, store) = (orders.clone(), store.clone());
            child.child(move |cx, restored| {
                let (to, told) = mpsc::unbounded_channel();
                *orders.lock().unwrap() = Some(to);
                run(cx, restored, told, give.clone(), store.clone())
            })
        };
        Self {
            store,
            checkpoints,
            events,
            spec: Some(spec),
            supervisor: None,
            begun,
            orders,
            cx: None,
        }
    }

    /// Under a supervisor that restarts at once.
    pub(crate) async fn start(&mut self) {
        let spec = self.spec.take().expect("it was not started");
        let supervisor = root().child(spec).start().await;
        self.supervisor = Some(supervisor.expect("it starts"));
    }

    pub(crate) async fn started(store: Arc<Moody>, config: CheckpointedConfig) -> Self {
        let mut bench = Self::new(store, config);
        bench.start().await;
        bench
    }

    /// The next start.
    pub(crate) async fn begun(&mut self) -> Begun {
        let (begun, cx) = self.begun.recv().await.expect("the child is there");
        self.cx = Some(cx);
        begun
    }

    /// Whether no start waits to be seen.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.begun.try_recv().is_err()
    }

    /// Where the next start has its state from, and which checkpoint that is.
    pub(crate) async fn origin(&mut self) -> (Origin, Option<u64>) {
        let begun = self.begun().await;
        (begun.origin, begun.sequence)
    }

    pub(crate) fn order(&self, order: Order) {
        let orders = self.orders.lock().unwrap();
        let sent = orders.as_ref().expect("it has run").send(order);
        assert!(sent.is_ok(), "the child runs");
    }

    /// Has the child save a number.
    pub(crate) async fn save(&self, n: u64) -> Result<u64, SaveFailure> {
        let (to, saved) = oneshot::channel();
        self.order(Order::Save(n, to));
        saved.await.expect("the child runs")
    }

    /// Whether the child goes on after an error.
    pub(crate) async fn recovers(&self, error: impl Into<BoxError>) -> bool {
        let (to, recovered) = oneshot::channel();
        self.order(Order::Recover(error.into(), to));
        recovered.await.expect("the child runs")
    }

    /// The next event that is wanted; others are passed over.
    pub(crate) async fn event<T>(&mut self, wanted: impl Fn(EventKind) -> Option<T>) -> T {
        loop {
            let event = self.events.recv().await.expect("the child is there");
            if let Some(found) = wanted(event.kind) {
                return found;
            }
        }
    }

    /// What the events that wait are called.
    pub(crate) fn told(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.events.try_recv())
            .map(|event| name(&event.kind))
            .collect()
    }

    /// Lives on for so long that it is proven, and the marks are there: no strike is left but on suspects.
    pub(crate) async fn survive(&mut self) {
        self.event(|kind| matches!(kind, EventKind::Proven { .. }).then_some(()))
            .await;
        let is_marked = || {
            let history = self.checkpoints.history().expect("it can be read");
            history
                .iter()
                .all(|entry| entry.marks.strikes == 0 || entry.marks.suspect)
        };
        while !is_marked() {
            tokio::task::yield_now().await;
        }
    }

    /// The sequence of the next checkpoint that is saved.
    pub(crate) async fn saved(&mut self) -> u64 {
        self.event(|kind| match kind {
            EventKind::Saved { sequence } => Some(sequence),
            _ => None,
        })
        .await
    }

    pub(crate) async fn stop(&self) {
        self.supervisor
            .as_ref()
            .expect("it was started")
            .stop()
            .await;
    }

    pub(crate) fn marks(&self, sequence: u64) -> Marks {
        let history = self.checkpoints.history().expect("it can be read");
        let entry = history.iter().find(|entry| entry.sequence == sequence);
        entry.expect("it is there").marks
    }

    pub(crate) fn newest(&self) -> u64 {
        self.checkpoints.latest().unwrap().restored.unwrap().state.0
    }
}

pub(crate) fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Restored { .. } => "restored",
        EventKind::NotRestored { .. } => "not restored",
        EventKind::StrikeNotStored { .. } => "strike not stored",
        EventKind::MarkNotStored { .. } => "mark not stored",
        EventKind::Suspected { .. } => "suspected",
        EventKind::SuspicionWithdrawn { .. } => "withdrawn",
        EventKind::Proven { .. } => "proven",
        EventKind::Saved { .. } => "saved",
        EventKind::SaveFailed { .. } => "save failed",
        EventKind::Recovered { .. } => "recovered",
        _ => "another",
    }
}

#[derive(Debug)]
struct Wrapped(BadState);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it did not start")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

async fn run(
    cx: CheckpointContext<Count>,
    restored: Option<Restored<Count>>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    give: Give,
    store: Arc<Moody>,
) -> Result<(), BoxError> {
    let begun = Begun {
        origin: cx.origin(),
        state: restored.as_ref().map(|restored| restored.state.0),
        sequence: restored.as_ref().map(|restored| restored.sequence),
    };
    store.write(format!("start {}", begun.origin));
    let _gone = give.send((begun, cx.clone()));
    loop {
        let order = tokio::select! {
            () = cx.cancelled() => return Ok(()),
            order = orders.recv() => order,
        };
        match order {
            Some(Order::Save(n, to)) => {
                let _gone = to.send(cx.save(&Count(n)).await);
            }
            Some(Order::Recover(error, to)) => {
                let recovered = cx.recover(error);
                let _gone = to.send(recovered.is_ok());
                recovered?;
            }
            Some(Order::Ready) => cx.ready(),
            Some(Order::Fail) => return Err("told to fail".into()),
            Some(Order::BadState) => {
                let why = BadState::from_error("below zero");
                return Err(Wrapped(why).into());
            }
            Some(Order::Panic) => panic!("told to panic"),
            Some(Order::Return) => return Ok(()),
            None => std::future::pending().await,
        }
    }
}
