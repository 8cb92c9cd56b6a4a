//! The calls of the last span of time, in buckets, counted by many threads without a lock.
//!
//! Each thread counts in its own stripe; a reader sums all stripes. A cell holds the calls of one
//! class in one bucket of one stripe, as one word: the bucket's *tag* (36 bits) beside a count
//! (28 bits). A cell whose tag is out of the window counts for nothing, so nothing ever has to be
//! cleared: an idle gap of any length costs nothing, and the next call in that cell replaces it.
//!
//! **Epochs and tags.** An epoch is the number of the bucket's width since the first outcome. A
//! tag is `epoch + generation * buckets`, so that it carries the generation of the circuit's state
//! too. A writer that is still on its way in an older generation read its epoch in the past, so
//! its tag is at least `buckets` behind that of any reader of the new one: out of the window.
//!
//! **High water.** The epoch never goes back, whatever the clock does: a clock that steps back
//! counts calls in the newest bucket, and un-expires none.
//!
//! **Who must look.** A call is recorded, then `fence(SeqCst)`, then the recorder looks at what
//! the others recorded; so of calls that overlap, the last to finish sees all. A good call can
//! change the verdict only if bad ones are in the window, and then only when it completes the
//! minimum or is its stripe's first of an epoch (older good calls may just have expired). All other
//! good calls skip the fence and the look. One that does so because the minimum is complete, while a
//! new epoch begins in which it is not, leaves the verdict to the next call.

use super::{CLASSES, Class, Counts};
use crate::kernel::clock::Clock;
use crate::kernel::instant::{Instant, saturating_nanos};
use crate::kernel::stripe::thread_number;
use crate::kernel::sync::{AtomicBool, AtomicU64, Mutex, Ordering, fence};
use crossbeam_utils::CachePadded;
use std::time::Duration;

const TAG_BITS: u32 = 36;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
const COUNT_MAX: u64 = (1 << (64 - TAG_BITS)) - 1;

/// Tag and count in one word; the count is in the low bits, so adding one counts a call.
const fn pack(tag: u64, count: u64) -> u64 {
    (tag & TAG_MASK) << (64 - TAG_BITS) | count
}

const fn tag_of(word: u64) -> u64 {
    word >> (64 - TAG_BITS)
}

const fn count_of(word: u64) -> u64 {
    word & COUNT_MAX
}

/// How far tag `newer` is ahead of `older`.
const fn ahead(newer: u64, older: u64) -> u64 {
    newer.wrapping_sub(older) & TAG_MASK
}

/// A cell this little ahead of a call belongs to a bucket that is newer than the call. Farther
/// ahead, it is an old cell seen across the wrap of tags (2 years of 1 ms buckets).
const NEWER_LIMIT: u64 = 1 << 20;

/// Of an anchor: there is none yet.
const UNANCHORED: u64 = 0;

/// Words of one cache-padded line.
const LINE: usize = 16;

/// Span and buckets of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeShape {
    /// Width of a bucket.
    pub(crate) width: Duration,
    /// How many of them make the window; at least one.
    pub(crate) buckets: u32,
}

/// What a recorder must do after its call is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Nothing: this call cannot have changed the verdict.
    Settled,
    /// Sum the window and judge it.
    Look,
}

/// Where a call was counted, and how many were there before it.
struct Counted {
    stripe: usize,
    tag: u64,
    already: u64,
}

#[derive(Debug)]
pub(crate) struct TimeWindow {
    shape: TimeShape,
    width: u64,
    /// Whether the clock's coarse reading is good enough for buckets of this width.
    coarse: bool,
    /// Slots of a class in a stripe: the buckets, rounded up so that a mask finds one.
    slots: usize,
    stripes: usize,
    lines_per_stripe: usize,
    /// Where epoch 1 begins, in nanoseconds of the clock; `UNANCHORED` before the first outcome.
    anchor: AtomicU64,
    /// Set until the first outcome after creation or reset has aligned the buckets.
    unaligned: AtomicBool,
    /// The newest epoch any call was seen in.
    epoch: CachePadded<AtomicU64>,
    /// The newest full (unmasked) tag with a bad call in it.
    bad: AtomicU64,
    lines: Box<[CachePadded<[AtomicU64; LINE]>]>,
    ledger: Mutex<Ledger>,
}

