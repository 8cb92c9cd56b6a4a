//! Tells that something is wrong, and which component it is: end-to-end probes that look at what they
//! are answered, and the health of each component. It is the same in all arms, and stands outside of the
//! server.

use crate::app::load::api::{Api, Failed};
use crate::app::load::policy::Manner;
use crate::app::service::site::COMPONENTS;
use crate::app::service::world::{Bid, SEEDED, World};
use crate::app::time::{now, sleep_until};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How soon a round of probes follows on the one before.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);
/// How long a probe waits.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(250);
/// How many rounds in a row a component fails until it is reported.
pub(crate) const THRESHOLD: u32 = 3;

/// What a component's probe goes through besides it.
fn needs(component: &str) -> &'static [&'static str] {
    match component {
        "account" => &["sessions"],
        "bidding" => &["sessions", "fees", "store"],
        _ => &[],
    }
}

/// The judgement: rounds in, suspects out.
#[derive(Debug, Default)]
pub(crate) struct Judge(BTreeMap<&'static str, u32>);

impl Judge {
    /// Takes a round's failures; the component to be reported, if there is one.
    pub(crate) fn judge(&mut self, failing: &BTreeSet<&'static str>) -> Option<&'static str> {
        self.0.retain(|component, _| failing.contains(component));
        for component in failing {
            *self.0.entry(component).or_default() += 1;
        }
        let reported = |component: &&&str| {
            self.0
                .get(**component)
                .is_some_and(|rounds| *rounds >= THRESHOLD)
        };
        // It is not to blame for what it goes through.
        let to_blame =
            |component: &&&str| !needs(component).iter().any(|need| failing.contains(need));
        COMPONENTS.iter().filter(reported).find(to_blame).copied()
    }
}

/// The probes.
pub(crate) struct Prober {
    api: Api,
    /// A session that is as old as can be.
    token: Mutex<Option<u64>>,
    bids: AtomicU64,
    last: Mutex<Option<Bid>>,
    /// All bids that it sent.
    sent: Mutex<Vec<Bid>>,
}

/// The user that probes, and the item.
const USER: u32 = 1_000;

impl Prober {
    pub(crate) fn new(server: SocketAddr, world: World) -> Self {
        Self {
            api: Api::new(server, world, TIMEOUT),
            token: Mutex::new(None),
            bids: AtomicU64::new(0),
            last: Mutex::new(None),
            sent: Mutex::default(),
        }
    }

    pub(crate) fn sent(&self) -> Vec<Bid> {
        lock(&self.sent).clone()
    }

    /// One round: the components whose probes fail.
    pub(crate) async fn round(&self) -> BTreeSet<&'static str> {
        let sessions = self.sessions().await;
        let token = *lock(&self.token);
        let item = fastrand::u32(..self.api.world.items);
        let (api, world) = (&self.api, self.api.world);
        let (catalogue, search, ratings, fees, history, account, bidding, health) = futures::join!(
            async {
                api.item(item)
                    .await
                    .and(api.category(World::category(item)).await)
            },
            api.search(item),
            api.rating(item % world.users()),
            api.fee(u64::from(item)),
            self.history(item),
            async {
                api.me(
                    token.ok_or(Failed::Status(401))?,
                    USER,
                    self.bids.load(Relaxed),
                )
                .await
            },
            self.bidding(token, item),
            api.get("/health"),
        );
        let probes = [
            ("sessions", sessions),
            ("catalogue", catalogue),
            ("search", search),
            ("ratings", ratings),
            ("fees", fees),
            ("history", history),
            ("account", account),
            ("bidding", bidding),
        ];
        let mut failing: BTreeSet<&'static str> = BTreeSet::new();
        failing.extend(
            probes
                .iter()
                .filter(|(_, result)| result.is_err())
                .map(|(name, _)| name),
        );
        let health = health.unwrap_or_default();
        let well = |name: &str| {
            health
                .lines()
                .any(|line| line.split_once(' ') == Some((name, "ok")))
        };
        failing.extend(COMPONENTS.iter().filter(|name| !well(name)));
        failing
    }

    /// A session that was there before is still the same user's, and new ones can be had.
    async fn sessions(&self) -> Result<(), Failed> {
        let held = *lock(&self.token);
        let found = match held {
            Some(token) => self.api.who(token).await,
            None => Ok(USER),
        };
        // Nobody is logged in after a restart.
        let is_gone = found == Err(Failed::Status(401));
        let same = match found {
            Ok(user) if user != USER => Err(Failed::Wrong),
            Err(failed) if !is_gone => Err(failed),
            _ => Ok(()),
        };
        let new = self.api.login(USER).await;
        if let (Ok(token), true) = (new, held.is_none() || is_gone) {
            *lock(&self.token) = Some(token);
        }
        same.and(new.map(drop))
    }

    async fn bidding(&self, token: Option<u64>, item: u32) -> Result<(), Failed> {
        let bid = Bid {
            key: fastrand::u64(1..SEEDED),
            item,
            user: USER,
            amount: 1,
        };
        lock(&self.sent).push(bid);
        self.api.bid(token.ok_or(Failed::Status(401))?, bid).await?;
        *lock(&self.last) = Some(bid);
        self.bids.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn history(&self, item: u32) -> Result<(), Failed> {
        let last = *lock(&self.last);
        self.api.bids_of_item(item).await?;
        match last {
            Some(bid) => self.api.bid_of_key(bid).await,
            None => Ok(()),
        }
    }

    /// Probes until a component is to be reported, or the time is over.
    pub(crate) async fn detect(&self, within: Duration) -> Option<&'static str> {
        let end = now() + within;
        let mut judge = Judge::default();
        while now() < end {
            let next = now() + PERIOD;
            if let Some(component) = judge.judge(&self.round().await) {
                return Some(component);
            }
            sleep_until(next).await;
        }
        None
    }

    /// Probes until all is well, or the time is over; whether it is.
    pub(crate) async fn well(&self, within: Duration) -> bool {
        let end = now() + within;
        loop {
            let next = now() + PERIOD / 2;
            if self.round().await.is_empty() {
                return true;
            }
            if next > end {
                return false;
            }
            sleep_until(next).await;
        }
    }

    /// A client without patience, for what is not part of the load.
    pub(crate) fn control(server: SocketAddr, world: World) -> Api {
        Api::new(server, world, Manner::Bare.patience() * 5)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
