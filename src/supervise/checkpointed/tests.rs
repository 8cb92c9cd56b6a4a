//! The sequence of starts, step by step and against a naive model.

use super::machine::{Candidate, Machine, NoneUsable, Origin, least_restarts};
use crate::durable::snapshot::{Mark, Marks};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A store that takes marks unless it is told not to, and the process in front of it.
struct Rig {
    stored: BTreeMap<u64, Marks>,
    machine: Machine,
    cold: bool,
    fails: bool,
}

impl Rig {
    fn with(sequences: &[u64], cold: bool) -> Self {
        let stored = sequences.iter().map(|at| (*at, Marks::none())).collect();
        let machine = Machine::new(cold);
        Self {
            stored,
            machine,
            cold,
            fails: false,
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let newest_first = self.stored.iter().rev();
        newest_first
            .map(|(&sequence, &marks)| Candidate { sequence, marks })
            .collect()
    }

    /// As a start does it: choose, strike.
    fn start(&mut self) -> Result<super::machine::Attempt, NoneUsable> {
        let owed = self.machine.owed();
        if !self.fails {
            for (sequence, mark) in &owed {
                self.put(*sequence, *mark);
            }
            self.machine.paid(owed.len());
        }
        let candidates = self.candidates();
        let attempt = self.machine.choose(&candidates, self.stored.is_empty())?;
        if let Some(sequence) = attempt.strike {
            let before = candidates.iter().find(|one| one.sequence == sequence);
            if self.fails {
                self.machine.strike_is_counted_here(*before.unwrap());
            } else {
                self.put(sequence, Mark::Strike);
                self.machine.strike_is_stored(sequence);
            }
        }
        Ok(attempt)
    }

    fn put(&mut self, sequence: u64, mark: Mark) {
        let marks = self.stored.get_mut(&sequence).expect("it is there");
        *marks = marks.with(mark);
    }

    fn mark(&mut self, marks: impl IntoIterator<Item = (u64, Mark)>) {
        for (sequence, mark) in marks {
            if self.fails {
                self.machine.mark_is_owed(sequence, mark);
            } else {
                self.put(sequence, mark);
                self.machine.mark_is_stored(sequence, mark);
            }
        }
    }

    /// Starts that crash: where each had its state from.
    fn crashes(&mut self, starts: usize) -> Vec<(Origin, Option<u64>)> {
        let start = |_| {
            let attempt = self.start().expect("there is a way");
            (attempt.origin, attempt.base)
        };
        (0..starts).map(start).collect()
    }

    fn killed(&mut self) {
        self.machine = Machine::new(self.cold);
    }
}

use Origin::{Cold, Newest, NewestAgain, Older};

#[test]
fn ck3c_the_newest_twice_the_next_older_once_and_the_newest_again() {
    let mut rig = Rig::with(&[1, 2, 3], false);
    let again = (NewestAgain, Some(3));
    let expected = [
        (Newest, Some(3)),
        (Newest, Some(3)),
        (Older, Some(2)),
        again,
        again,
        again,
    ];
    assert_eq!(rig.crashes(6), expected);
    // With one checkpoint there is nothing to try instead.
    let mut rig = Rig::with(&[3], false);
    let expected = [(Newest, Some(3)), (Newest, Some(3)), again, again];
    assert_eq!(rig.crashes(4), expected);
}

#[test]
fn ck3e_a_cold_start_comes_last_once_and_only_if_opted_in() {
    let mut rig = Rig::with(&[2, 3], true);
    let origins: Vec<_> = rig
        .crashes(6)
        .into_iter()
        .map(|(origin, _)| origin)
        .collect();
    let again = NewestAgain;
    assert_eq!(origins, [Newest, Newest, Older, Cold, again, again]);
    // Suspect ones alone: nothing, or nothing on purpose.
    for cold in [false, true] {
        let mut rig = Rig::with(&[2, 3], cold);
        rig.mark([(2, Mark::Suspect), (3, Mark::Suspect)]);
        let origin = rig.start().map(|attempt| attempt.origin);
        assert_eq!(origin, if cold { Ok(Cold) } else { Err(NoneUsable) });
    }
    // Where nothing was ever saved, a start without a state loses none.
    let mut rig = Rig::with(&[], false);
    assert_eq!(rig.crashes(3), [(Origin::Fresh, None); 3]);
}

#[test]
fn ck3d_a_survived_trial_makes_the_newest_suspect_and_a_withdrawn_suspicion_nothing() {
    let mut rig = Rig::with(&[1, 2, 3], false);
    rig.crashes(2);
    let trial = rig.start().unwrap();
    assert_eq!(
        trial.on_proof,
        [(3, Mark::Suspect), (2, Mark::Verified)],
        "the suspect first: a crash in between must not leave it the better one"
    );
    rig.mark(trial.on_proof);
    assert_eq!(rig.crashes(3)[..2], [(Newest, Some(2)); 2]);
    // The trial fails: when the newest then does well, nothing is suspect, and all is as before.
    let mut rig = Rig::with(&[1, 2, 3], false);
    rig.crashes(3);
    let again = rig.start().unwrap();
    assert_eq!(again.on_proof, [(3, Mark::Verified), (2, Mark::Cleared)]);
    rig.mark(again.on_proof);
    assert_eq!(rig.crashes(3)[2], (Older, Some(2)));
    // A cold start that does well shows it of both that were tried, and of no other.
    let mut rig = Rig::with(&[1, 2, 3], true);
    rig.crashes(3);
    let cold = rig.start().unwrap();
    assert_eq!(cold.on_proof, [(3, Mark::Suspect), (2, Mark::Suspect)]);
}

#[test]
fn ck3b_bad_state_makes_its_checkpoint_suspect_at_once() {
    let mut rig = Rig::with(&[1, 2, 3], false);
    let first = rig.start().unwrap();
    rig.mark(first.on_bad_state());
    let second = rig.start().unwrap();
    assert_eq!((second.origin, second.base), (Newest, Some(2)));
    // Also on a trial: the next older one takes its turn.
    rig.crashes(1);
    let trial = rig.start().unwrap();
    assert_eq!((trial.origin, trial.base), (Older, Some(1)));
    rig.mark(trial.on_bad_state());
    assert_eq!(rig.crashes(1), [(NewestAgain, Some(2))]);
}

#[test]
fn ck3g_a_process_that_is_killed_goes_on_with_the_sequence() {
    let mut rig = Rig::with(&[1, 2, 3], true);
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.extend(rig.crashes(1));
        rig.killed();
    }
    let again = (NewestAgain, Some(3));
    let newest = (Newest, Some(3));
    let expected = [newest, newest, (Older, Some(2)), (Cold, None), again, again];
    assert_eq!(seen, expected);
}

