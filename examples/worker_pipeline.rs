//! A pipeline whose parts crash, hang and give up, and what comes out of it all the same.
//!
//! `cargo run --example worker_pipeline` numbers 1,650 items, works on them in three workers and publishes
//! them, over bounded channels. Eight items are poison: one of each kind below, and four in a row that are
//! more than the pool's budget of restarts. The tree is printed whenever it has changed.
//!
//! ```text
//! pipeline (rest for one)      what fails              what is restarted
//! |- publish                   publish                 all three
//! |- process (one for one)     a worker                that worker
//! |  |- worker-1 .. worker-3   process, by giving up   process and ingest
//! `- ingest                    ingest                  ingest
//! ```
//!
//! The channels outlive the parts, so a crash costs the item that was in hand and no other. Those are
//! noted as they are lost; at the end each item must be published once or be one of the eight.

use backstop::kernel::clock::Clock;
use backstop::supervise::budget::{RestartBackoff, RestartBudget};
use backstop::supervise::child::{ChildContext, ChildSpec, Stop};
use backstop::supervise::supervisor::{
    Strategy, Supervisor, SupervisorBuilder, SupervisorEventKind, TreeSnapshot,
};
use std::error::Error;
use std::fmt::{Debug, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

type BoxError = Box<dyn Error + Send + Sync>;

const ITEMS: u64 = 1_650;
const WORKERS: usize = 3;

/// What the work on one item takes.
const WORK: Duration = Duration::from_millis(3);

/// A worker that gives no sign of life for so long hangs.
const WATCHDOG: Duration = Duration::from_millis(400);

const PANICS: u64 = 100;
const ERRS: u64 = 200;
const HANGS: u64 = 300;
const REFUSED: u64 = 900;
/// One more than the pool's budget: it gives up, and the pipeline restarts it.
const TOO_MANY: [u64; 4] = [1_050, 1_200, 1_350, 1_500];

/// What the parts share, and what outlives each of them.
struct Plant {
    next: AtomicU64,
    work: Channel,
    results: Channel,
    published: Mutex<Vec<u64>>,
    log: Mutex<Vec<Entry>>,
}

/// A bounded channel whose receiver is taken in turns.
struct Channel {
    tx: mpsc::Sender<u64>,
    rx: AsyncMutex<mpsc::Receiver<u64>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Entry {
    Started(String),
    Lost { by: String, item: u64 },
}

impl Channel {
    fn new() -> Self {
        let (tx, rx) = mpsc::channel(32);
        let rx = AsyncMutex::new(rx);
        Self { tx, rx }
    }

    /// Loses nothing when it is dropped. The sender is here, so the channel never closes.
    async fn next(&self) -> Result<u64, BoxError> {
        let item = self.rx.lock().await.recv().await;
        item.ok_or_else(|| "the channel is closed".into())
    }
}

impl Plant {
    fn new() -> Self {
        Self {
            next: AtomicU64::new(1),
            work: Channel::new(),
            results: Channel::new(),
            published: Mutex::default(),
            log: Mutex::default(),
        }
    }

    fn note(&self, entry: Entry) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(entry);
    }

    fn log(&self) -> Vec<Entry> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    fn published(&self) -> Vec<u64> {
        let published = self.published.lock();
        published.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn losses(&self) -> Vec<u64> {
        let lost = |entry| match entry {
            Entry::Lost { item, .. } => Some(item),
            Entry::Started(_) => None,
        };
        let mut losses: Vec<u64> = self.log().into_iter().filter_map(lost).collect();
        losses.sort_unstable();
        losses
    }
}

/// An item that somebody works on. Whatever drops it undone (an error, a panic, an abort), it is noted.
struct InHand<'a> {
    plant: &'a Plant,
    by: &'a ChildContext,
    item: u64,
    is_done: bool,
}

impl<'a> InHand<'a> {
    const fn new(plant: &'a Plant, by: &'a ChildContext, item: u64) -> Self {
        Self {
            plant,
            by,
            item,
            is_done: false,
        }
    }

    fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let by = self.by.id().to_string();
            let item = self.item;
            self.plant.note(Entry::Lost { by, item });
        }
    }
}

