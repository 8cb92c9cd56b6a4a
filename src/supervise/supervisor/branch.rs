//! Events of a whole tree: each supervisor's go up to the subscribers of those above it.

use super::event::SupervisorEvent;
use crate::kernel::event::{Aftermath, Events, Subscriber};
use crate::kernel::name::Name;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// One fact about a supervisor somewhere in a tree.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TreeEvent {
    /// Where the supervisor is.
    pub path: TreePath,
    /// Which start of it this is, as a child, counted from 1: each numbers its facts anew. 1 at the top.
    pub incarnation: u64,
    /// What happened there.
    pub event: SupervisorEvent,
}

/// The way to a supervisor from the top of its tree: `root/pool`. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TreePath(Arc<[Name]>);

impl TreePath {
    /// The name of the one at the top, and below it the ids of the children that are supervisors.
    pub fn names(&self) -> &[Name] {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("/")?;
            }
            f.write_str(name.as_str())?;
        }
        Ok(())
    }
}

/// A supervisor's place in its tree.
pub(super) struct Branch {
    path: TreePath,
    incarnation: u64,
    events: Events<TreeEvent>,
    above: Option<Arc<Self>>,
}

impl Branch {
    pub(super) fn top(name: Name) -> Self {
        Self {
            path: TreePath(Arc::new([name])),
            incarnation: 1,
            events: Events::new(),
            above: None,
        }
    }

    /// Where the supervisor is that runs in that child of this one.
    pub(super) fn below(self: &Arc<Self>, child: Name, incarnation: u64) -> Self {
        let names = self.path.0.iter().cloned();
        Self {
            path: TreePath(names.chain([child]).collect()),
            incarnation,
            events: self.events.beside(),
            above: Some(self.clone()),
        }
    }

    pub(super) fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<TreeEvent> {
        self.events.subscribe(capacity)
    }

    /// Whether anybody subscribes anywhere in the tree: one relaxed load.
    pub(super) fn is_heard(&self) -> bool {
        self.events.is_heard()
    }

    /// Puts a supervisor's events into the queues of all that it is below of. It is called under the lock
    /// that orders them, and what it returns is run after the unlock.
    pub(super) fn enqueue(&self, events: &[SupervisorEvent]) -> Vec<Aftermath<TreeEvent>> {
        if !self.is_heard() || events.is_empty() {
            return Vec::new();
        }
        let events: Vec<_> = events
            .iter()
            .map(|event| TreeEvent {
                path: self.path.clone(),
                incarnation: self.incarnation,
                event: event.clone(),
            })
            .collect();
        let mut aftermaths = Vec::new();
        let mut at = Some(self);
        while let Some(branch) = at {
            aftermaths.push(branch.events.enqueue(&events));
            at = branch.above.as_deref();
        }
        // Clones of what the source still has: their drop is nobody's last.
        drop(events);
        aftermaths
    }
}
