//! Which checkpoints are kept.

use super::marks::Marks;

/// What is known of a checkpoint that is kept so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) sequence: u64,
    pub(super) marks: Marks,
    pub(super) soundness: Soundness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Soundness {
    Sound,
    Damaged,
    /// It could not be read, and may be either.
    Unknown,
}

impl Standing {
    pub(super) fn is_good(&self) -> bool {
        self.soundness == Soundness::Sound && !self.marks.suspect
    }
}

/// Which of these, newest first, are no longer needed to fall back, if `keep` good ones are to be
/// there.
///
/// Kept are the newest `keep` good ones that are not provisional, and the newest verified one whatever
/// its place. If there are so many, nothing older than these is. Besides, the newest `keep` provisional
/// ones stay, and the newest `keep` bad ones as evidence. What could not be read stays in any case.
pub(super) fn removable(standings: &[Standing], keep: usize) -> Vec<u64> {
    let good = || standings.iter().filter(|standing| standing.is_good());
    let settled = good().filter(|standing| !standing.marks.provisional);
    let mut kept: Vec<u64> = settled.take(keep).map(|one| one.sequence).collect();
    let is_full = kept.len() >= keep;
    kept.extend(
        good()
            .find(|one| one.marks.verified)
            .map(|one| one.sequence),
    );
    let oldest = kept.iter().copied().min().filter(|_| is_full).unwrap_or(0);
    let (mut provisional, mut bad) = (0, 0);
    let mut removable = Vec::new();
    for one in standings {
        // Nothing is removed of which nobody knows what it is.
        if kept.contains(&one.sequence) || one.soundness == Soundness::Unknown {
            continue;
        }
        let is_kept = if !one.is_good() {
            bad += 1;
            bad <= keep
        } else if one.marks.provisional {
            provisional += 1;
            provisional <= keep
        } else {
            false
        };
        if !is_kept || one.sequence < oldest {
            removable.push(one.sequence);
        }
    }
    removable
}
