//! Which checkpoint the next start goes on from.
//!
//! The decision is a function of what is stored: a process that was killed comes to the same one as a
//! process that was not. What could not be stored is held here, laid over what the store says.

use crate::durable::snapshot::{Mark, Marks};
use std::collections::BTreeMap;

/// Starts from the newest checkpoint before an older one is tried: the first crash may be chance.
pub(super) const NEWEST_TRIES: u32 = 2;

/// Starts from the next older one.
const OLDER_TRIES: u32 = 1;

/// The strike beyond its own tries that the newest one bears for a start without any state.
const COLD_STRIKE: u32 = NEWEST_TRIES + 1;

/// Restarts that the whole sequence takes: the newest twice, an older one once, and perhaps none.
pub(super) const fn least_restarts(is_cold_allowed: bool) -> u32 {
    NEWEST_TRIES + OLDER_TRIES + is_cold_allowed as u32
}

/// A checkpoint that a start could go on from: sound, as far as the store can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) sequence: u64,
    pub(super) marks: Marks,
}

/// Where a start gets its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// Nowhere: nothing was ever saved.
    Fresh,
    /// The newest good checkpoint.
    Newest,
    /// The one before it, after the newest has failed twice: a trial.
    Older,
    /// Nowhere, although something was saved: a trial, for those who opted in.
    Cold,
    /// The newest good checkpoint, after the others were no better.
    NewestAgain,
}

impl Origin {
    /// Whether the start is to show that another state than the newest is better. It saves nothing until
    /// it has.
    pub const fn is_trial(self) -> bool {
        matches!(self, Self::Older | Self::Cold)
    }

    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Newest => "newest",
            Self::Older => "older",
            Self::Cold => "cold",
            Self::NewestAgain => "newest_again",
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A start that is about to be made, and what is to be marked however it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) origin: Origin,
    /// The checkpoint that it goes on from.
    pub(super) base: Option<u64>,
    /// The one that gets a strike before the start is made.
    pub(super) strike: Option<u64>,
    /// Marks if it is well for long enough, in this order.
    pub(super) on_proof: Vec<(u64, Mark)>,
}

impl Attempt {
    /// What is marked if it ends without a fault before it was proven.
    pub(super) fn on_excuse(&self) -> Option<(u64, Mark)> {
        self.strike.map(|sequence| (sequence, Mark::Cleared))
    }

    /// What is marked if it says that its state is bad.
    pub(super) fn on_bad_state(&self) -> Option<(u64, Mark)> {
        self.base.map(|sequence| (sequence, Mark::Suspect))
    }
}

/// There are checkpoints, none of them can be gone on from, and a start without them was not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoneUsable;

/// What this process knows beyond the store.
#[derive(Debug)]
pub(super) struct Machine {
    is_cold_allowed: bool,
    /// Marks that could not be stored, oldest first.
    owed: Vec<(u64, Mark)>,
    /// Strikes as they should be, of those checkpoints of which a mark could not be stored: it may be
    /// there or not.
    strikes: BTreeMap<u64, u32>,
    /// Whether it was told that the suspicion is withdrawn.
    is_withdrawn: bool,
}

impl Machine {
    pub(super) const fn new(is_cold_allowed: bool) -> Self {
        Self {
            is_cold_allowed,
            owed: Vec::new(),
            strikes: BTreeMap::new(),
            is_withdrawn: false,
        }
    }

