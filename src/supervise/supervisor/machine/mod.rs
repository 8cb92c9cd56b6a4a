//! The decisions of a supervisor: events in, decisions out, `now` as an argument. No I/O, no user
//! code, nothing that waits.
//!
//! ```text
//! Idle -> First -> Running <-> Group          First    starts the children in order
//!           |         |          |            Group    stops a group in reverse, waits, starts it
//!           +---------+----------+
//!                     v
//!                  Ending -> Over             Ending   stops all in reverse
//! ```
//!
//! In one-for-one each child has its own restart, and there are no groups.

mod children;
mod commands;
mod deadlines;
mod failures;
mod life;
mod pausing;
mod sequence;

use super::config::Rules;
use super::error::{CommandError, Ended, Terminated};
use super::event::{SupervisorEvent, SupervisorEventKind};
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::kernel::rng::Rolls;
use crate::supervise::budget::Window;
use crate::supervise::child::{ChildExit, Failure, Promised, Spent};
use children::After;
pub(crate) use children::{Children, State};
use deadlines::Deadlines;
use pausing::Pause;
use std::collections::VecDeque;
use std::time::Duration;

/// How long an aborted child may take until it counts as an orphan.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// The state of a supervisor. `T` is what a command is answered through.
#[derive(Debug)]
pub(crate) struct Machine<T> {
    pub(super) name: Name,
    pub(super) rules: Rules,
    window: Window,
    pause: Option<Pause>,
    children: Children<T>,
    /// By child's key plus two; 0 is the group's and 1 the pause's.
    deadlines: Deadlines,
    mode: Mode,
    /// Children that run or are being stopped.
    alive: usize,
    /// Old incarnations that still run beside new ones.
    overlapped: Vec<(u64, Name)>,
    /// Crashes during the first start, to be dealt with after it.
    deferred: Vec<u32>,
    /// The last significant child that ended for good during the first start.
    ended_early: Option<(u32, Name)>,
    /// The last failures that were charged.
    failures: VecDeque<(Instant, Failure)>,
    rolls: Rolls,
    runs: u64,
    seq: u64,
}

#[derive(Debug)]
enum Mode {
    Idle,
    First { at: Option<u32> },
    Running,
    Group(Group),
    Ending { why: Ended, at: Option<u32> },
    Over,
}

/// A group that is being restarted: the children from `first` on.
#[derive(Debug)]
struct Group {
    first: Option<u32>,
    phase: Phase,
    delay: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Stop(Option<u32>),
    Wait,
    Start(Option<u32>),
}

/// What is to be done, in order.
#[derive(Debug)]
pub(crate) enum Decision<T> {
    /// Make and spawn this incarnation, and say `launched` or `exited`.
    Start(Start),
    /// Tell the child's incarnation to stop.
    Signal(u32),
    /// Abort the child's incarnation.
    Abort(u32),
    /// Say `beaten` with the last sign of life of the incarnation.
    Watch { key: u32, run: u64, at: Instant },
    /// Drop what is kept of the child beside the machine, and say `forgotten`.
    Forget(u32),
    /// Tell the child's hook that its budget is spent.
    Spent(u32, Spent),
    /// Answer a command.
    Reply(T, Answer),
    /// The first start is done.
    Up,
    /// Nothing is left to do.
    End(Ended),
}

/// An incarnation to be started.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) key: u32,
    pub(crate) run: u64,
    pub(crate) incarnation: u64,
    pub(crate) id: Name,
    pub(crate) promised: Promised,
    pub(crate) blocking: bool,
}

/// What a command is answered.
pub(crate) type Answer = Result<Done, CommandError>;

/// What a command did.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    Started,
    Terminated(Terminated),
    Deleted,
}

/// Where the machine puts what follows.
#[derive(Debug)]
pub(crate) struct Out<T> {
    pub(crate) decisions: VecDeque<Decision<T>>,
    pub(crate) events: Vec<SupervisorEvent>,
    /// Whether anybody listens to events.
    pub(crate) is_heard: bool,
    /// Users' values that are not needed any more, for after the unlock.
    pub(crate) trash: Vec<ChildExit>,
}

impl<T> Default for Out<T> {
    fn default() -> Self {
        Self {
            decisions: VecDeque::new(),
            events: Vec::new(),
            is_heard: false,
            trash: Vec::new(),
        }
    }
}

impl<T> Out<T> {
    fn push(&mut self, decision: Decision<T>) {
        self.decisions.push_back(decision);
    }

