//! The components that answer from what they made of the store at their start: caches and indices.
//! Each follows the store by reading what is new in it before it answers.

use super::fail::Fail;
use super::slot::Damage;
use super::store::Store;
use super::world::{Bid, CATEGORIES, SEEDED_BIDS, World};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is for sale, by number and by category, and what was bid for it.
pub(crate) struct Catalogue {
    texts: Mutex<Arc<Vec<Box<str>>>>,
    categories: Vec<Vec<u32>>,
    tops: Mutex<Tops>,
    skew: AtomicU64,
}

struct Tops {
    seen: usize,
    of: Vec<(u64, u32)>,
}

impl Catalogue {
    pub(crate) fn build(store: &Store, world: World) -> Self {
        let texts = store.items();
        let mut categories = vec![Vec::new(); CATEGORIES as usize];
        for item in (0..world.items).take(texts.len()) {
            categories[World::category(item) as usize].push(item);
        }
        let mut tops = Tops {
            seen: 0,
            of: vec![(0, 0); texts.len()],
        };
        tops.follow(store);
        Self {
            texts: Mutex::new(Arc::new(texts)),
            categories,
            tops: Mutex::new(tops),
            skew: AtomicU64::new(0),
        }
    }

    pub(crate) fn texts(&self) -> Arc<Vec<Box<str>>> {
        lock(&self.texts).clone()
    }

    pub(crate) fn item(&self, store: Option<&Store>, item: u32) -> Result<String, Fail> {
        let (top, bids) = {
            let mut tops = lock(&self.tops);
            store.into_iter().for_each(|store| tops.follow(store));
            *tops.of.get(item as usize).ok_or(Fail::Missing("item"))?
        };
        let texts = self.texts();
        let text = &texts[item as usize];
        let top = top + self.skew.load(Relaxed);
        Ok(format!("{item} {top} {bids} {text}"))
    }

    pub(crate) fn category(&self, category: u32) -> Result<String, Fail> {
        let items = self.categories.get(category as usize);
        let items = items.ok_or(Fail::Missing("category"))?;
        Ok(list(items.iter().map(|item| u64::from(*item)).take(20)))
    }
}

impl Damage for Catalogue {
    fn corrupt(&self) {
        // An index that ends too early: what is behind it panics.
        let mut texts = lock(&self.texts);
        *texts = Arc::new(texts[..1].to_vec());
    }

    fn mislead(&self) {
        self.skew.store(1_000_000, Relaxed);
    }
}

impl Tops {
    fn follow(&mut self, store: &Store) {
        for bid in store.bids_behind(self.seen) {
            self.seen += 1;
            let (top, bids) = &mut self.of[bid.item as usize];
            *top = (*top).max(bid.amount);
            *bids += 1;
        }
    }
}

/// Which items a word is in. Made of the catalogue's texts.
pub(crate) struct Search {
    postings: Mutex<HashMap<Box<str>, Vec<u32>>>,
    skew: AtomicU64,
}

impl Search {
    pub(crate) fn build(catalogue: &Catalogue) -> Self {
        let mut postings: HashMap<Box<str>, Vec<u32>> = HashMap::new();
        for (item, text) in (0..).zip(catalogue.texts().iter()) {
            for word in text.split(' ') {
                match postings.get_mut(word) {
                    // A word may be in a text twice.
                    Some(items) if items.last() == Some(&item) => (),
                    Some(items) => items.push(item),
                    None => drop(postings.insert(word.into(), vec![item])),
                }
            }
        }
        Self {
            postings: Mutex::new(postings),
            skew: AtomicU64::new(0),
        }
    }

    /// The newest items with that word.
    pub(crate) fn find(&self, word: &str) -> String {
        let postings = lock(&self.postings);
        let items = postings.get(word).map_or(&[][..], Vec::as_slice);
        let skew = self.skew.load(Relaxed);
        list(
            items
                .iter()
                .rev()
                .map(|item| u64::from(*item) + skew)
                .take(20),
        )
    }
}

impl Damage for Search {
    fn corrupt(&self) {
        lock(&self.postings).values_mut().for_each(Vec::clear);
    }

    fn mislead(&self) {
        self.skew.store(1, Relaxed);
    }
}

/// Who bid what, by key, by item and by user.
pub(crate) struct History(Mutex<Bids>, AtomicU64);

struct Bids {
    seen: usize,
    by_key: HashMap<u64, Bid>,
    by_item: Vec<Vec<u64>>,
}

