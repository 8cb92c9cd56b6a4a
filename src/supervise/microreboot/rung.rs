//! One reboot of some components, phase by phase.

use super::core::Course;
use super::flight::tell_phase;
use super::gate::{Gate, Reboot as GateReboot};
use super::hooks::{self, Hook, within};
use super::inner::Inner;
use super::part::{Part, States};
use super::phases::{Reboot, Step};
use super::record::{Phase, PhaseRecord, PhaseResult, StartedFrom};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What a reboot came to.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) is_cured: bool,
    pub(crate) phases: Vec<PhaseRecord>,
    pub(crate) started_from: Option<StartedFrom>,
}

/// How much later than its limit a supervisor may say that a child is stopped or was not ready: it
/// aborts, gives grace, and has other things to do. A supervisor that takes longer is one that hangs.
const SLACK: Duration = Duration::from_secs(1);

/// Reboots the members of a course. Gates are shut before and opened after it, if it cures.
pub(crate) async fn run(inner: &Inner, course: &Course) -> Ran {
    let parts: Vec<Arc<Part>> = {
        let core = inner.core.lock();
        let parts = course.members.iter().map(|&at| core.parts[at].part.clone());
        parts.collect()
    };
    // A flight that is dropped drops these, and then they have failed.
    let gates = parts.iter().filter_map(|part| part.gate.as_ref());
    let shut: Vec<_> = gates.map(Gate::begin_reboot).collect();
    for gate in &shut {
        gate.drain().await;
    }
    let mut rung = Running {
        inner,
        episode: course.episode,
        parts: &parts,
        reboot: Reboot::new(parts.iter().map(|part| part.member()).collect()),
        ran: Ran::default(),
    };
    // The one that was reported: what its record says it started from.
    let trigger = course.members.iter().position(|&at| at == course.component);
    while rung.step(trigger).await {}
    let ran = rung.ran;
    if ran.is_cured {
        parts.iter().for_each(|part| part.states.verified());
        shut.into_iter().for_each(GateReboot::succeed);
    }
    ran
}

struct Running<'a> {
    inner: &'a Inner,
    episode: u64,
    parts: &'a [Arc<Part>],
    reboot: Reboot,
    ran: Ran,
}

impl Running<'_> {
    /// Does what is next; whether there is more to do.
    async fn step(&mut self, trigger: Option<usize>) -> bool {
        let began = self.inner.clock.now();
        let (member, phase, result) = match self.reboot.step() {
            Step::Cured => {
                self.ran.is_cured = true;
                return false;
            }
            Step::Failed { .. } => return false,
            Step::Checkpoint(asked) => {
                let gave = self.checkpoint(asked).await;
                self.reboot.checkpointed(gave);
                return true;
            }
            Step::Stop(at) => (at, Phase::Stop, self.stop(at).await),
            Step::Cleanup(at) => {
                let part = &self.parts[at];
                let hook = part.cleanup.clone();
                (
                    at,
                    Phase::Cleanup,
                    self.hook(hook, part.limits.cleanup).await,
                )
            }
            Step::Start(at, from) => {
                if trigger == Some(at) {
                    self.ran.started_from = Some(from);
                }
                (at, Phase::Start, self.start(at, from).await)
            }
            Step::Verify(at) => {
                let part = &self.parts[at];
                let hook = part.verify.clone();
                (at, Phase::Verify, self.hook(hook, part.limits.verify).await)
            }
        };
        let took = self.inner.clock.now().saturating_duration_since(began);
        let attempt = self.reboot.attempt();
        self.reboot.done(&result);
        self.note(member, phase, attempt, took, result);
        true
    }

    fn note(
        &mut self,
        member: usize,
        phase: Phase,
        attempt: u8,
        took: Duration,
        result: PhaseResult,
    ) {
        let phase = PhaseRecord {
            component: self.parts[member].id.to_string(),
            phase,
            attempt,
            took,
            result,
        };
        self.ran.phases.push(phase.clone());
        tell_phase(self.inner, self.episode, phase);
    }

    async fn hook(&self, hook: Option<Hook>, limit: Duration) -> PhaseResult {
        match hook {
            Some(hook) => hooks::run(&self.inner.clock, limit, hook).await,
            None => PhaseResult::Done,
        }
    }

    /// Asks all at once: sick components do not make each other wait.
    async fn checkpoint(&mut self, asked: Vec<usize>) -> Vec<usize> {
        let mut answers = JoinSet::new();
        for at in asked {
            let part = self.parts[at].clone();
            let clock = self.inner.clock.clone();
            answers.spawn(async move {
                let began = clock.now();
                let result = match States::ask(part.states.clone()) {
                    Some(hook) => hooks::run(&clock, part.limits.checkpoint, hook).await,
                    None => PhaseResult::Failed("it cannot be asked".to_owned()),
                };
                (at, clock.now().saturating_duration_since(began), result)
            });
        }
        let mut gave = Vec::new();
        while let Some(answer) = answers.join_next().await {
            let Ok((at, took, result)) = answer else {
                continue;
            };
            if result.is_done() {
                gave.push(at);
            }
            self.note(at, Phase::Checkpoint, 1, took, result);
        }
        gave
    }

    async fn stop(&self, at: usize) -> PhaseResult {
        let part = &self.parts[at];
        let asked = self.hook(part.stop.clone(), part.limits.stop).await;
        let mut stop = part.host.stop(part.id.clone());
        let limit = part.limits.stop.saturating_add(SLACK);
        let stopped = within(&self.inner.clock, limit, &mut stop).await;
        match (stopped, asked) {
            (None, _) | (_, PhaseResult::Orphaned) => PhaseResult::Orphaned,
            // How the asking went makes no difference to one that is stopped.
            (Some(stopped), _) => stopped,
        }
    }

    async fn start(&self, at: usize, from: StartedFrom) -> PhaseResult {
        let part = &self.parts[at];
        part.states.choose(from);
        let mut start = part.host.start(part.id.clone());
        let limit = part.limits.start.saturating_add(SLACK);
        let started = within(&self.inner.clock, limit, &mut start).await;
        let started = started.unwrap_or(PhaseResult::TimedOut);
        if started.is_done() {
            return started;
        }
        // It is this reboot, or the next, that starts it again, and not its supervisor.
        let mut stop = part.host.stop(part.id.clone());
        let limit = part.limits.stop.saturating_add(SLACK);
        match within(&self.inner.clock, limit, &mut stop).await {
            None | Some(PhaseResult::Orphaned) => PhaseResult::Orphaned,
            Some(_) => started,
        }
    }
}
