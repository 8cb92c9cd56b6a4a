//! One policy per key: per endpoint, tenant or route.

use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::kernel::sync::{AtomicBool, Ordering, fence};
use parking_lot::Mutex;
use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};

/// A handle that a [`Keyed`] set can hold: cheap to clone, and able to say when it may be dropped.
///
/// The crate's policies implement it; it is sealed, because parts of it run under the set's locks.
pub trait Entry: sealed::Sealed + Clone + Send + Sync + 'static {
    /// What is left of an evicted entry: its totals.
    type Remains: Default + Clone + Send + Sync;

    /// Whether anybody besides the set holds the handle, or a permit of it.
    fn is_held(&self) -> bool;

    /// Whether dropping it loses nothing that matters.
    fn is_idle(&self) -> bool;

    /// Adds its totals to those of the entries that went before.
    fn leave(&self, remains: &mut Self::Remains);
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A bounded set of policies, one per key, made on first use.
///
/// * A hit takes no lock.
/// * At capacity, idle entries make room: those that nobody holds, that were not asked for again
///   since the last sweep, and that say of themselves that they are idle (a closed circuit, or an open
///   one whose time is over). A circuit that is open before its time stays, and so does one with a
///   permit out.
/// * When nothing can go, a new key shares one *overflow* entry, and is counted.
///
/// A key's `Hash` and `Eq` must not use the set itself; what makes the entries may.
///
/// Clones share the set.
pub struct Keyed<K, V: Entry> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V: Entry> {
    name: Name,
    capacity: usize,
    make: Box<dyn Fn(&K) -> V + Send + Sync>,
    entries: papaya::HashMap<K, Slot<V>>,
    /// Entries in the map, and those about to be.
    reserved: AtomicUsize,
    overflow: V,
    overflowed: AtomicU64,
    evicted: AtomicU64,
    sweeping: AtomicBool,
    /// Misses left until a sweep is worth trying again after a fruitless one.
    patience: AtomicUsize,
    remains: Mutex<V::Remains>,
    last_words: OnceLock<LastWords<V>>,
    /// The sum over the set, made where keys are known to hash, as `Drop` cannot ask them to.
    sum: fn(&Self) -> V::Remains,
}

/// Where a set that is gone leaves its figures, for those who must not keep it alive.
pub(crate) type LastWords<V> = Arc<OnceLock<Farewell<<V as Entry>::Remains>>>;

/// The figures of a set that is gone.
pub(crate) struct Farewell<R> {
    /// Of all its entries, evicted ones and the overflow entry included.
    pub(crate) remains: R,
    pub(crate) overflowed: u64,
}

struct Slot<V> {
    value: V,
    /// Asked for since the last sweep, other than by the call that made it.
    touched: AtomicBool,
    /// About to be evicted: whoever finds this must not use the value.
    retired: AtomicBool,
}

impl<V: Entry> Slot<V> {
    fn new(value: V) -> Self {
        Self {
            value,
            // Not by the call that made it: keys that are asked for once must not push out those
            // that are asked for again.
            touched: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// A handle, unless the entry is about to be evicted.
    fn hold(&self) -> Option<V> {
        let value = self.value.clone();
        // Hold, fence, look; the sweep marks, fences, looks: at least one sees the other.
        fence(Ordering::SeqCst);
        if self.retired.load(Ordering::Relaxed) {
            return None;
        }
        // Written once per sweep, so that hits on one key share no line for writing.
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
        Some(value)
    }

    /// Marks an entry that may go, so that nobody holds it from here on. One sweep at a time.
    fn retire(&self) -> bool {
        if self.touched.swap(false, Ordering::Relaxed) || !self.value.is_idle() {
            return false;
        }
        self.retired.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.value.is_held() || !self.value.is_idle() {
            self.retired.store(false, Ordering::Relaxed);
            return false;
        }
        // Whoever held it has let go; what they counted is counted.
        fence(Ordering::Acquire);
        true
    }
}

/// The most entries a set may hold.
const MAX_CAPACITY: usize = 1 << 24;

impl<K, V> Keyed<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Entry,
{
    /// An empty set of at most `capacity` entries (1 to 16,777,216), which `make` makes. `overflow`
    /// serves the keys for which there is no room.
    ///
    /// # Errors
    ///
    /// A capacity out of range.
    pub fn with(
        name: impl Into<Name>,
        capacity: usize,
        overflow: V,
        make: impl Fn(&K) -> V + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            let allowed = format!("from 1 to {MAX_CAPACITY}");
            return Err(ConfigError::new("capacity", capacity, allowed));
        }
        Ok(Self {
            shared: Arc::new(Shared {
                name: name.into(),
                capacity,
                make: Box::new(make),
                entries: papaya::HashMap::new(),
                reserved: AtomicUsize::new(0),
                overflow,
                overflowed: AtomicU64::new(0),
                evicted: AtomicU64::new(0),
                sweeping: AtomicBool::new(false),
                patience: AtomicUsize::new(0),
                remains: Mutex::default(),
                last_words: OnceLock::new(),
                sum: Shared::sum,
            }),
        })
    }

    /// The entry of `key`, made if it is new; the overflow entry if there is no room.
    ///
    /// Keep the handle for the length of a call, not longer: an entry that is held stays.
    pub fn get<Q>(&self, key: &Q) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        // A retired entry is gone, or back, within a few instructions of another thread.
        for _ in 0..1_000 {
            match self.shared.find(key) {
                Found::Value(value) => return value,
                Found::Retired => std::hint::spin_loop(),
                Found::Nothing => {
                    if !self.shared.make_room() {
                        break;
                    }
                    if let Some(value) = self.shared.insert(key.to_owned()) {
                        return value;
                    }
                }
            }
        }
        self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
        self.shared.overflow.clone()
    }

