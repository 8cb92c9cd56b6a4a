//! The store: bids in a journal. What it has answered, no crash takes back, and one key is one bid.

use super::book::{Book, ENTRY_V1, Entry};
use super::fail::Fail;
use super::slot::Damage;
use super::world::{Bid, SEEDED, World};
use crate::app::time::clock;
use backstop::durable::boot::{Boot, BootConfig, Booted};
use backstop::durable::codec::Postcard;
use backstop::durable::journal::{Journal, JournalConfig, OpenMode, SyncPolicy};
use backstop::durable::replay::EventSourced;
use backstop::durable::snapshot::MemoryStore;
use backstop::durable::storage::FsStorage;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) struct Store {
    book: Mutex<Book>,
    journal: Journal,
    /// Bids that are durable: the others are nobody's business yet.
    durable: AtomicUsize,
}

impl Damage for Store {}

/// The kill of the process before may not be through when the next one opens the journal.
const LOCK_WAIT: Duration = Duration::from_secs(2);

fn boot(dir: &Path) -> Result<Booted<Book, Postcard>, Box<dyn Error + Send + Sync>> {
    // A bid is journaled under the lock that orders bids, so it is buffered there, and whoever answers
    // syncs: all that wait share one sync. There are no snapshots: a start replays the journal.
    let journal = JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .sync(SyncPolicy::Never)
        .segment_bytes(64 << 20)
        .lock_wait(LOCK_WAIT);
    let config = BootConfig::default()
        .journal(journal)
        .snapshot_every(u64::MAX);
    let snapshots = (Arc::new(MemoryStore::new()) as _, Postcard);
    let storage = Arc::new(FsStorage);
    let boot = Boot::new(
        storage,
        dir.join("journal"),
        "auction",
        snapshots,
        Book::default(),
    );
    Ok(boot.config(config).clock(clock()).run()?)
}

/// Fills a new journal with the market.
pub(crate) fn seed(dir: &Path, world: World) -> Result<(), Box<dyn Error + Send + Sync>> {
    let journal = boot(dir)?.journal;
    let append = |entry: Entry<'_>| -> Result<u64, Box<dyn Error + Send + Sync>> {
        Ok(journal.append(ENTRY_V1, &postcard::to_stdvec(&entry)?)?)
    };
    for item in 0..world.items {
        append(Entry::Listed(&World::text(item)))?;
        for bid in world.seeded(item) {
            append(Entry::Bid(bid))?;
        }
    }
    for user in 0..world.users() {
        for rating in 0..super::world::RATINGS_OF_A_USER {
            let stars = World::stars(user, rating);
            append(Entry::Rated { user, stars })?;
        }
    }
    Ok(journal.close()?)
}

/// The bids of visitors in a journal that nobody has open, in its order.
pub(crate) fn stored(dir: &Path) -> Result<Vec<Bid>, Box<dyn Error + Send + Sync>> {
    let booted = boot(dir)?;
    booted.journal.close()?;
    let bids = booted.state.bids.into_iter();
    Ok(bids.filter(|bid| bid.key & SEEDED == 0).collect())
}

impl Store {
    pub(crate) fn start(dir: &Path) -> Result<Self, Fail> {
        let booted = boot(dir).map_err(Fail::broken)?;
        Ok(Self {
            durable: AtomicUsize::new(booted.state.bids.len()),
            book: Mutex::new(booted.state),
            journal: booted.journal,
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a bid, and answers when it is durable. The same once more is answered in the same way.
    pub(crate) async fn commit(&self, bid: Bid) -> Result<Bid, Fail> {
        let (bid, upto) = {
            let mut book = self.book();
            if let Some(there) = book.bid(bid.key) {
                if (there.item, there.amount) != (bid.item, bid.amount) {
                    return Err(Fail::Refused("the key is that of another bid"));
                }
                (there, book.bids.len())
            } else {
                let entry = Entry::Bid(bid);
                book.check(&entry).map_err(|_| Fail::Missing("item"))?;
                let bytes = postcard::to_stdvec(&entry).map_err(Fail::broken)?;
                self.journal
                    .append(ENTRY_V1, &bytes)
                    .map_err(Fail::broken)?;
                book.apply(entry).map_err(Fail::broken)?;
                (bid, book.bids.len())
            }
        };
        self.journal.sync_async().await.map_err(Fail::broken)?;
        self.durable.fetch_max(upto, Ordering::AcqRel);
        Ok(bid)
    }

    /// Gives the directory back, with all that was taken on disk.
    pub(crate) async fn close(&self) -> Result<(), Fail> {
        self.journal.close_async().await.map_err(Fail::broken)
    }

    /// The durable bids behind the first `seen`.
    pub(crate) fn bids_behind(&self, seen: usize) -> Vec<Bid> {
        let durable = self.durable.load(Ordering::Acquire);
        if durable <= seen {
            return Vec::new();
        }
        self.book().bids[seen..durable].to_vec()
    }

    /// What is for sale.
    pub(crate) fn items(&self) -> Vec<Box<str>> {
        self.book().items.clone()
    }

    pub(crate) fn ratings(&self) -> Vec<(u32, u64)> {
        self.book().ratings.clone()
    }
}
