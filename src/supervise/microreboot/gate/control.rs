//! What the gate's lock guards: whether it is shut and why, who waits outside, how long the last
//! reboots took.

use super::config::GateConfig;
use super::machine::Machine;
use super::wakers::{Key, Wakers};
use crate::kernel::sync::{Ordering, wake_all};
use crate::supervise::microreboot::record::CallsSeen;
use std::task::Waker;
use std::time::Duration;

/// So many reboots are remembered.
const REMEMBERED: usize = 8;

/// How a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
pub enum GateState {
    /// Calls go through.
    Open,
    /// Its component is being restarted.
    Restarting,
    /// The last reboot failed, and none is under way: nobody knows when the component is back.
    Down,
}

impl GateState {
    /// In `snake_case`, as in a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Restarting => "restarting",
            Self::Down => "down",
        }
    }
}

#[derive(Debug)]
pub(super) struct Control {
    pub(super) config: GateConfig,
    pub(super) state: GateState,
    /// Reboots under way.
    reboots: u32,
    /// How often the gate went down: who waits since before then is refused.
    downs: u64,
    parked: Wakers,
    /// The calls before the present run of failures.
    pub(super) onset: CallsSeen,
    took: [Option<Duration>; REMEMBERED],
    next: usize,
}

/// What came of waiting at a shut gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Waits,
    /// It is open, or was.
    Open,
    /// The reboot failed.
    Down,
}

/// A caller that waits outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    key: Key,
    downs: u64,
}

/// How a caller that wants to wait stands.
#[derive(Debug)]
pub(super) enum Parked {
    Waits(Place),
    Open,
    /// No room, or nothing to wait for. The waker is not used.
    Refused,
}

impl Control {
    pub(super) fn new(config: GateConfig) -> Self {
        Self {
            config,
            state: GateState::Open,
            reboots: 0,
            downs: 0,
            parked: Wakers::default(),
            onset: CallsSeen::default(),
            took: [None; REMEMBERED],
            next: 0,
        }
    }

    pub(super) fn parked(&self) -> u32 {
        self.parked.len()
    }

    fn longest(&self) -> Option<Duration> {
        self.took.iter().flatten().max().copied()
    }

    /// What idempotent callers are told; none while nobody knows.
    pub(super) fn hint(&self) -> Option<Duration> {
        let longest = || self.longest().unwrap_or(self.config.expected);
        (self.state != GateState::Down).then(longest)
    }

    fn remember(&mut self, took: Duration) {
        self.took[self.next] = Some(took);
        self.next = (self.next + 1) % REMEMBERED;
    }
}

impl Machine {
    /// A reboot begins: nobody goes in.
    pub(super) fn begin(&self) {
        let mut control = self.control.lock();
        control.reboots = control.reboots.saturating_add(1);
        control.state = GateState::Restarting;
        self.publish_hint(&control);
        self.stripes.shut();
    }

    /// A reboot has ended. The last one under way decides whether the gate opens.
    pub(super) fn end(&self, cured_within: Option<Duration>) {
        let mut control = self.control.lock();
        control.reboots = control.reboots.saturating_sub(1);
        if let Some(took) = cured_within {
            control.remember(took);
        }
        let wakers = match (control.reboots, cured_within) {
            (0, Some(_)) => self.open(&mut control),
            (0, None) => {
                control.state = GateState::Down;
                control.downs += 1;
                control.parked.take()
            }
            _ => Vec::new(),
        };
        self.publish_hint(&control);
        drop(control);
        wake_all(wakers);
    }

    /// Opens the gate of a component that is down.
    pub(super) fn reopen(&self) -> bool {
        let mut control = self.control.lock();
        if control.state != GateState::Down {
            return false;
        }
        let wakers = self.open(&mut control);
        self.publish_hint(&control);
        drop(control);
        wake_all(wakers);
        true
    }

    /// Drops the calls in flight. Under the lock, so that no two of these, and no opening, run at
    /// once; their tasks are woken behind it.
    pub(super) fn cut(&self) -> u64 {
        let control = self.control.lock();
        let (inside, wakers) = match control.state {
            // The reboot that was to cut them is over.
            GateState::Open => (0, Vec::new()),
            GateState::Restarting | GateState::Down => self.stripes.cut(),
        };
        drop(control);
        wake_all(wakers);
        inside
    }

    fn open(&self, control: &mut Control) -> Vec<Waker> {
        // Who is still inside was cut, and has failed whatever comes of it.
        let written_off = self.stripes.inside();
        self.written_off.fetch_add(written_off, Ordering::Relaxed);
        control.state = GateState::Open;
        self.stripes.open();
        control.parked.take()
    }

    /// Joins those who wait outside, if there is room.
    pub(super) fn park(&self, waker: &Waker) -> Parked {
        let waker = waker.clone();
        let mut control = self.control.lock();
        let has_room = control.parked.len() < control.config.max_parked;
        let (parked, unused) = match control.state {
            GateState::Open => (Parked::Open, Some(waker)),
            GateState::Restarting if has_room => match control.parked.insert(waker) {
                Ok(key) => {
                    let downs = control.downs;
                    (Parked::Waits(Place { key, downs }), None)
                }
                Err(waker) => (Parked::Refused, Some(waker)),
            },
            _ => (Parked::Refused, Some(waker)),
        };
        drop(control);
        drop(unused);
        parked
    }

    /// Looks what became of a caller that waits outside. Its place is given up when it need not wait.
    pub(super) fn look(&self, place: Place, waker: &Waker) -> Fate {
        let mut spare = None;
        loop {
            let mut control = self.control.lock();
            let fate = if control.downs != place.downs {
                Fate::Down
            } else if control.state == GateState::Open {
                Fate::Open
            } else {
                Fate::Waits
            };
            let unused = match (fate, spare.take()) {
                (Fate::Waits, Some(waker)) => control.parked.put(place.key, waker),
                (Fate::Waits, None) if control.parked.will_wake(place.key, waker) => None,
                (Fate::Waits, None) => {
                    // To be cloned while nothing is locked.
                    drop(control);
                    spare = Some(waker.clone());
                    continue;
                }
                (_, spare) => {
                    let kept = control.parked.remove(place.key);
                    drop(control);
                    drop((kept, spare));
                    return fate;
                }
            };
            drop(control);
            drop(unused);
            return Fate::Waits;
        }
    }

    /// A caller waits outside no longer.
    pub(super) fn unpark(&self, place: Place) {
        let waker = self.control.lock().parked.remove(place.key);
        drop(waker);
    }
}
