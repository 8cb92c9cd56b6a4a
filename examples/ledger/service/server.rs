//! The service: HTTP on top of a state, a journal under it, and a boot before it.
//!
//! There is no clean shutdown. It starts by recovering and stops by ending.

use super::book::{Book, ENTRY_V1, Entry, Transfer, Verdict};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use backstop::durable::boot::{Boot, BootConfig, Booted, Exit, Snapshotter};
use backstop::durable::codec::Postcard;
use backstop::durable::journal::{AppendError, Journal, JournalConfig, OpenMode, SyncPolicy};
use backstop::durable::replay::EventSourced;
use backstop::durable::snapshot::{DirectoryConfig, DirectoryStore};
use backstop::durable::storage::{FsStorage, Storage};
use backstop::kernel::clock::Clock;
use serde::Deserialize;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The code it ends with when its journal takes nothing more.
const BROKEN: i32 = 70;

/// How a ledger is run.
pub(crate) struct Options {
    pub(crate) dir: PathBuf,
    pub(crate) address: SocketAddr,
    /// Entries between two snapshots.
    pub(crate) snapshot_every: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) answers: Answers,
}

/// When an entry is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// When it is durable.
    Durable,
    /// When it is in memory. A ledger that does this is broken; it is there to see that the drill finds
    /// it out.
    Buffered,
}

struct Ledger {
    live: Mutex<Live>,
    journal: Journal,
    snapshotter: Snapshotter<Book, Postcard>,
    is_snapshotting: AtomicBool,
    exit: Exit,
    answers: Answers,
}

/// The state, and the last entry in it.
struct Live {
    book: Book,
    sequence: u64,
}

/// Recovers, says on the standard output what that came to and where it listens, and serves until the
/// process ends.
pub(crate) fn serve(options: &Options) -> Result<(), Box<dyn Error>> {
    let booted = boot(options)?;
    let report = &booted.report;
    println!(
        "booted micros={} replayed={} snapshot={} sequence={}",
        report.took.as_micros(),
        report.replay.applied,
        report.replay.snapshot.unwrap_or(0),
        booted.sequence,
    );
    let ledger = Arc::new(Ledger {
        live: Mutex::new(Live {
            book: booted.state,
            sequence: booted.sequence,
        }),
        journal: booted.journal,
        snapshotter: booted.snapshotter,
        is_snapshotting: AtomicBool::new(false),
        exit: booted.exit,
        answers: options.answers,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(options.address).await?;
        println!("listening on {}", listener.local_addr()?);
        axum::serve(listener, routes(ledger)).await?;
        Ok(())
    })
}

fn boot(options: &Options) -> Result<Booted<Book, Postcard>, Box<dyn Error>> {
    let storage: Arc<dyn Storage> = Arc::new(FsStorage);
    let snapshots = options.dir.join("snapshots");
    let store = DirectoryStore::open_with_clock(
        storage.clone(),
        &snapshots,
        DirectoryConfig::default(),
        Clock::system(),
    )?;
    // An entry is answered when it is durable, and journaled under the lock that orders entries. So it
    // is buffered there, and whoever answers syncs: all that wait share one sync.
    let journal = JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .sync(SyncPolicy::Never)
        .segment_bytes(options.segment_bytes);
    let config = BootConfig::default()
        .journal(journal)
        .snapshot_every(options.snapshot_every);
    let snapshots = (Arc::new(store) as _, Postcard);
    let journal = options.dir.join("journal");
    let booted = Boot::new(storage, journal, "ledger", snapshots, Book::default())
        .config(config)
        // Not the default clock: that is tokio's where tests are built.
        .clock(Clock::system())
        .run()?;
    Ok(booted)
}

fn routes(ledger: Arc<Ledger>) -> Router {
    Router::new()
        .route("/accounts/{account}", put(open).get(balance))
        .route("/transfers/{key}", put(transfer).get(transferred))
        .route("/audit", get(audit))
        .with_state(ledger)
}

type Answer = (StatusCode, String);

fn answer(status: StatusCode, text: impl fmt::Display) -> Answer {
    (status, format!("{text}\n"))
}

/// An account's opening, as `{"balance": 100}`.
#[derive(Deserialize)]
struct Opening {
    balance: u64,
}

/// A transfer, as `{"from": 1, "to": 2, "amount": 5}`.
#[derive(Deserialize)]
struct Order {
    from: u64,
    to: u64,
    amount: u64,
}