/// Numbers items. It takes a number only when there is room for it, so stopping it loses none.
async fn ingest(plant: Arc<Plant>, cx: ChildContext) -> Result<(), BoxError> {
    while plant.next.load(Ordering::Relaxed) <= ITEMS {
        tokio::select! {
            () = cx.cancelled() => return Ok(()),
            room = plant.work.tx.reserve() => room?.send(plant.next.fetch_add(1, Ordering::Relaxed)),
        }
    }
    cx.cancelled().await;
    Ok(())
}

/// Room for the result first, then an item: who is told to stop has nothing in hand that it cannot
/// finish, though publishing is down.
async fn process(plant: Arc<Plant>, cx: ChildContext) -> Result<(), BoxError> {
    let mut idle = tokio::time::interval(WATCHDOG / 8);
    loop {
        cx.heartbeat();
        let taken = async {
            let room = plant.results.tx.reserve().await?;
            Ok::<_, BoxError>((room, plant.work.next().await?))
        };
        let (room, item) = tokio::select! {
            () = cx.cancelled() => return Ok(()),
            taken = taken => taken?,
            // Nothing to do is no hang.
            _ = idle.tick() => continue,
        };
        let in_hand = InHand::new(&plant, &cx, item);
        work_on(item, cx.clock()).await?;
        room.send(item);
        in_hand.done();
    }
}

async fn work_on(item: u64, clock: &Clock) -> Result<(), BoxError> {
    clock.sleep_until(clock.now() + WORK)?.await;
    match item {
        PANICS => panic!("item {item} is not what it seems"),
        ERRS => Err(format!("item {item} cannot be read").into()),
        HANGS => std::future::pending().await,
        _ if TOO_MANY.contains(&item) => Err(format!("item {item}: the model is broken").into()),
        _ => Ok(()),
    }
}

async fn publish(plant: Arc<Plant>, cx: ChildContext) -> Result<(), BoxError> {
    loop {
        let item = tokio::select! {
            () = cx.cancelled() => return Ok(()),
            item = plant.results.next() => item?,
        };
        let in_hand = InHand::new(&plant, &cx, item);
        if item == REFUSED {
            return Err(format!("item {item} was refused, and the connection closed").into());
        }
        let mut published = plant.published.lock().map_err(|_| "poisoned")?;
        published.push(item);
        in_hand.done();
    }
}

/// A child that notes each of its starts.
fn part<Fut>(plant: &Arc<Plant>, id: String, run: fn(Arc<Plant>, ChildContext) -> Fut) -> ChildSpec
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let plant = plant.clone();
    ChildSpec::new(id, move |cx| {
        plant.note(Entry::Started(cx.id().to_string()));
        run(plant.clone(), cx)
    })
}

fn describe(plant: &Arc<Plant>) -> SupervisorBuilder {
    let budget = RestartBudget::new(3, Duration::from_secs(60));
    let wait =
        RestartBackoff::exponential(Duration::from_millis(100), 2.0, Duration::from_millis(200));
    let mut pool = Supervisor::builder("process").budget(budget).backoff(wait);
    for number in 1..=WORKERS {
        let worker = part(plant, format!("worker-{number}"), process)
            .watchdog(WATCHDOG)
            .stop(Stop::After(Duration::from_millis(100)));
        pool = pool.child(worker);
    }
    Supervisor::builder("pipeline")
        .strategy(Strategy::RestForOne)
        .budget(budget)
        .backoff(wait)
        .child(part(plant, "publish".to_owned(), publish))
        .child_supervisor(pool)
        .child(part(plant, "ingest".to_owned(), ingest))
}

/// What of a tree is worth being printed again.
fn outline(tree: &TreeSnapshot) -> String {
    let mut outline = String::new();
    for child in &tree.children {
        let _ = write!(outline, "{}{}{};", child.id, child.state, child.incarnation);
        outline += &child.tree.as_ref().map(outline_of).unwrap_or_default();
    }
    outline
}