impl History {
    pub(crate) fn build(store: &Store, world: World) -> Self {
        let mut bids = Bids {
            seen: 0,
            by_key: HashMap::new(),
            by_item: vec![Vec::with_capacity(4); world.items as usize],
        };
        bids.follow(store);
        Self(Mutex::new(bids), AtomicU64::new(0))
    }

    pub(crate) fn bid(&self, store: Option<&Store>, key: u64) -> Result<String, Fail> {
        let mut bids = lock(&self.0);
        store.into_iter().for_each(|store| bids.follow(store));
        let bid = bids.by_key.get(&key).ok_or(Fail::Missing("bid"))?;
        let amount = bid.amount + self.1.load(Relaxed);
        Ok(format!("{} {} {amount}", bid.item, bid.user))
    }

    /// What was bid for an item, the highest first.
    pub(crate) fn item(&self, store: Option<&Store>, item: u32) -> Result<String, Fail> {
        let mut bids = lock(&self.0);
        store.into_iter().for_each(|store| bids.follow(store));
        let amounts = bids.by_item.get(item as usize);
        let amounts = amounts.ok_or(Fail::Missing("item"))?;
        let skew = self.1.load(Relaxed);
        Ok(list(
            amounts.iter().rev().take(10).map(|amount| amount + skew),
        ))
    }
}

impl Bids {
    fn follow(&mut self, store: &Store) {
        for bid in store.bids_behind(self.seen) {
            self.seen += 1;
            self.by_key.insert(bid.key, bid);
            let amounts = &mut self.by_item[bid.item as usize];
            let place = amounts.partition_point(|amount| *amount <= bid.amount);
            amounts.insert(place, bid.amount);
        }
    }
}

impl Damage for History {
    fn corrupt(&self) {
        let mut bids = lock(&self.0);
        bids.by_key.clear();
        bids.by_item.iter_mut().for_each(Vec::clear);
    }

    fn mislead(&self) {
        self.1.store(1_000_000, Relaxed);
    }
}

/// What users think of each other.
pub(crate) struct Ratings(Mutex<Vec<(u64, u64)>>, AtomicU64);

impl Ratings {
    pub(crate) fn build(store: &Store, world: World) -> Self {
        let mut of = vec![(0, 0); world.users() as usize];
        for (user, stars) in store.ratings() {
            let (sum, count): &mut (u64, u64) = &mut of[user as usize];
            *sum += stars;
            *count += 1;
        }
        Self(Mutex::new(of), AtomicU64::new(0))
    }

    pub(crate) fn of(&self, user: u32) -> Result<String, Fail> {
        let ratings = lock(&self.0);
        let (sum, count) = ratings.get(user as usize).ok_or(Fail::Missing("user"))?;
        Ok(format!("{} {count}", sum + self.1.load(Relaxed)))
    }
}

impl Damage for Ratings {
    fn corrupt(&self) {
        lock(&self.0).iter_mut().for_each(|rating| *rating = (0, 0));
    }

    fn mislead(&self) {
        self.1.store(1, Relaxed);
    }
}

/// How much each user has bid for.
pub(crate) struct Account(Mutex<(usize, HashMap<u32, u64>)>, AtomicU64);

impl Account {
    pub(crate) fn build(store: &Store) -> Self {
        let account = Self(Mutex::default(), AtomicU64::new(0));
        account.follow(store);
        account
    }

    fn follow(&self, store: &Store) {
        let (seen, counts) = &mut *lock(&self.0);
        for bid in store.bids_behind(*seen) {
            *seen += 1;
            *counts.entry(bid.user).or_default() += 1;
        }
    }

    pub(crate) fn of(&self, store: Option<&Store>, user: u32) -> String {
        store.into_iter().for_each(|store| self.follow(store));
        let count = lock(&self.0).1.get(&user).copied().unwrap_or(0);
        let user = u64::from(user) + self.1.load(Relaxed);
        format!("{user} {count}")
    }
}

impl Damage for Account {
    fn corrupt(&self) {
        lock(&self.0).1.clear();
    }

    fn mislead(&self) {
        self.1.store(1, Relaxed);
    }
}

fn list(numbers: impl Iterator<Item = u64>) -> String {
    let mut text = String::new();
    for number in numbers {
        let _ = write!(text, "{number} ");
    }
    text
}

/// Items have bids from the start.
const _: () = assert!(SEEDED_BIDS > 0);