async fn open(State(ledger): State<Arc<Ledger>>, Path(account): Path<u64>, body: Bytes) -> Answer {
    match serde_json::from_slice(&body) {
        Ok(Opening { balance }) => ledger.commit(Entry::Opened { account, balance }).await,
        Err(error) => answer(StatusCode::BAD_REQUEST, error),
    }
}

async fn transfer(
    State(ledger): State<Arc<Ledger>>,
    Path(key): Path<String>,
    body: Bytes,
) -> Answer {
    match serde_json::from_slice(&body) {
        Ok(Order { from, to, amount }) => {
            let key = &key;
            let transfer = Transfer {
                key,
                from,
                to,
                amount,
            };
            ledger.commit(Entry::Transferred(transfer)).await
        }
        Err(error) => answer(StatusCode::BAD_REQUEST, error),
    }
}

async fn balance(State(ledger): State<Arc<Ledger>>, Path(account): Path<u64>) -> Answer {
    let found = ledger.live().book.balance(account);
    ledger.tell(found.ok_or("there is no such account")).await
}

async fn transferred(State(ledger): State<Arc<Ledger>>, Path(key): Path<String>) -> Answer {
    let found = ledger.live().book.transfer(&key);
    let found = found.map(|done| format!("{} {} {}", done.from, done.to, done.amount));
    ledger.tell(found.ok_or("there is no such transfer")).await
}

async fn audit(State(ledger): State<Arc<Ledger>>) -> Answer {
    let told = {
        let live = ledger.live();
        let verdict = match backstop::durable::codec::State::validate(&live.book) {
            Ok(()) => "valid".to_owned(),
            Err(error) => error.to_string(),
        };
        let (total, paid_in) = (live.book.total(), live.book.paid_in());
        let transfers = live.book.transfers();
        format!("total={total} paid_in={paid_in} transfers={transfers} state={verdict}")
    };
    ledger.tell(Ok(told)).await
}

impl Ledger {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what was asked for, and answers when it is durable. The same once more is answered in the
    /// same way, when what was done then is durable.
    async fn commit(self: Arc<Self>, entry: Entry<'_>) -> Answer {
        let judged = {
            let mut live = self.live();
            match live.book.judge(&entry) {
                Verdict::New => self.record(&mut live, entry).map(Ok),
                Verdict::Done => Ok(Ok(StatusCode::OK)),
                Verdict::Refused(why) => Ok(Err(why)),
            }
        };
        match judged {
            Err(error) => self.broken(error),
            Ok(Err(why)) => answer(StatusCode::UNPROCESSABLE_ENTITY, why),
            Ok(Ok(status)) if self.answers == Answers::Buffered => answer(status, "done, perhaps"),
            Ok(Ok(status)) => {
                if let Err(error) = self.journal.sync_async().await {
                    return self.broken(error);
                }
                self.snapshot_if_due();
                answer(status, "done")
            }
        }
    }

    /// Journals an entry that can be done, and does it: in one order, as the lock is held.
    fn record(&self, live: &mut Live, entry: Entry<'_>) -> Result<StatusCode, AppendError> {
        let bytes = postcard::to_stdvec(&entry).expect("numbers and text have a form");
        live.sequence = self.journal.append(ENTRY_V1, &bytes)?;
        if let Err(error) = live.book.apply(entry) {
            self.exit.stop(BROKEN, error);
        }
        Ok(StatusCode::CREATED)
    }

    /// Tells what was found, once all that it may come from is durable.
    async fn tell(&self, found: Result<impl fmt::Display, &str>) -> Answer {
        match (self.journal.sync_async().await, found) {
            (Err(error), _) => self.broken(error),
            (Ok(_), Ok(found)) => answer(StatusCode::OK, found),
            (Ok(_), Err(why)) => answer(StatusCode::NOT_FOUND, why),
        }
    }

    /// What is in memory may not be what the next start finds, so this process is of no use any more.
    fn broken(&self, error: AppendError) -> Answer {
        self.exit.stop(BROKEN, &error);
        answer(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    /// Takes a snapshot beside the load, one at a time.
    fn snapshot_if_due(self: &Arc<Self>) {
        let due = self.snapshotter.is_due(self.live().sequence);
        if !due || self.is_snapshotting.swap(true, Ordering::AcqRel) {
            return;
        }
        let ledger = self.clone();
        tokio::task::spawn_blocking(move || {
            let (book, sequence) = {
                let live = ledger.live();
                (live.book.clone(), live.sequence)
            };
            if let Err(error) = ledger.snapshotter.take(&book, sequence) {
                eprintln!("no snapshot: {error}");
            }
            ledger.is_snapshotting.store(false, Ordering::Release);
        });
    }
}
