//! Which reboots are wanted and under way: one at a time for each component.

use super::groups::Index;
use super::landing::Landing;
use std::sync::Arc;

/// What a report comes to at the gate.
#[derive(Debug)]
pub(crate) enum Boarding<T> {
    /// It speaks of an incarnation that is gone.
    Stale { current: u64 },
    /// There is a flight already that takes the component along.
    Joined(u64, Arc<Landing<T>>),
    /// None yet: the caller opens one.
    None,
}

/// A reboot that is wanted or under way.
#[derive(Debug)]
pub(crate) struct Flight<T> {
    pub(crate) id: u64,
    /// The escalation that it belongs to.
    pub(crate) episode: u64,
    pub(crate) members: Vec<Index>,
    pub(crate) is_running: bool,
    /// A human asked for it: it does not queue behind what waits.
    pub(crate) is_by_hand: bool,
    pub(crate) reports: u32,
    pub(crate) landing: Arc<Landing<T>>,
}

/// The flights, in the order in which they were opened or went a rung up.
#[derive(Debug)]
pub(crate) struct Flights<T> {
    all: Vec<Flight<T>>,
    next: u64,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            next: 1,
        }
    }
}

impl<T: Clone> Flights<T> {
    /// A report about `component`, whose current incarnation is `current`; `seen` is the one that the
    /// reporter saw.
    pub(crate) fn board(
        &mut self,
        component: Index,
        seen: Option<u64>,
        current: u64,
    ) -> Boarding<T> {
        if seen.is_some_and(|seen| seen < current) {
            return Boarding::Stale { current };
        }
        let takes_along = |flight: &&mut Flight<T>| flight.members.contains(&component);
        match self.all.iter_mut().find(takes_along) {
            Some(flight) => {
                flight.reports = flight.reports.saturating_add(1);
                Boarding::Joined(flight.id, flight.landing.clone())
            }
            None => Boarding::None,
        }
    }

    /// Opens a flight behind the others.
    pub(crate) fn open(
        &mut self,
        members: Vec<Index>,
        episode: u64,
        is_by_hand: bool,
    ) -> (u64, Arc<Landing<T>>) {
        let id = self.next;
        self.next += 1;
        let landing = Landing::new();
        self.all.push(Flight {
            id,
            episode,
            members,
            is_running: false,
            is_by_hand,
            reports: 1,
            landing: landing.clone(),
        });
        (id, landing)
    }

    /// Whether nothing is in the way of this flight: nothing that shares a component with it runs, or
    /// waits before it. All components are taken at once, so no two flights wait for each other.
    pub(crate) fn is_clear(&self, id: u64) -> bool {
        let Some(at) = self.all.iter().position(|flight| flight.id == id) else {
            return false;
        };
        let mine = &self.all[at];
        let shares = |other: &Flight<T>| other.members.iter().any(|it| mine.members.contains(it));
        let all = self.all.iter().enumerate();
        !all.filter(|&(place, _)| place != at).any(|(place, other)| {
            let is_before = other.is_running || (place < at && !mine.is_by_hand);
            is_before && shares(other)
        })
    }

    /// It begins.
    pub(crate) fn begin(&mut self, id: u64) {
        if let Some(flight) = self.find(id) {
            flight.is_running = true;
        }
    }

    /// It did not help and goes a rung up: it lets go of its components and waits behind the others
    /// for the wider set. If another that waits takes all of them along anyway, its result is
    /// returned, and this flight is to follow it.
    pub(crate) fn widen(&mut self, id: u64, members: Vec<Index>) -> Option<Arc<Landing<T>>> {
        let at = self.all.iter().position(|flight| flight.id == id)?;
        let mut flight = self.all.remove(at);
        let covers = |other: &&Flight<T>| {
            !other.is_running && members.iter().all(|it| other.members.contains(it))
        };
        if let Some(other) = self.all.iter().find(covers) {
            return Some(other.landing.clone());
        }
        flight.members = members;
        flight.is_running = false;
        self.all.push(flight);
        None
    }

    /// It is over. The landing is told by the caller, outside of any lock.
    pub(crate) fn close(&mut self, id: u64) -> Option<Flight<T>> {
        let at = self.all.iter().position(|flight| flight.id == id)?;
        Some(self.all.remove(at))
    }

    pub(crate) fn find(&mut self, id: u64) -> Option<&mut Flight<T>> {
        self.all.iter_mut().find(|flight| flight.id == id)
    }

    /// How many reports it answers.
    pub(crate) fn reports(&self, id: u64) -> u32 {
        let flight = self.all.iter().find(|flight| flight.id == id);
        flight.map_or(1, |flight| flight.reports)
    }

    pub(crate) fn running(&self) -> usize {
        self.all.iter().filter(|flight| flight.is_running).count()
    }

    /// Whether a flight that runs, or one that waits, takes this component along.
    pub(crate) fn takes_along(&self, component: Index, is_running: bool) -> bool {
        let mut all = self.all.iter().filter(|it| it.is_running == is_running);
        all.any(|flight| flight.members.contains(&component))
    }
}
