//! The order of the steps of one reboot.

use super::record::{Phase, PhaseResult, StartedFrom};

/// What is known of a member before its reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, set by name"
)]
pub(crate) struct Member {
    /// It can be asked for its state.
    pub(crate) has_checkpoint: bool,
    /// There is a state with which it was well.
    pub(crate) has_verified: bool,
    /// It may start from nothing although it has states.
    pub(crate) may_start_cold: bool,
    /// It cannot do without its cleanup.
    pub(crate) needs_cleanup: bool,
}

/// What to do next. Members are given by their place among the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask these for their state, all at once.
    Checkpoint(Vec<usize>),
    /// Stop this one, and kill it if it does not.
    Stop(usize),
    /// Clear away what it left.
    Cleanup(usize),
    /// Start it.
    Start(usize, StartedFrom),
    /// Ask it to show that it works.
    Verify(usize),
    /// All are started and verified.
    Cured,
    /// It did not work, because of that member.
    Failed { member: usize, why: Failure },
}

/// Why a reboot failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// The phase failed.
    Phase(Phase),
    /// There is no state from which the component agrees to start.
    NoState,
}

/// One reboot of some members, as a machine: it says what to do, and is told how it went.
///
/// ```text
///   checkpoint all -> stop .. in reverse -> cleanup .. in reverse -> (start, verify) .. in order
///                        ^                                               | failed with a state
///                        +---- once, and then from verified states ------+ taken just now
/// ```
#[derive(Debug)]
pub(crate) struct Reboot {
    members: Vec<Member>,
    /// Which gave a state at the beginning of this reboot.
    provisional: Vec<bool>,
    attempt: u8,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Checkpoint,
    Stop(usize),
    Cleanup(usize),
    Start(usize),
    Verify(usize),
    Cured,
    Failed(usize, Failure),
}

impl Reboot {
    /// Of these members, in the order of starts.
    pub(crate) fn new(members: Vec<Member>) -> Self {
        let provisional = vec![false; members.len()];
        let mut reboot = Self {
            members,
            provisional,
            attempt: 1,
            at: At::Checkpoint,
        };
        if reboot.askable().is_empty() {
            reboot.at = reboot.stop_all();
        }
        reboot
    }

    /// 1, or 2 once it goes from verified states.
    pub(crate) const fn attempt(&self) -> u8 {
        self.attempt
    }

    /// What to do now.
    pub(crate) fn step(&self) -> Step {
        match self.at {
            At::Checkpoint => Step::Checkpoint(self.askable()),
            At::Stop(member) => Step::Stop(member),
            At::Cleanup(member) => Step::Cleanup(member),
            At::Start(member) => match self.source(member) {
                Some(from) => Step::Start(member, from),
                None => Step::Failed {
                    member,
                    why: Failure::NoState,
                },
            },
            At::Verify(member) => Step::Verify(member),
            At::Cured => Step::Cured,
            At::Failed(member, why) => Step::Failed { member, why },
        }
    }

    /// The checkpoints are in: which of those that were asked gave a state. How one failed makes no
    /// difference: no state of it is used.
    pub(crate) fn checkpointed(&mut self, gave: impl IntoIterator<Item = usize>) {
        if self.at == At::Checkpoint {
            for member in gave {
                if let Some(given) = self.provisional.get_mut(member) {
                    *given = true;
                }
            }
            self.at = self.stop_all();
        }
    }

    /// The step is over, with that result.
    pub(crate) fn done(&mut self, result: &PhaseResult) {
        self.at = match self.at {
            At::Checkpoint => self.stop_all(),
            // One that had to be killed is stopped all the same.
            At::Stop(member) => match result {
                PhaseResult::Done | PhaseResult::TimedOut if member > 0 => At::Stop(member - 1),
                PhaseResult::Done | PhaseResult::TimedOut => At::Cleanup(self.members.len() - 1),
                _ => At::Failed(member, Failure::Phase(Phase::Stop)),
            },
            At::Cleanup(member) => {
                let needed = self.members.get(member).is_none_or(|it| it.needs_cleanup);
                // What still clears away must not meet what starts.
                let blocks = *result == PhaseResult::Orphaned;
                match member {
                    _ if blocks || (needed && !result.is_done()) => {
                        At::Failed(member, Failure::Phase(Phase::Cleanup))
                    }
                    0 => At::Start(0),
                    _ => At::Cleanup(member - 1),
                }
            }
            At::Start(member) if result.is_done() => At::Verify(member),
            At::Start(member) => self.again(member, Phase::Start, result),
            At::Verify(member) if result.is_done() => {
                if member + 1 < self.members.len() {
                    At::Start(member + 1)
                } else {
                    At::Cured
                }
            }
            At::Verify(member) => self.again(member, Phase::Verify, result),
            end @ (At::Cured | At::Failed(..)) => end,
        };
    }

