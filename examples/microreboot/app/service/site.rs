//! All components, and what is made of what.
//!
//! ```text
//!                    store          exchange (another process)
//!        ______________|___________    |
//!       |         |       |        |   |
//!   catalogue  history  ratings account fees   sessions
//!       |                               |_________|
//!    search                               bidding (and the store)
//! ```

use super::fail::Fail;
use super::fees::Fees;
use super::reads::{Account, Catalogue, History, Ratings, Search};
use super::sessions::{Bidding, Sessions};
use super::slot::{Slot, Support};
use super::store::Store;
use super::world::{Bid, World};
use crate::app::time::{now, since};
use backstop::supervise::child::ChildContext;
use backstop::supervise::microreboot::{Gate, MicrorebootManager, Report};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub(crate) struct Site {
    pub(crate) world: World,
    dir: PathBuf,
    exchange: SocketAddr,
    /// Who restarts components, if anybody does.
    pub(crate) manager: OnceLock<MicrorebootManager>,
    pub(crate) store: Slot<Store>,
    pub(crate) sessions: Slot<Sessions>,
    pub(crate) fees: Slot<Fees>,
    pub(crate) catalogue: Slot<Catalogue>,
    pub(crate) search: Slot<Search>,
    pub(crate) history: Slot<History>,
    pub(crate) ratings: Slot<Ratings>,
    pub(crate) account: Slot<Account>,
    pub(crate) bidding: Slot<Bidding>,
}

/// The components, each behind what it is made of.
pub(crate) const COMPONENTS: [&str; 9] = [
    "store",
    "sessions",
    "fees",
    "catalogue",
    "search",
    "history",
    "ratings",
    "account",
    "bidding",
];

/// Does the same with the slot of that name.
macro_rules! with_slot {
    ($site:expr, $name:expr, $slot:ident => $does:expr) => {
        match $name {
            "store" => {
                let $slot = &$site.store;
                Ok($does)
            }
            "sessions" => {
                let $slot = &$site.sessions;
                Ok($does)
            }
            "fees" => {
                let $slot = &$site.fees;
                Ok($does)
            }
            "catalogue" => {
                let $slot = &$site.catalogue;
                Ok($does)
            }
            "search" => {
                let $slot = &$site.search;
                Ok($does)
            }
            "history" => {
                let $slot = &$site.history;
                Ok($does)
            }
            "ratings" => {
                let $slot = &$site.ratings;
                Ok($does)
            }
            "account" => {
                let $slot = &$site.account;
                Ok($does)
            }
            "bidding" => {
                let $slot = &$site.bidding;
                Ok($does)
            }
            _ => Err(Fail::Missing("component")),
        }
    };
}