#[test]
fn ck3i_a_start_that_was_stopped_early_is_no_strike() {
    let mut rig = Rig::with(&[2, 3], false);
    for _ in 0..10 {
        let start = rig.start().unwrap();
        assert_eq!(start.origin, Newest);
        rig.mark(start.on_excuse());
    }
    rig.crashes(2);
    for _ in 0..3 {
        let trial = rig.start().unwrap();
        assert_eq!(trial.origin, Older);
        rig.mark(trial.on_excuse());
    }
}

#[test]
fn ck3h_what_cannot_be_stored_counts_in_this_process() {
    let mut rig = Rig::with(&[1, 2, 3], true);
    rig.fails = true;
    let origins: Vec<_> = rig
        .crashes(5)
        .into_iter()
        .map(|(origin, _)| origin)
        .collect();
    assert_eq!(origins, [Newest, Newest, Older, Cold, NewestAgain]);
    // A suspicion holds, and is stored before the next start that can.
    let mut rig = Rig::with(&[1, 2, 3], false);
    rig.fails = true;
    let first = rig.start().unwrap();
    rig.mark(first.on_bad_state());
    assert_eq!(rig.crashes(1), [(Newest, Some(2))]);
    rig.fails = false;
    rig.crashes(1);
    assert!(rig.stored[&3].suspect && rig.machine.owed().is_empty());
    // What has gone from the store is forgotten.
    rig.fails = true;
    rig.mark([(2, Mark::Suspect)]);
    rig.stored.remove(&2);
    rig.machine.retain(|at| at != 2);
    assert_eq!(rig.machine.owed(), []);
}

#[test]
fn ck3h_a_strike_that_failed_and_is_there_all_the_same_counts_once() {
    let mut rig = Rig::with(&[2, 3], false);
    rig.fails = true;
    rig.start().unwrap();
    rig.put(3, Mark::Strike);
    rig.fails = false;
    assert_eq!(rig.crashes(2)[..], [(Newest, Some(3)), (Older, Some(2))]);
}

#[test]
fn ck3f_the_withdrawal_is_told_once_until_a_start_is_well() {
    let mut machine = Machine::new(false);
    let told =
        |machine: &mut Machine| [Newest, NewestAgain, NewestAgain].map(|o| machine.withdraws(o));
    assert_eq!(told(&mut machine), [false, true, false]);
    machine.proven();
    assert_eq!(told(&mut machine), [false, true, false]);
}

/// The rules in other words: a log of all starts since the last that was well, and no marks.
struct Naive {
    there: Vec<u64>,
    suspect: Vec<u64>,
    /// Starts that count: where from, instead of which newest one, and whether the store has it.
    log: Vec<(Origin, u64, bool)>,
    cold: bool,
}