    fn askable(&self) -> Vec<usize> {
        let all = self.members.iter().enumerate();
        all.filter(|(_, it)| it.has_checkpoint)
            .map(|(at, _)| at)
            .collect()
    }

    /// From the last one on, which is the first to stop.
    fn stop_all(&self) -> At {
        self.members
            .len()
            .checked_sub(1)
            .map_or(At::Cured, At::Stop)
    }

    /// What failed may have failed because of a state that was taken from a sick component.
    fn again(&mut self, member: usize, phase: Phase, result: &PhaseResult) -> At {
        let is_suspect = self.provisional.iter().take(member + 1).any(|&it| it);
        if self.attempt > 1 || !is_suspect || *result == PhaseResult::Orphaned {
            return At::Failed(member, Failure::Phase(phase));
        }
        self.attempt = 2;
        self.stop_all()
    }

    fn source(&self, member: usize) -> Option<StartedFrom> {
        let it = self.members.get(member)?;
        let is_provisional = self.provisional.get(member).copied().unwrap_or(false);
        if is_provisional && self.attempt == 1 {
            Some(StartedFrom::Provisional)
        } else if it.has_verified {
            Some(StartedFrom::Verified)
        } else {
            it.may_start_cold.then_some(StartedFrom::Cold)
        }
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Member = Member {
        has_checkpoint: true,
        has_verified: true,
        may_start_cold: true,
        needs_cleanup: true,
    };

    fn failed() -> PhaseResult {
        PhaseResult::Failed("no".into())
    }

    /// Runs a reboot; `result` answers each step, and `None` for a checkpoint is one that gave none.
    fn run(
        members: Vec<Member>,
        mut result: impl FnMut(&Step, u8) -> PhaseResult,
    ) -> (Vec<Step>, u8) {
        let mut reboot = Reboot::new(members);
        let mut steps = Vec::new();
        loop {
            let step = reboot.step();
            steps.push(step.clone());
            match &step {
                Step::Cured | Step::Failed { .. } => return (steps, reboot.attempt()),
                Step::Checkpoint(asked) => {
                    let gave: Vec<_> = asked
                        .iter()
                        .copied()
                        .filter(|&at| result(&Step::Checkpoint(vec![at]), 1).is_done())
                        .collect();
                    reboot.checkpointed(gave);
                }
                _ => reboot.done(&result(&step, reboot.attempt())),
            }
            assert!(steps.len() < 1_000);
        }
    }

    #[test]
    fn mr1a_the_phases_of_one_component_in_order() {
        let (steps, _) = run(vec![PLAIN], |_, _| PhaseResult::Done);
        let expected = [
            Step::Checkpoint(vec![0]),
            Step::Stop(0),
            Step::Cleanup(0),
            Step::Start(0, StartedFrom::Provisional),
            Step::Verify(0),
            Step::Cured,
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn mr1b_without_a_checkpoint_from_the_last_verified_state_else_cold_else_not() {
        let start = |member| {
            let (steps, _) = run(vec![member], |step, _| match step {
                Step::Checkpoint(_) => failed(),
                _ => PhaseResult::Done,
            });
            steps
                .into_iter()
                .find(|step| matches!(step, Step::Start(..) | Step::Failed { .. }))
        };
        assert_eq!(start(PLAIN), Some(Step::Start(0, StartedFrom::Verified)));
        let none = Member {
            has_verified: false,
            ..PLAIN
        };
        assert_eq!(start(none), Some(Step::Start(0, StartedFrom::Cold)));
        let never = Member {
            may_start_cold: false,
            ..none
        };
        let refused = Step::Failed {
            member: 0,
            why: Failure::NoState,
        };
        assert_eq!(start(never), Some(refused));
    }

    #[test]
    fn mr1c_a_failed_cleanup_fails_unless_it_is_optional() {
        let with = |needs_cleanup| {
            let member = Member {
                needs_cleanup,
                ..PLAIN
            };
            run(vec![member], |step, _| match step {
                Step::Cleanup(_) => failed(),
                _ => PhaseResult::Done,
            })
            .0
            .pop()
        };
        assert_eq!(with(false), Some(Step::Cured));
        let why = Failure::Phase(Phase::Cleanup);
        assert_eq!(with(true), Some(Step::Failed { member: 0, why }));
    }

    #[test]
    fn mr1d_a_cleanup_that_still_runs_blocks_the_start_although_it_is_optional() {
        let member = Member {
            needs_cleanup: false,
            ..PLAIN
        };
        let (steps, _) = run(vec![member], |step, _| match step {
            Step::Cleanup(_) => PhaseResult::Orphaned,
            _ => PhaseResult::Done,
        });
        assert!(!steps.iter().any(|step| matches!(step, Step::Start(..))));
    }

    #[test]
    fn mr1d_an_orphan_blocks_the_start_and_what_was_killed_does_not() {
        let with = |stopped: PhaseResult| {
            run(vec![PLAIN], |step, _| match step {
                Step::Stop(_) => stopped.clone(),
                _ => PhaseResult::Done,
            })
            .0
        };
        assert_eq!(with(PhaseResult::TimedOut).last(), Some(&Step::Cured));
        let steps = with(PhaseResult::Orphaned);
        assert!(!steps.iter().any(|step| matches!(step, Step::Start(..))));
        let why = Failure::Phase(Phase::Stop);
        assert_eq!(steps.last(), Some(&Step::Failed { member: 0, why }));
    }

    #[test]
    fn mr2a_a_provisional_state_that_fails_is_tried_once_more_with_the_verified_one() {
        for failing in [Phase::Start, Phase::Verify] {
            let (steps, attempt) = run(vec![PLAIN], |step, attempt| match (step, attempt) {
                (Step::Start(..), 1) if failing == Phase::Start => failed(),
                (Step::Verify(_), 1) if failing == Phase::Verify => failed(),
                _ => PhaseResult::Done,
            });
            let starts: Vec<_> = steps
                .iter()
                .filter(|step| matches!(step, Step::Start(..)))
                .collect();
            let expected = [StartedFrom::Provisional, StartedFrom::Verified];
            assert_eq!(
                starts,
                expected
                    .map(|from| Step::Start(0, from))
                    .iter()
                    .collect::<Vec<_>>()
            );
            assert_eq!((steps.last(), attempt), (Some(&Step::Cured), 2));
        }
        // Not a third time, and not at all with a state that is not provisional.
        for has_checkpoint in [true, false] {
            let member = Member {
                has_checkpoint,
                ..PLAIN
            };
            let (steps, attempt) = run(vec![member], |step, _| match step {
                Step::Verify(_) => failed(),
                _ => PhaseResult::Done,
            });
            let why = Failure::Phase(Phase::Verify);
            assert_eq!(steps.last(), Some(&Step::Failed { member: 0, why }));
            assert_eq!(attempt, if has_checkpoint { 2 } else { 1 });
        }
    }

    #[test]
    fn mr5b_a_group_stops_in_reverse_and_starts_forward() {
        let (steps, _) = run(vec![PLAIN; 3], |_, _| PhaseResult::Done);
        let warm = StartedFrom::Provisional;
        let expected = [
            Step::Checkpoint(vec![0, 1, 2]),
            Step::Stop(2),
            Step::Stop(1),
            Step::Stop(0),
            Step::Cleanup(2),
            Step::Cleanup(1),
            Step::Cleanup(0),
            Step::Start(0, warm),
            Step::Verify(0),
            Step::Start(1, warm),
            Step::Verify(1),
            Step::Start(2, warm),
            Step::Verify(2),
            Step::Cured,
        ];
        assert_eq!(steps, expected);
    }

    fn member() -> impl Strategy<Value = Member> {
        (any::<[bool; 4]>()).prop_map(|[a, b, c, d]| Member {
            has_checkpoint: a,
            has_verified: b,
            may_start_cold: c,
            needs_cleanup: d,
        })
    }

    proptest! {
        /// What holds whatever fails: judged from the list of steps alone.
        #[test]
        fn mr1a_mr1d_mr5b_no_member_runs_twice_and_every_reboot_ends(
            members in prop::collection::vec(member(), 1..5),
            results in prop::collection::vec(0_u8..12, 80),
        ) {
            let mut results = results.into_iter().cycle();
            let mut went = Vec::new();
            let (steps, attempt) = run(members.clone(), |step, _| {
                let result = match results.next() {
                    Some(0) => PhaseResult::Orphaned,
                    Some(1) => PhaseResult::TimedOut,
                    Some(2) => failed(),
                    _ => PhaseResult::Done,
                };
                went.push((step.clone(), result.clone()));
                result
            });
            let mut runs = vec![true; members.len()];
            for (step, result) in &went {
                match step {
                    Step::Stop(at) => {
                        // In reverse: whatever depends on it is down.
                        prop_assert!(runs[at + 1..].iter().all(|&runs| !runs));
                        runs[*at] = *result == PhaseResult::Orphaned || matches!(result, PhaseResult::Failed(_));
                    }
                    Step::Cleanup(_) => prop_assert!(runs.iter().all(|&runs| !runs)),
                    Step::Start(at, from) => {
                        prop_assert!(!runs[*at], "a second incarnation");
                        prop_assert!(runs[..*at].iter().all(|&runs| runs), "what it needs is down");
                        runs[*at] = true;
                        if *from == StartedFrom::Cold {
                            prop_assert!(members[*at].may_start_cold);
                        }
                    }
                    _ => {}
                }
            }
            let is_cured = steps.last() == Some(&Step::Cured);
            prop_assert!(!is_cured || runs.iter().all(|&runs| runs));
            prop_assert!(attempt <= 2);
        }
    }
}
