//! What the generator knows: the bids that were sent and those that were acknowledged, and a record of
//! each request.

use crate::app::service::world::Bid;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A request, or an action of several.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// When it was due, in microseconds since 1970.
    pub(crate) due: u64,
    /// How much later it was sent, by the generator's fault.
    pub(crate) behind: u64,
    pub(crate) kind: &'static str,
    /// From when it was due to its end.
    pub(crate) took: u64,
    pub(crate) attempts: u32,
    /// `ok`, or why it failed.
    pub(crate) end: String,
}

#[derive(Default)]
pub(crate) struct Sheet(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    records: Vec<Record>,
    sent: Vec<Bid>,
    acknowledged: HashMap<u64, Bid>,
}

impl Sheet {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self, record: Record) {
        self.inner().records.push(record);
    }

    pub(crate) fn sent(&self, bid: Bid) {
        self.inner().sent.push(bid);
    }

    pub(crate) fn acknowledged(&self, bid: Bid) {
        self.inner().acknowledged.insert(bid.key, bid);
    }

    /// A bid that was acknowledged some time ago, if there is one.
    pub(crate) fn any_acknowledged(&self, roll: usize) -> Option<Bid> {
        let inner = self.inner();
        // Of the last thousand: `sent` is in order of time.
        let last = &inner.sent[inner.sent.len().saturating_sub(1_000)..];
        let bid = last.get(roll.checked_rem(last.len())?)?;
        inner.acknowledged.get(&bid.key).copied()
    }

    pub(crate) fn acknowledged_lines(&self) -> String {
        let mut text = String::new();
        for bid in self.inner().acknowledged.values() {
            let _ = writeln!(text, "{} {} {}", bid.key, bid.item, bid.amount);
        }
        text
    }

    pub(crate) fn sent_lines(&self) -> String {
        let mut text = String::new();
        for bid in &self.inner().sent {
            let _ = writeln!(text, "{} {} {}", bid.key, bid.item, bid.amount);
        }
        text
    }

    pub(crate) fn csv(&self) -> String {
        let mut text = "due_us,behind_us,kind,took_us,attempts,end\n".to_owned();
        for record in &self.inner().records {
            let Record {
                due,
                behind,
                kind,
                took,
                attempts,
                end,
            } = record;
            let _ = writeln!(text, "{due},{behind},{kind},{took},{attempts},{end}");
        }
        text
    }
}