fn outline_of(tree: &TreeSnapshot) -> String {
    format!("({})", outline(tree))
}

/// Prints the tree whenever it has changed, until each item is published or lost.
async fn watch(plant: &Plant, pipeline: &Supervisor, clock: &Clock) -> Result<(), BoxError> {
    let begin = clock.now();
    let mut look = tokio::time::interval(Duration::from_millis(40));
    let mut printed = String::new();
    let mut quiet = 0;
    // A while longer than the last item, so that what waits for its restart is back.
    while quiet < 10 {
        look.tick().await;
        let tree = pipeline.snapshot();
        let (published, losses) = (plant.published().len() as u64, plant.losses());
        let past = clock.now().saturating_duration_since(begin);
        if outline(&tree) != printed {
            printed = outline(&tree);
            println!("{past:.1?}: {published} published, lost {losses:?}\n{tree}\n");
        }
        if past > Duration::from_secs(20) {
            return Err("it has come to a halt".into());
        }
        let over = published + losses.len() as u64 >= ITEMS;
        quiet = if over { quiet + 1 } else { 0 };
    }
    Ok(())
}

fn expect<T: PartialEq + Debug>(what: &str, found: &T, promised: &T) -> Result<(), BoxError> {
    if found != promised {
        return Err(format!("{what}: {found:?} instead of {promised:?}").into());
    }
    println!("{what}: {found:?}");
    Ok(())
}

/// What was promised, in numbers.
fn judge(plant: &Plant, tree: &TreeSnapshot) -> Result<(), BoxError> {
    let mut poison = vec![PANICS, ERRS, HANGS, REFUSED];
    poison.extend(TOO_MANY);
    let mut seen = plant.published();
    let promised = ITEMS - poison.len() as u64;
    expect("published", &(seen.len() as u64), &promised)?;
    seen.extend(plant.losses());
    seen.sort_unstable();
    expect("items lost", &plant.losses(), &poison)?;
    let is_whole = seen.into_iter().eq(1..=ITEMS);
    expect("each item once", &is_whole, &true)?;

    let log = plant.log();
    let unanswered = log.iter().enumerate().filter(|(at, entry)| match entry {
        Entry::Lost { by, .. } => !log[*at..].contains(&Entry::Started(by.clone())),
        Entry::Started(_) => false,
    });
    expect("crashes without a restart", &unanswered.count(), &0)?;

    let starts = |id| tree.child(id).map_or(0, |child| child.incarnation);
    expect("starts of publish", &starts("publish"), &2)?;
    expect("starts of process", &starts("process"), &3)?;
    expect("starts of ingest", &starts("ingest"), &3)?;
    let pool = tree.child("process").and_then(|pool| pool.tree.as_ref());
    let pool = pool.map_or(&[][..], |pool| &pool.children);
    let up = tree.children.iter().chain(pool);
    let up = up.filter(|child| child.uptime.is_some()).count();
    expect("parts that run", &up, &(3 + WORKERS))
}

#[tokio::main]
async fn main() -> ExitCode {
    // The tree shows panics; their messages would come between its lines.
    std::panic::set_hook(Box::new(|_| {}));
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let plant = Arc::new(Plant::new());
    let pipeline = describe(&plant).start().await?;
    let pool = pipeline.nested("process").ok_or("it was just started")?;
    // Of the first pool: the one after it is told of by events of its own.
    let mut events = pool.subscribe(NonZeroUsize::new(256).ok_or("it is not 0")?);
    watch(&plant, &pipeline, &Clock::system()).await?;
    judge(&plant, &pipeline.snapshot())?;
    let mut hung = 0;
    while let Some(event) = events.try_recv() {
        hung += u32::from(matches!(event.kind, SupervisorEventKind::Hung { .. }));
    }
    expect("hangs noticed by the watchdog", &hung, &1)?;
    println!("the pipeline: {}", pipeline.stop().await);
    Ok(())
}