    /// The entry of `key`, if there is one.
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.shared.find(key) {
            Found::Value(value) => Some(value),
            Found::Retired | Found::Nothing => None,
        }
    }

    /// Shows every entry to `visit`, without marking it as used. One that is just being evicted is
    /// left out.
    pub fn for_each(&self, visit: impl FnMut(&K, &V)) {
        self.shared.for_each(visit);
    }

    /// What all entries would leave, the evicted ones and the overflow entry included.
    pub(crate) fn sum(&self) -> V::Remains {
        self.shared.sum()
    }

    /// The name of the set.
    pub fn name(&self) -> &Name {
        &self.shared.name
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.shared.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most entries it holds.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// The entry that keys share for which there is no room.
    pub fn overflow(&self) -> &V {
        &self.shared.overflow
    }

    /// How often [`get`](Self::get) answered with the overflow entry.
    pub fn overflowed(&self) -> u64 {
        self.shared.overflowed.load(Ordering::Relaxed)
    }

    /// How many entries made room for others.
    pub fn evicted(&self) -> u64 {
        self.shared.evicted.load(Ordering::Relaxed)
    }

    /// What is left of the evicted entries.
    pub fn remains(&self) -> V::Remains {
        self.shared.remains.lock().clone()
    }

    /// Where this set will leave its figures when it is gone.
    pub(crate) fn last_words(&self) -> LastWords<V> {
        self.shared
            .last_words
            .get_or_init(LastWords::<V>::default)
            .clone()
    }

    /// A handle that does not keep the set alive.
    pub(crate) fn downgrade(&self) -> impl Fn() -> Option<Self> + Send + Sync + use<K, V> {
        let weak = Arc::downgrade(&self.shared);
        move || weak.upgrade().map(|shared| Self { shared })
    }
}

/// Ends a sweep, also when a key's `Hash` panics in the middle of it.
struct Sweeping<'a>(&'a AtomicBool);

impl Drop for Sweeping<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

enum Found<V> {
    Value(V),
    Retired,
    Nothing,
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Entry,
{
    fn find<Q>(&self, key: &Q) -> Found<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entries = self.entries.pin();
        let Some(slot) = entries.get(key) else {
            return Found::Nothing;
        };
        slot.hold().map_or(Found::Retired, Found::Value)
    }

    fn for_each(&self, mut visit: impl FnMut(&K, &V)) {
        for (key, slot) in &self.entries.pin() {
            if !slot.retired.load(Ordering::Relaxed) {
                visit(key, &slot.value);
            }
        }
    }

    /// No entry is in it twice: what an evicted one has left is read first, and it is marked before
    /// it leaves anything. One that is being evicted meanwhile can be missed.
    fn sum(&self) -> V::Remains {
        let mut sum = self.remains.lock().clone();
        self.for_each(|_, entry| entry.leave(&mut sum));
        self.overflow.leave(&mut sum);
        sum
    }