impl Naive {
    fn good(&self) -> Vec<u64> {
        let mut good = self.there.clone();
        good.retain(|at| !self.suspect.contains(at));
        good.sort_unstable_by(|a, b| b.cmp(a));
        good
    }

    fn counts(&self, at: u64) -> usize {
        self.log.iter().filter(|(_, of, _)| *of == at).count()
    }

    fn next(&self) -> Option<(Origin, Option<u64>)> {
        let good = self.good();
        let Some(&newest) = good.first() else {
            return if self.there.is_empty() {
                Some((Origin::Fresh, None))
            } else {
                self.cold.then_some((Cold, None))
            };
        };
        // Starts in the name of the newest: from it, or cold in its stead.
        let tried = self.counts(newest);
        let was_cold = tried > 2;
        Some(match good.get(1) {
            _ if tried < 2 => (Newest, Some(newest)),
            Some(&older) if self.counts(older) == 0 => (Older, Some(older)),
            _ if self.cold && !was_cold => (Cold, None),
            _ => (NewestAgain, Some(newest)),
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Crash,
    BadState,
    Well,
    Stopped,
    /// It saves, and crashes then.
    SavesAndCrashes,
    /// The process is killed.
    Killed,
}

fn steps() -> impl Strategy<Value = Vec<(Step, bool)>> {
    let step = prop_oneof![
        6 => Just(Step::Crash),
        1 => Just(Step::BadState),
        2 => Just(Step::Well),
        1 => Just(Step::Stopped),
        2 => Just(Step::SavesAndCrashes),
        3 => Just(Step::Killed),
    ];
    // Rarely the store takes no marks.
    let fails = prop::bool::weighted(0.15);
    prop::collection::vec((step, fails), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn ck3c_ck3d_ck3e_the_machine_does_what_the_rules_say(
        steps in steps(),
        cold: bool,
        there in 0_u64..4,
    ) {
        let sequences: Vec<u64> = (1..=there).collect();
        let mut rig = Rig::with(&sequences, cold);
        let mut naive = Naive { there: sequences, suspect: Vec::new(), log: Vec::new(), cold };
        for (step, fails) in steps {
            rig.fails = fails && !matches!(step, Step::Killed);
            let expected = naive.next();
            let newest = naive.good().first().copied();
            let attempt = rig.start();
            let found = attempt.as_ref().ok().map(|one| (one.origin, one.base));
            prop_assert_eq!(found, expected);
            let (Ok(attempt), Some((origin, base))) = (attempt, expected) else {
                return Ok(());
            };
            if let Some(of) = base.or(newest) {
                naive.log.push((origin, of, !rig.fails));
            }
            let fails = rig.fails;
            match step {
                Step::Crash => {}
                Step::Killed => {
                    // What could not be stored is gone with the process; that it could is the rule.
                    if naive.log.iter().any(|(.., is_stored)| !is_stored) || !rig.machine.owed().is_empty() {
                        return Ok(());
                    }
                    rig.killed();
                }
                Step::BadState => {
                    rig.mark(attempt.on_bad_state());
                    naive.suspect.extend(base);
                }
                Step::Stopped => {
                    rig.mark(attempt.on_excuse());
                    if let Some(of) = base.or(newest) {
                        naive.log.retain(|(_, at, _)| *at != of);
                    }
                }
                Step::Well => {
                    rig.machine.proven();
                    rig.mark(attempt.on_proof);
                    match origin {
                        Older => naive.suspect.extend(newest),
                        Cold => {
                            let tried = naive.good().into_iter().take(2);
                            let tried: Vec<_> = tried.filter(|at| naive.counts(*at) > 0).collect();
                            naive.suspect.extend(tried);
                        }
                        _ => {}
                    }
                    naive.log.clear();
                }
                Step::SavesAndCrashes => {
                    // Only who is not on trial saves.
                    if !origin.is_trial() {
                        let next = naive.there.iter().max().map_or(1, |at| at + 1);
                        naive.there.push(next);
                        rig.stored.insert(next, Marks::none());
                    }
                }
            }
            rig.fails = fails;
        }
    }
}

#[test]
fn ck3j_the_smallest_budget_is_the_length_of_the_sequence() {
    for cold in [false, true] {
        let mut rig = Rig::with(&[1, 2, 3], cold);
        // The first start is no restart: the crash of a child that was well comes before all of it.
        let restarts = least_restarts(cold) as usize;
        let last = rig.crashes(restarts)[restarts - 1].0;
        assert_eq!(last, if cold { Cold } else { Older });
        assert_eq!(rig.crashes(1)[0].0, NewestAgain);
    }
}