    /// What the next start goes on from. `stored` are the sound checkpoints, newest first; `is_empty`
    /// says that there is none at all, neither sound nor bad.
    pub(super) fn choose(
        &self,
        stored: &[Candidate],
        is_empty: bool,
    ) -> Result<Attempt, NoneUsable> {
        let good: Vec<Candidate> = stored
            .iter()
            .map(|one| self.seen(*one))
            .filter(|one| !one.marks.suspect)
            .collect();
        let Some(newest) = good.first() else {
            let origin = match (is_empty, self.is_cold_allowed) {
                (true, _) => Origin::Fresh,
                (false, true) => Origin::Cold,
                (false, false) => return Err(NoneUsable),
            };
            return Ok(Attempt {
                origin,
                base: None,
                strike: None,
                on_proof: Vec::new(),
            });
        };
        let older = good.get(1);
        let origin = if newest.marks.strikes < NEWEST_TRIES {
            Origin::Newest
        } else if older.is_some_and(|older| older.marks.strikes < OLDER_TRIES) {
            Origin::Older
        } else if self.is_cold_allowed && newest.marks.strikes < COLD_STRIKE {
            Origin::Cold
        } else {
            Origin::NewestAgain
        };
        let base = match origin {
            Origin::Older => older.map(|older| older.sequence),
            Origin::Cold => None,
            _ => Some(newest.sequence),
        };
        Ok(Attempt {
            origin,
            base,
            strike: base.or(Some(newest.sequence)),
            on_proof: on_proof(&good, origin, base),
        })
    }

    /// Whether this start is the first for which the suspicion of the newest is withdrawn.
    pub(super) fn withdraws(&mut self, origin: Origin) -> bool {
        let withdraws = origin == Origin::NewestAgain;
        withdraws && !std::mem::replace(&mut self.is_withdrawn, true)
    }

    /// The start was well for long enough.
    pub(super) fn proven(&mut self) {
        self.is_withdrawn = false;
    }

    /// A start is about to be made, and its strike was stored.
    pub(super) fn strike_is_stored(&mut self, sequence: u64) {
        if let Some(strikes) = self.strikes.get_mut(&sequence) {
            *strikes = strikes.saturating_add(1);
        }
    }

    /// The same, and it could not be stored. `before` is what the store had shown.
    pub(super) fn strike_is_counted_here(&mut self, before: Candidate) {
        let strikes = self.seen(before).marks.strikes.saturating_add(1);
        self.strikes.insert(before.sequence, strikes);
    }

    /// A mark was stored.
    pub(super) fn mark_is_stored(&mut self, sequence: u64, mark: Mark) {
        if forgets_strikes(mark) {
            self.strikes.remove(&sequence);
        }
    }

    /// A mark could not be stored: it holds all the same, and is tried again before the next start.
    pub(super) fn mark_is_owed(&mut self, sequence: u64, mark: Mark) {
        self.owed.push((sequence, mark));
        if forgets_strikes(mark) {
            self.strikes.insert(sequence, 0);
        }
    }

    /// What is to be stored before the next start, oldest first.
    pub(super) fn owed(&self) -> Vec<(u64, Mark)> {
        self.owed.clone()
    }

    /// So many of them were stored.
    pub(super) fn paid(&mut self, first: usize) {
        self.owed.drain(..first.min(self.owed.len()));
    }

    /// Forgets what is no longer in the store.
    pub(super) fn retain(&mut self, is_there: impl Fn(u64) -> bool) {
        self.owed.retain(|(sequence, _)| is_there(*sequence));
        self.strikes.retain(|sequence, _| is_there(*sequence));
    }

    /// A checkpoint with the marks that it should have.
    fn seen(&self, mut one: Candidate) -> Candidate {
        for (sequence, mark) in &self.owed {
            if *sequence == one.sequence {
                one.marks = one.marks.with(*mark);
            }
        }
        if let Some(strikes) = self.strikes.get(&one.sequence) {
            one.marks.strikes = *strikes;
        }
        one
    }
}

const fn forgets_strikes(mark: Mark) -> bool {
    matches!(mark, Mark::Verified | Mark::Cleared)
}

/// What a start shows that is well for long enough.
fn on_proof(good: &[Candidate], origin: Origin, base: Option<u64>) -> Vec<(u64, Mark)> {
    let mut marks = Vec::new();
    // The suspects first: a crash between the marks must not leave the newest the better one.
    for (place, one) in good.iter().enumerate() {
        let is_suspect = match origin {
            Origin::Older => place == 0,
            Origin::Cold => place < 2 && one.marks.strikes > 0,
            _ => false,
        };
        if is_suspect {
            marks.push((one.sequence, Mark::Suspect));
        } else if Some(one.sequence) == base {
            marks.push((one.sequence, Mark::Verified));
        } else if one.marks.strikes > 0 {
            marks.push((one.sequence, Mark::Cleared));
        }
    }
    marks
}