    /// Inserts a new entry into a place that was reserved; `None` if another thread was faster.
    fn insert(&self, key: K) -> Option<V> {
        let value = (self.make)(&key);
        let slot = Slot::new(value.clone());
        if self.entries.pin().try_insert(key, slot).is_ok() {
            return Some(value);
        }
        self.reserved.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Reserves a place, after evicting idle entries if there is none.
    fn make_room(&self) -> bool {
        self.reserve() || (self.sweep() && self.reserve())
    }

    fn reserve(&self) -> bool {
        let one_more = |reserved| (reserved < self.capacity).then_some(reserved + 1);
        self.reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    /// Evicts up to an eighth of the entries, so that a sweep of all of them is paid for by the
    /// keys it makes room for. `false` if it freed nothing, or another thread is at it.
    fn sweep(&self) -> bool {
        let patience = |left: usize| left.checked_sub(1);
        let waited = self
            .patience
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, patience);
        if waited.is_ok() || self.sweeping.swap(true, Ordering::Acquire) {
            return false;
        }
        let _done = Sweeping(&self.sweeping);
        let at_most = (self.capacity / 8).max(1);
        let mut freed = 0;
        let entries = self.entries.pin();
        // A second round finds what the first one only marked as not asked for since.
        for _ in 0..2 {
            for (key, slot) in &entries {
                if freed < at_most && self.try_retire(slot) {
                    entries.remove(key);
                    self.reserved.fetch_sub(1, Ordering::Relaxed);
                    freed += 1;
                }
            }
            if freed > 0 {
                break;
            }
        }
        self.evicted.fetch_add(freed as u64, Ordering::Relaxed);
        if freed == 0 {
            self.patience.store(at_most, Ordering::Relaxed);
        }
        freed > 0
    }

    fn try_retire(&self, slot: &Slot<V>) -> bool {
        let is_gone = slot.retire();
        if is_gone {
            slot.value.leave(&mut self.remains.lock());
        }
        is_gone
    }
}

impl<K, V: Entry> Drop for Shared<K, V> {
    fn drop(&mut self) {
        if let Some(last_words) = self.last_words.get() {
            let farewell = Farewell {
                remains: (self.sum)(self),
                overflowed: *self.overflowed.get_mut(),
            };
            // Nobody else fills it, and nobody does so twice.
            let _ = last_words.set(farewell);
        }
    }
}

impl<K, V: Entry> Clone for Keyed<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<K, V: Entry> fmt::Debug for Keyed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("name", &self.shared.name)
            .field("capacity", &self.shared.capacity)
            .field("entries", &self.shared.reserved)
            .field("overflowed", &self.shared.overflowed)
            .field("evicted", &self.shared.evicted)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, backstop_loom))]
mod loom_tests;

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;

    /// A counter that nobody but the set holds.
    #[derive(Clone)]
    struct Tally(Arc<AtomicU64>);

    impl sealed::Sealed for Tally {}

    impl Entry for Tally {
        type Remains = u64;

        fn is_held(&self) -> bool {
            Arc::strong_count(&self.0) > 1
        }

        fn is_idle(&self) -> bool {
            true
        }

        fn leave(&self, remains: &mut u64) {
            *remains += self.0.load(Ordering::Relaxed);
        }
    }

    fn tally() -> Tally {
        Tally(Arc::default())
    }

    fn bump(tally: &Tally) {
        tally.0.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn an_entry_between_leaving_and_removal_is_summed_once() {
        let set = Keyed::<u8, _>::with("set", 4, tally(), |_| tally()).unwrap();
        bump(&set.get(&1));
        bump(&set.get(&2));
        bump(set.overflow());
        assert_eq!(set.sum(), 3);
        {
            let entries = set.shared.entries.pin();
            let slot = entries.get(&1).unwrap();
            slot.touched.store(false, Ordering::Relaxed);
            assert!(set.shared.try_retire(slot));
        }
        assert_eq!((set.len(), set.remains()), (2, 1));
        assert_eq!(set.sum(), 3);
    }

    #[test]
    fn what_was_asked_for_since_the_last_sweep_outlives_the_next() {
        let set = Keyed::<u8, _>::with("set", 16, tally(), |_| tally()).unwrap();
        for key in 0..16 {
            set.get(&key);
        }
        // All were asked for, so the first sweep takes any two, an eighth.
        set.get(&100);
        assert_eq!((set.evicted(), set.len()), (2, 15));
        set.get(&101);
        let mut left = Vec::new();
        set.for_each(|key, _| left.push(*key));
        let (idle, asked) = left.split_first().unwrap();
        for key in asked {
            set.get(key);
        }
        set.get(&102);
        assert_eq!((set.evicted(), set.len()), (3, 16));
        assert!(set.peek(idle).is_none(), "it made room");
        assert!(asked.iter().all(|key| set.peek(key).is_some()));
    }

    #[test]
    fn a_set_leaves_its_figures_with_its_last_handle() {
        let set = Keyed::<u8, _>::with("set", 1, tally(), |_| tally()).unwrap();
        let last_words = set.last_words();
        let held = set.get(&1);
        bump(&held);
        bump(&set.get(&2));
        let upgrade = set.downgrade();
        drop(set.clone());
        assert!(last_words.get().is_none() && upgrade().is_some());
        drop(set);
        assert!(upgrade().is_none());
        let farewell = last_words.get().unwrap();
        assert_eq!((farewell.remains, farewell.overflowed), (2, 1));
    }
}