    fn reply(&mut self, to: T, answer: Answer) {
        self.push(Decision::Reply(to, answer));
    }
}

const GROUP: u32 = 0;
const PAUSE: u32 = 1;
const FIRST: u32 = 2;

impl<T> Machine<T> {
    pub(crate) fn new(name: Name, rules: Rules) -> Self {
        let rolls = rules.seed.map_or_else(Rolls::random, Rolls::seeded);
        Self {
            name,
            window: Window::new(rules.budget),
            pause: rules.pausing.map(Pause::new),
            rules,
            children: Children::default(),
            deadlines: Deadlines::default(),
            mode: Mode::Idle,
            alive: 0,
            overlapped: Vec::new(),
            deferred: Vec::new(),
            ended_early: None,
            failures: VecDeque::new(),
            rolls,
            runs: 0,
            seq: 0,
        }
    }

    /// When [`due`](Self::due) must be called next.
    pub(crate) fn nearest(&self) -> Option<Instant> {
        self.deadlines.nearest()
    }

    pub(crate) const fn children(&self) -> &Children<T> {
        &self.children
    }

    /// Starts the children in order.
    pub(crate) fn begin(&mut self, now: Instant, out: &mut Out<T>) {
        let at = self.children.first();
        self.mode = Mode::First { at };
        self.advance(now, out);
    }

    /// Time has passed.
    pub(crate) fn due(&mut self, now: Instant, out: &mut Out<T>) {
        while let Some((at, key)) = self.deadlines.pop_due(now) {
            if key == PAUSE {
                self.resume(now, out);
            } else if key == GROUP {
                if let Mode::Group(group) = &mut self.mode {
                    group.phase = Phase::Start(group.first);
                }
            } else {
                self.deadline_passed(key - FIRST, at, now, out);
            }
            self.advance(now, out);
        }
    }

    /// Nothing beside the machine refers to the child any more.
    pub(crate) fn forgotten(&mut self, key: u32) {
        self.children.free(key);
    }

    /// Stops all children in reverse, and ends.
    pub(crate) fn stop_all(&mut self, now: Instant, out: &mut Out<T>) {
        self.begin_ending(Ended::Stopped, now, out);
        self.advance(now, out);
    }

    /// Whether a child that is being stopped is started again after that.
    pub(crate) fn will_run(&self, key: u32) -> bool {
        let after = self.children[key].after;
        !self.is_ending() && matches!(after, After::Due | After::Restart(_))
    }

    fn emit(&mut self, now: Instant, out: &mut Out<T>, kind: impl FnOnce() -> SupervisorEventKind) {
        self.seq += 1;
        if out.is_heard {
            out.events.push(SupervisorEvent {
                seq: self.seq,
                at: now,
                kind: kind(),
            });
        }
    }

    /// The same about a child.
    fn tell(
        &mut self,
        key: u32,
        now: Instant,
        out: &mut Out<T>,
        kind: impl FnOnce(Name, u64) -> SupervisorEventKind,
    ) {
        self.seq += 1;
        if out.is_heard {
            let child = &self.children[key];
            out.events.push(SupervisorEvent {
                seq: self.seq,
                at: now,
                kind: kind(child.id.clone(), child.incarnation),
            });
        }
    }

    /// Whether it is ending for another reason than that restarting did not help.
    pub(super) const fn ends_in_order(&self) -> bool {
        let Mode::Ending { why, .. } = &self.mode else {
            return false;
        };
        matches!(why, Ended::Stopped | Ended::AutoShutdown(_))
    }

    pub(super) fn phase(&self) -> super::snapshot::Phase {
        use super::snapshot::Phase;
        match self.mode {
            Mode::Idle | Mode::First { .. } => Phase::Starting,
            Mode::Running => Phase::Running,
            Mode::Group(_) => Phase::Restarting,
            Mode::Ending { .. } => Phase::Stopping,
            Mode::Over => Phase::Ended,
        }
    }

    /// Restarts that the supervisor's budget counts.
    pub(super) fn used(&self, now: Instant) -> u32 {
        self.window.used(now)
    }

    /// When a child that waits for its restart is restarted.
    pub(super) fn restarts_at(&self, key: u32) -> Option<Instant> {
        let waits = self.children.get(key)?.state == State::Backoff;
        self.deadlines.get(key + FIRST).filter(|_| waits)
    }

    fn set_deadline(&mut self, key: u32, at: Instant) {
        self.deadlines.set(key + FIRST, at);
    }

    fn clear_deadline(&mut self, key: u32) {
        self.deadlines.clear(key + FIRST);
    }
}