/// What changes seldom. A cell is replaced under the ledger's lock, so that a reader of totals who
/// holds it sees each call once.
#[derive(Debug, Default)]
struct Ledger {
    /// Calls of replaced cells, by class; modulo 2^64, because restored calls are taken off.
    retired: [u64; 4],
}

impl TimeWindow {
    /// `stripes` is a power of two.
    pub(crate) fn new(shape: TimeShape, stripes: usize, clock: &Clock) -> Self {
        let slots = (shape.buckets as usize).next_power_of_two();
        // One word more for what is known of the window's total; see `note_total`.
        let lines_per_stripe = (CLASSES.len() * slots + 1).div_ceil(LINE);
        let lines = (0..stripes * lines_per_stripe)
            .map(|_| CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0))))
            .collect();
        Self {
            shape,
            width: saturating_nanos(shape.width).max(1),
            coarse: clock.is_coarse_enough_for(shape.width),
            slots,
            stripes,
            lines_per_stripe,
            anchor: AtomicU64::new(UNANCHORED),
            unaligned: AtomicBool::new(true),
            epoch: CachePadded::new(AtomicU64::new(1)),
            bad: AtomicU64::new(0),
            lines,
            ledger: Mutex::new(Ledger::default()),
        }
    }

    pub(crate) fn shape(&self) -> TimeShape {
        self.shape
    }

    /// Now, as precisely as the buckets need it.
    #[inline]
    pub(crate) fn now(&self, clock: &Clock) -> Instant {
        if self.coarse {
            clock.coarse()
        } else {
            clock.now()
        }
    }

    /// Counts one call that ended `now` in `generation`.
    #[inline]
    pub(crate) fn record(
        &self,
        generation: u64,
        now: Instant,
        class: Class,
        minimum: u64,
    ) -> Recorded {
        let Counted {
            stripe,
            tag,
            already,
        } = self.count(generation, now, class);
        if class == Class::Ok {
            self.look_after_good(stripe, tag, already, minimum)
        } else {
            if self.bad.load(Ordering::Relaxed) < tag {
                self.bad.fetch_max(tag, Ordering::Relaxed);
            }
            fence(Ordering::SeqCst);
            Recorded::Look
        }
    }

    /// Counts one call for those who only sum: there is no fence, because nobody looks after it.
    #[inline]
    pub(crate) fn add(&self, generation: u64, now: Instant, class: Class) {
        self.count(generation, now, class);
    }

    #[inline]
    fn count(&self, generation: u64, now: Instant, class: Class) -> Counted {
        if self.unaligned.load(Ordering::Acquire) {
            self.align(now);
        }
        let epoch = self.epoch_at(now);
        let tag = self.tag(epoch, generation);
        let stripe = thread_number() & (self.stripes - 1);
        let cell = self.cell(stripe, class, tag);
        let mut seen = cell.load(Ordering::Relaxed);
        let already = loop {
            if tag_of(seen) != tag & TAG_MASK || count_of(seen) == COUNT_MAX {
                break self.replace(cell, class, tag);
            }
            // Released, so that whoever sums this call also sees the epoch it was counted in.
            match cell.compare_exchange_weak(seen, seen + 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break count_of(seen),
                Err(now_there) => seen = now_there,
            }
        };
        Counted {
            stripe,
            tag,
            already,
        }
    }

    #[inline]
    fn look_after_good(&self, stripe: usize, tag: u64, already: u64, minimum: u64) -> Recorded {
        // The total of this epoch only grows, so once it was at the minimum, no further call
        // completes it.
        if already > 0 && (already >= minimum || self.noted_total(stripe, tag) >= minimum) {
            return Recorded::Settled;
        }
        fence(Ordering::SeqCst);
        let bad = self.bad.load(Ordering::Relaxed);
        // A bad call of a newer bucket than this call's is in the window with it.
        if bad == 0 || tag.saturating_sub(bad) >= u64::from(self.shape.buckets) {
            Recorded::Settled
        } else {
            Recorded::Look
        }
    }

    /// What the window counts at `now`, in `generation`.
    pub(crate) fn sum(&self, generation: u64, now: Instant) -> Counts {
        loop {
            let epoch = self.epoch_at(now);
            let tag = self.tag(epoch, generation);
            let counts = self.counts(tag);
            // Had the epoch moved on meanwhile, cells of the new one (or of an older generation
            // that ran into it) might have been taken for this one's.
            if self.epoch.load(Ordering::Relaxed) == epoch {
                self.note_total(thread_number() & (self.stripes - 1), tag, counts.recorded);
                return counts;
            }
        }
    }

    /// The calls of all cells that are in the window of `tag`.
    fn counts(&self, tag: u64) -> Counts {
        // How far a cell is behind, and whether that is in the window, by one subtraction: above
        // the count, which takes nothing away from the tags, it is `ahead`.
        let (newest, span) = (pack(tag, COUNT_MAX), pack(self.shape.buckets.into(), 0));
        let run = self.slots.min(LINE);
        // No sum of these passes 2^64: a cell counts to 2^28.
        let mut calls = [0; CLASSES.len()];
        for stripe in self.lines.chunks_exact(self.lines_per_stripe) {
            let mut runs = stripe.iter().flat_map(|line| line.chunks_exact(run));
            for calls in &mut calls {
                for run in runs.by_ref().take(self.slots / run) {
                    for word in run {
                        let word = word.load(Ordering::Acquire);
                        let is_in = newest.wrapping_sub(word) < span;
                        *calls += if is_in { count_of(word) } else { 0 };
                    }
                }
            }
        }
        let mut counts = Counts::default();
        for (class, calls) in CLASSES.into_iter().zip(calls) {
            counts.add(class, calls);
        }
        counts
    }

    /// The number of the bucket of `now` in `generation`. It never goes back; what is fewer than
    /// `buckets` behind the newest one is in the window.
    pub(crate) fn tag_at(&self, generation: u64, now: Instant) -> u64 {
        if self.unaligned.load(Ordering::Acquire) {
            self.align(now);
        }
        self.tag(self.epoch_at(now), generation)
    }

    /// All calls ever counted here, by class.
    pub(crate) fn totals(&self) -> [u64; 4] {
        let ledger = self.ledger.lock();
        CLASSES.map(|class| {
            (0..self.stripes)
                .flat_map(|stripe| (0..self.slots as u64).map(move |slot| (stripe, slot)))
                .map(|(stripe, slot)| {
                    count_of(self.cell(stripe, class, slot).load(Ordering::Relaxed))
                })
                .fold(ledger.retired[class as usize], u64::wrapping_add)
        })
    }

    /// The calls of each bucket by class, the current bucket first.
    pub(crate) fn buckets(&self, generation: u64, now: Instant) -> Vec<[u64; 4]> {
        let tag = self.tag(self.epoch_at(now), generation);
        (0..u64::from(self.shape.buckets))
            .map(|age| {
                let tag = tag.wrapping_sub(age);
                CLASSES.map(|class| {
                    (0..self.stripes)
                        .map(|stripe| self.cell(stripe, class, tag).load(Ordering::Acquire))
                        .filter(|word| tag_of(*word) == tag & TAG_MASK)
                        .map(count_of)
                        .sum()
                })
            })
            .collect()
    }

    /// Puts back what [`buckets`](Self::buckets) gave, as if it had just happened. These calls
    /// were counted before, so they do not add to the totals.
    pub(crate) fn restore(&self, generation: u64, now: Instant, buckets: &[[u64; 4]]) {
        self.align(now);
        let newest = self.tag(self.epoch_at(now), generation);
        let mut ledger = self.ledger.lock();
        for (age, calls) in (0..u64::from(self.shape.buckets)).zip(buckets) {
            let tag = newest.wrapping_sub(age);
            for class in CLASSES {
                let count = calls[class as usize].min(COUNT_MAX);
                if count == 0 {
                    continue;
                }
                let old = self
                    .cell(0, class, tag)
                    .swap(pack(tag, count), Ordering::Release);
                let retired = &mut ledger.retired[class as usize];
                *retired = retired.wrapping_add(count_of(old)).wrapping_sub(count);
                if class != Class::Ok {
                    self.bad.fetch_max(tag, Ordering::Relaxed);
                }
            }
        }
    }

    /// The next outcome aligns the buckets anew. The caller begins a new generation with it.
    pub(crate) fn realign(&self) {
        self.unaligned.store(true, Ordering::Release);
    }

    /// Makes a bucket begin at `now`. Epochs go on from where they were (one may be cut short), so
    /// that they never go back.
    #[cold]
    fn align(&self, now: Instant) {
        let _ledger = self.ledger.lock();
        if !self.unaligned.load(Ordering::Relaxed) {
            return;
        }
        let anchor = self.anchor.load(Ordering::Relaxed);
        let aligned = if anchor == UNANCHORED {
            now.as_nanos()
        } else {
            let (now, width) = (now.as_nanos(), self.width);
            // A clock that stepped back may show a time before the anchor.
            let into_bucket = if now >= anchor {
                (now - anchor) % width
            } else {
                (width - (anchor - now) % width) % width
            };
            anchor.wrapping_sub((self.width - into_bucket) % self.width)
        };
        self.anchor
            .store(aligned.max(UNANCHORED + 1), Ordering::Relaxed);
        self.unaligned.store(false, Ordering::Release);
    }

    /// The epoch of `now`: a multiplication and a comparison, unless a new one begins.
    #[inline]
    fn epoch_at(&self, now: Instant) -> u64 {
        let epoch = self.epoch.load(Ordering::Acquire);
        let anchor = self.anchor.load(Ordering::Relaxed);
        let begin = anchor.wrapping_add((epoch - 1).wrapping_mul(self.width));
        if now.as_nanos().wrapping_sub(begin) < self.width {
            epoch
        } else {
            self.epoch_moved(now, anchor)
        }
    }

    #[cold]
    fn epoch_moved(&self, now: Instant, anchor: u64) -> u64 {
        if anchor == UNANCHORED {
            // Nothing was counted yet, so there is nothing that time could move.
            return self.epoch.load(Ordering::Acquire);
        }
        let since = now.as_nanos().wrapping_sub(anchor);
        // A clock before the anchor (it wraps to the upper half) has stepped back.
        let epoch = if since > u64::MAX / 2 {
            1
        } else {
            since / self.width + 1
        };
        self.epoch.fetch_max(epoch, Ordering::AcqRel).max(epoch)
    }

    fn tag(&self, epoch: u64, generation: u64) -> u64 {
        // One more than the buckets: aligning anew may cut an epoch short.
        let stride = u64::from(self.shape.buckets) + 1;
        epoch.wrapping_add(generation.wrapping_mul(stride))
    }

    #[inline]
    fn cell(&self, stripe: usize, class: Class, tag: u64) -> &AtomicU64 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the mask keeps the low bits only"
        )]
        let slot = tag as usize & (self.slots - 1);
        self.word(stripe, class as usize * self.slots + slot)
    }

    #[inline]
    fn word(&self, stripe: usize, word: usize) -> &AtomicU64 {
        &self.lines[stripe * self.lines_per_stripe + word / LINE][word % LINE]
    }

    /// Counts a call in a cell that holds another bucket (or is full), and keeps that bucket's
    /// calls in the totals. Returns how many calls were in the cell's new bucket before.
    #[cold]
    fn replace(&self, cell: &AtomicU64, class: Class, tag: u64) -> u64 {
        let mut ledger = self.ledger.lock();
        let retired = &mut ledger.retired[class as usize];
        let mut seen = cell.load(Ordering::Relaxed);
        loop {
            let same = tag_of(seen) == tag & TAG_MASK;
            let is_newer = !same && count_of(seen) > 0 && ahead(tag_of(seen), tag) < NEWER_LIMIT;
            if is_newer || (same && count_of(seen) == COUNT_MAX) {
                // Too late for its bucket, or the bucket is at its limit of 2^28 calls of one
                // class and stripe: the call is in the totals and not in the window.
                *retired = retired.wrapping_add(1);
                return COUNT_MAX;
            }
            let next = if same { seen + 1 } else { pack(tag, 1) };
            match cell.compare_exchange(seen, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) if same => return count_of(seen),
                Ok(_) => {
                    *retired = retired.wrapping_add(count_of(seen));
                    return 0;
                }
                Err(now_there) => seen = now_there,
            }
        }
    }

    /// Remembers in this stripe that the window's total was `total` in the epoch of `tag`.
    fn note_total(&self, stripe: usize, tag: u64, total: u64) {
        self.word(stripe, CLASSES.len() * self.slots)
            .store(pack(tag, total.min(COUNT_MAX)), Ordering::Relaxed);
    }

    /// The total remembered for the epoch of `tag`; zero if there is none.
    fn noted_total(&self, stripe: usize, tag: u64) -> u64 {
        let word = self
            .word(stripe, CLASSES.len() * self.slots)
            .load(Ordering::Relaxed);
        if tag_of(word) == tag & TAG_MASK {
            count_of(word)
        } else {
            0
        }
    }
}

