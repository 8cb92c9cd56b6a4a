//! Sessions of the generator, and how requests come from them.

use super::api::{Api, Failed, MOST};
use super::policy::Manner;
use super::sheet::{Record, Sheet};
use crate::app::service::world::{Bid, SEEDED};
use crate::app::time::{micros, since};
use backstop::kernel::instant::Instant;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Who makes requests.
#[derive(Clone)]
pub(crate) struct Crowd {
    pub(crate) api: Api,
    pub(crate) manner: Manner,
    pub(crate) sheet: Arc<Sheet>,
}

/// A user of the auction.
pub(crate) struct Visitor {
    pub(crate) user: u32,
    token: Mutex<Option<u64>>,
    /// Bids of this user that were acknowledged.
    bids: AtomicU64,
}

impl Visitor {
    pub(crate) fn new(user: u32) -> Self {
        Self {
            user,
            token: Mutex::new(None),
            bids: AtomicU64::new(0),
        }
    }

    fn token(&self) -> Option<u64> {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, token: Option<u64>) -> Option<u64> {
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, token)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Item(u32),
    Category(u32),
    Search(u32),
    Rating(u32),
    Fee(u64),
    BidsOfItem(u32),
    Me,
    Bid { item: u32, amount: u64 },
    BidOfKey(Bid),
    Login,
}

impl Ask {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Item(_) => "item",
            Self::Category(_) => "category",
            Self::Search(_) => "search",
            Self::Rating(_) => "rating",
            Self::Fee(_) => "fee",
            Self::BidsOfItem(_) => "bids",
            Self::Me => "me",
            Self::Bid { .. } => "bid",
            Self::BidOfKey(_) => "read_bid",
            Self::Login => "login",
        }
    }
}

impl Crowd {
    /// Makes a request that was due some time ago, and records what came of it under `kind`, if one is
    /// given.
    pub(crate) async fn ask(
        &self,
        visitor: &Visitor,
        ask: Ask,
        due: Instant,
        kind: Option<&'static str>,
    ) -> Result<(), Failed> {
        let behind = since(due);
        let wall = micros().saturating_sub(micros_of(behind));
        let (result, attempts) = match ask {
            Ask::Login => self.login(visitor, due).await,
            Ask::Bid { item, amount } => self.bid(visitor, item, amount, due).await,
            _ => self.read(visitor, ask, due).await,
        };
        if result == Err(Failed::Status(401)) && visitor.set(None).is_some() {
            self.note("lost_session", wall, 0, 1, "lost".to_owned(), 0);
        }
        if let Some(kind) = kind {
            let end = result.err().map_or_else(|| "ok".to_owned(), Failed::name);
            self.note(
                kind,
                wall,
                micros_of(since(due)),
                attempts,
                end,
                micros_of(behind),
            );
        }
        result
    }

    pub(crate) fn note(
        &self,
        kind: &'static str,
        due: u64,
        took: u64,
        attempts: u32,
        end: String,
        behind: u64,
    ) {
        self.sheet.record(Record {
            due,
            behind,
            kind,
            took,
            attempts,
            end,
        });
    }

    async fn login(&self, visitor: &Visitor, due: Instant) -> (Result<(), Failed>, u32) {
        let (token, attempts) = self.manner.make(due, || self.api.login(visitor.user)).await;
        let token = token.map(|token| {
            visitor.set(Some(token));
        });
        (token, attempts)
    }

    async fn bid(
        &self,
        visitor: &Visitor,
        item: u32,
        amount: u64,
        due: Instant,
    ) -> (Result<(), Failed>, u32) {
        let Some(token) = visitor.token() else {
            return (Err(Failed::Status(401)), 0);
        };
        let bid = Bid {
            key: fastrand::u64(1..SEEDED),
            item,
            user: visitor.user,
            amount: amount.clamp(1, MOST),
        };
        self.sheet.sent(bid);
        let (result, attempts) = self.manner.make(due, || self.api.bid(token, bid)).await;
        if result.is_ok() {
            visitor.bids.fetch_add(1, Relaxed);
            self.sheet.acknowledged(bid);
        }
        (result, attempts)
    }

    async fn read(&self, visitor: &Visitor, ask: Ask, due: Instant) -> (Result<(), Failed>, u32) {
        let api = &self.api;
        let least = visitor.bids.load(Relaxed);
        let attempt = || async move {
            match ask {
                Ask::Item(item) => api.item(item).await,
                Ask::Category(category) => api.category(category).await,
                Ask::Search(item) => api.search(item).await,
                Ask::Rating(user) => api.rating(user).await,
                Ask::Fee(amount) => api.fee(amount).await,
                Ask::BidsOfItem(item) => api.bids_of_item(item).await,
                Ask::BidOfKey(bid) => api.bid_of_key(bid).await,
                Ask::Me | Ask::Login | Ask::Bid { .. } => match visitor.token() {
                    Some(token) => api.me(token, visitor.user, least).await,
                    None => Err(Failed::Status(401)),
                },
            }
        };
        self.manner.make(due, attempt).await
    }
}

fn micros_of(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