impl Site {
    pub(crate) fn new(
        dir: &Path,
        world: World,
        exchange: SocketAddr,
        support: Support,
    ) -> std::io::Result<Arc<Self>> {
        let scratch = dir.join("scratch");
        // What the process before has left there may be why it is gone.
        match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&scratch)?,
        }
        Ok(Arc::new(Self {
            world,
            dir: dir.to_owned(),
            exchange,
            manager: OnceLock::new(),
            store: Slot::new("store", &scratch, support),
            sessions: Slot::new("sessions", &scratch, support),
            fees: Slot::new("fees", &scratch, support),
            catalogue: Slot::new("catalogue", &scratch, support),
            search: Slot::new("search", &scratch, support),
            history: Slot::new("history", &scratch, support),
            ratings: Slot::new("ratings", &scratch, support),
            account: Slot::new("account", &scratch, support),
            bidding: Slot::new("bidding", &scratch, support),
        }))
    }

    /// Makes a component of what it depends on, and puts it in its place. Work goes to threads that may
    /// block, and is the child's if it is one.
    pub(crate) async fn start(
        self: &Arc<Self>,
        name: &str,
        child: Option<&ChildContext>,
    ) -> Result<(), Fail> {
        let begun = now();
        match name {
            "sessions" => self.sessions.fill(Sessions::default()),
            "bidding" => self.bidding.fill(Bidding),
            "fees" => self.fees.fill(Fees::connect(self.exchange).await?),
            _ => {
                let (site, name) = (self.clone(), name.to_owned());
                let build = move || site.build(&name);
                let task = match child {
                    Some(child) => child.spawn_blocking(build),
                    None => tokio::task::spawn_blocking(build),
                };
                task.await.map_err(Fail::broken)??;
            }
        }
        println!("started {name} {}", since(begun).as_micros());
        Ok(())
    }

    fn build(&self, name: &str) -> Result<(), Fail> {
        let world = self.world;
        match name {
            "store" => self.store.fill(Store::start(&self.dir)?),
            "catalogue" => self
                .catalogue
                .fill(Catalogue::build(&*self.store.part()?, world)),
            "search" => self.search.fill(Search::build(&*self.catalogue.part()?)),
            "history" => self
                .history
                .fill(History::build(&*self.store.part()?, world)),
            "ratings" => self
                .ratings
                .fill(Ratings::build(&*self.store.part()?, world)),
            "account" => self.account.fill(Account::build(&*self.store.part()?)),
            _ => return Err(Fail::Missing("component")),
        }
        Ok(())
    }

    /// The start of the process: what does not depend on each other starts side by side.
    pub(crate) async fn start_all(self: &Arc<Self>) -> Result<(), Fail> {
        futures::try_join!(
            self.start("store", None),
            self.start("fees", None),
            self.start("sessions", None)
        )?;
        let catalogue = async {
            self.start("catalogue", None).await?;
            self.start("search", None).await
        };
        let (history, ratings) = (self.start("history", None), self.start("ratings", None));
        futures::try_join!(
            catalogue,
            history,
            ratings,
            self.start("account", None),
            self.start("bidding", None)
        )?;
        Ok(())
    }

    /// Takes a component out of its place.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), Fail> {
        let store = self.store.part().ok();
        with_slot!(self, name, slot => slot.clear())?;
        match store {
            Some(store) if name == "store" => store.close().await,
            _ => Ok(()),
        }
    }

    pub(crate) fn clear(&self, name: &str) {
        let _ = with_slot!(self, name, slot => slot.clear());
    }

    pub(crate) fn gate(&self, name: &str) -> Option<Gate> {
        with_slot!(self, name, slot => slot.gate().cloned()).ok()?
    }

    /// Whether calls of a component get through.
    pub(crate) async fn check(&self, name: &str) -> Result<(), String> {
        let checked = with_slot!(self, name, slot => slot.check().await);
        checked.unwrap_or_else(|fail| Err(fail.to_string()))
    }

    /// Reports a component to the manager. What comes of it is seen from outside.
    pub(crate) fn report(&self, name: &str) -> Result<(), Fail> {
        let manager = self.manager.get().ok_or(Fail::Missing("manager"))?;
        drop(manager.report(Report::new(name.to_owned(), "probe").by("detector")));
        Ok(())
    }

    pub(crate) fn clean(&self, name: &str) -> Result<(), Fail> {
        with_slot!(self, name, slot => slot.clean().map_err(Fail::broken))?
    }

    pub(crate) fn hurt(&self, name: &str, kind: &str) -> Result<(), Fail> {
        with_slot!(self, name, slot => slot.hurt(kind))?
    }

    /// A line for each component.
    pub(crate) async fn health(&self) -> String {
        let mut lines = String::new();
        for name in COMPONENTS {
            let found = self.check(name).await;
            let _ = writeln!(lines, "{name} {}", found.err().as_deref().unwrap_or("ok"));
        }
        lines
    }

    /// The caches answer without the store too, from what they know.
    fn stored(&self) -> Option<Arc<Store>> {
        self.store.part().ok()
    }

    pub(crate) async fn item(&self, item: u32) -> Result<String, Fail> {
        let store = self.stored();
        self.catalogue
            .call(|catalogue| async move { catalogue.item(store.as_deref(), item) })
            .await
    }

    pub(crate) async fn bid_of_key(&self, key: u64) -> Result<String, Fail> {
        let store = self.stored();
        self.history
            .call(|history| async move { history.bid(store.as_deref(), key) })
            .await
    }

    pub(crate) async fn bids_of_item(&self, item: u32) -> Result<String, Fail> {
        let store = self.stored();
        self.history
            .call(|history| async move { history.item(store.as_deref(), item) })
            .await
    }

    pub(crate) async fn who(&self, token: u64) -> Result<u32, Fail> {
        self.sessions
            .call(|sessions| async move { sessions.who(token) })
            .await
    }

    pub(crate) async fn me(&self, token: u64) -> Result<String, Fail> {
        let user = self.who(token).await?;
        let store = self.stored();
        self.account
            .call(|account| async move { Ok(account.of(store.as_deref(), user)) })
            .await
    }

    pub(crate) async fn fee(&self, amount: u64) -> Result<u64, Fail> {
        self.fees
            .call(|fees| async move { fees.of(amount).await })
            .await
    }

    /// A bid, as `item user amount fee`.
    pub(crate) async fn bid(&self, token: u64, bid: Bid) -> Result<String, Fail> {
        self.bidding
            .call(|_| async move {
                let user = self.who(token).await?;
                let fee = self.fee(bid.amount).await?;
                let bid = Bid { user, ..bid };
                let done = self
                    .store
                    .call(|store| async move { store.commit(bid).await });
                let done = done.await?;
                Ok(format!("{} {} {} {fee}", done.item, done.user, done.amount))
            })
            .await
    }
}