#[cfg(all(test, backstop_loom))]
mod loom_tests;

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn window() -> TimeWindow {
        let shape = TimeShape {
            width: SECOND,
            buckets: 4,
        };
        TimeWindow::new(shape, 1, &Clock::manual().clock())
    }

    #[test]
    fn whoever_meets_the_cell_already_replaced_counts_in_it() {
        let window = window();
        let cell = window.cell(0, Class::Failed, 9);
        assert_eq!(window.replace(cell, Class::Failed, 9), 0);
        // As for the second of two threads that found the old bucket there.
        assert_eq!(window.replace(cell, Class::Failed, 9), 1);
        assert_eq!(window.replace(cell, Class::Failed, 9), 2);
        assert_eq!(cell.load(Ordering::Relaxed), pack(9, 3));
        assert_eq!(window.totals(), [0, 3, 0, 0]);
    }

    #[test]
    fn a_full_cell_and_a_newer_one_send_a_call_to_the_totals_alone() {
        for there in [pack(9, COUNT_MAX), pack(10, 5)] {
            let window = window();
            let cell = window.cell(0, Class::Ok, 9);
            cell.store(there, Ordering::Relaxed);
            assert_eq!(window.replace(cell, Class::Ok, 9), COUNT_MAX);
            assert_eq!(cell.load(Ordering::Relaxed), there);
            assert_eq!(window.totals(), [count_of(there) + 1, 0, 0, 0]);
        }
    }

    #[test]
    fn a_good_call_looks_until_the_minimum_was_reached_by_an_earlier_one() {
        let window = window();
        window.bad.store(9, Ordering::Relaxed);
        let after = |already| window.look_after_good(0, 9, already, 10);
        assert_eq!(after(0), Recorded::Look);
        assert_eq!(after(1), Recorded::Look, "its cell alone is below it");
        assert_eq!(after(10), Recorded::Settled);
        window.note_total(0, 9, 10);
        assert_eq!(after(0), Recorded::Look, "the first of its bucket");
        assert_eq!(after(1), Recorded::Settled);
        window.bad.store(0, Ordering::Relaxed);
        assert_eq!(after(0), Recorded::Settled, "nothing bad is there");
    }

    #[test]
    fn an_older_bucket_goes_to_the_totals() {
        let window = window();
        let cell = window.cell(0, Class::Slow, 5);
        cell.store(pack(5, 7), Ordering::Relaxed);
        assert_eq!(window.replace(cell, Class::Slow, 9), 0);
        assert_eq!(cell.load(Ordering::Relaxed), pack(9, 1));
        assert_eq!(window.totals(), [0, 0, 8, 0]);
    }
}
