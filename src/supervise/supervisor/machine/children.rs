//! The children of a supervisor: found by id, walked in the order of their starts.

use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::supervise::budget::{Streak, Window};
use crate::supervise::child::{ChildExit, FailureCause, Policy};
use std::collections::HashMap;
use std::ops::{Index, IndexMut};

/// What a child is doing, as its supervisor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not running; the sequence that is under way starts it in its turn.
    Due,
    /// Started, not ready.
    Starting,
    Running,
    /// Waits for its restart.
    Backoff,
    /// Told to stop, or ended with further work left.
    Stopping,
    /// Aborted.
    Aborted,
    /// Listed, and not to run until somebody says so.
    Stopped,
    /// Aborted long ago, and something of it still runs.
    Orphaned,
}

impl State {
    /// Whether it runs, and is waited for when it is stopped.
    pub(crate) const fn is_alive(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Running | Self::Stopping | Self::Aborted
        )
    }
}

/// What becomes of a child once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Stay,
    /// Restarted after a back-off in nanoseconds, by itself.
    Restart(u64),
    /// Restarted with its group.
    Due,
    Forget,
}

/// One child.
#[derive(Debug)]
pub(crate) struct Child<T> {
    pub(crate) id: Name,
    pub(crate) policy: Policy,
    pub(crate) state: State,
    pub(crate) after: After,
    /// Its budget is spent: only a hand brings it back.
    pub(crate) is_spent: bool,
    /// The number of its incarnation within the supervisor; what others say is late.
    pub(crate) run: u64,
    pub(crate) incarnation: u64,
    /// When it was last started, or became ready.
    pub(crate) since: Option<Instant>,
    pub(crate) streak: Streak,
    pub(crate) window: Option<Box<Window>>,
    pub(crate) last_exit: Option<ChildExit>,
    /// How it last failed, and which incarnation.
    pub(crate) last_failure: Option<(u64, FailureCause)>,
    /// Later children have higher ones.
    pub(crate) order: u64,
    pub(crate) asked: Option<Box<Asked<T>>>,
    before: Option<u32>,
    behind: Option<u32>,
}

/// Who waits for what a child is doing.
#[derive(Debug)]
pub(crate) struct Asked<T> {
    pub(crate) start: Option<T>,
    /// The start is its first: if it fails, the child is not kept.
    pub(crate) is_new: bool,
    pub(crate) stops: Vec<T>,
}

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self {
            start: None,
            is_new: false,
            stops: Vec::new(),
        }
    }
}

/// A slab of children, an index, and a list in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Children<T> {
    slots: Vec<Option<Child<T>>>,
    free: Vec<u32>,
    by_id: HashMap<Name, u32>,
    first: Option<u32>,
    last: Option<u32>,
    added: u64,
}

impl<T> Default for Children<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            first: None,
            last: None,
            added: 0,
        }
    }
}

impl<T> Children<T> {
    /// Makes room for so many more, and no more than that.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.slots.reserve_exact(more);
        self.by_id.reserve(more);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn get(&self, key: u32) -> Option<&Child<T>> {
        self.slots.get(key as usize)?.as_ref()
    }

    pub(crate) const fn first(&self) -> Option<u32> {
        self.first
    }

    pub(crate) const fn last(&self) -> Option<u32> {
        self.last
    }

    pub(crate) fn before(&self, key: u32) -> Option<u32> {
        self.get(key)?.before
    }

    pub(crate) fn behind(&self, key: u32) -> Option<u32> {
        self.get(key)?.behind
    }

    /// All, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Child<T>)> {
        std::iter::successors(self.first, |key| self.behind(*key))
            .filter_map(|key| Some((key, self.get(key)?)))
    }

    /// Puts a child behind all others; its id must be new.
    pub(crate) fn add(&mut self, id: Name, policy: Policy) -> u32 {
        self.added += 1;
        let window = policy.budget().map(|budget| Box::new(Window::new(*budget)));
        let child = Child {
            id: id.clone(),
            policy,
            state: State::Stopped,
            after: After::Stay,
            is_spent: false,
            run: 0,
            incarnation: 0,
            since: None,
            streak: Streak::default(),
            window,
            last_exit: None,
            last_failure: None,
            order: self.added,
            asked: None,
            before: self.last,
            behind: None,
        };
        let key = if let Some(key) = self.free.pop() {
            self.slots[key as usize] = Some(child);
            key
        } else {
            self.slots.push(Some(child));
            #[expect(
                clippy::cast_possible_truncation,
                reason = "children are larger than a byte"
            )]
            let key = (self.slots.len() - 1) as u32;
            key
        };
        match self.last.replace(key) {
            Some(last) => self[last].behind = Some(key),
            None => self.first = Some(key),
        }
        self.by_id.insert(id, key);
        key
    }

    /// Its key is not used again before it is [freed](Self::free).
    pub(crate) fn remove(&mut self, key: u32) -> Option<Child<T>> {
        let child = self.slots.get_mut(key as usize)?.take()?;
        match child.before {
            Some(before) => self[before].behind = child.behind,
            None => self.first = child.behind,
        }
        match child.behind {
            Some(behind) => self[behind].before = child.before,
            None => self.last = child.before,
        }
        self.by_id.remove(child.id.as_str());
        Some(child)
    }

    /// Lets the key of a child that was removed be used again.
    pub(crate) fn free(&mut self, key: u32) {
        debug_assert!(self.get(key).is_none(), "the child was removed");
        self.free.push(key);
    }
}

impl<T> Index<u32> for Children<T> {
    type Output = Child<T>;

    fn index(&self, key: u32) -> &Child<T> {
        self.get(key).expect("a key of a child that is there")
    }
}

impl<T> IndexMut<u32> for Children<T> {
    fn index_mut(&mut self, key: u32) -> &mut Child<T> {
        self.slots[key as usize]
            .as_mut()
            .expect("a key of a child that is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::child::ChildSpec;

    #[test]
    fn a_key_is_used_again_once_it_was_freed() {
        let policy = ChildSpec::new("any", |_| async { Ok::<_, String>(()) }).policy;
        let mut children = Children::<()>::default();
        let add = |children: &mut Children<()>, id: &'static str| {
            children.add(Name::from(id), policy.clone())
        };
        let [first, second] = ["a", "b"].map(|id| add(&mut children, id));
        assert!(children.remove(first).is_some());
        assert!(children.remove(first).is_none());
        // Something beside may still refer to it.
        let third = add(&mut children, "c");
        assert_ne!(third, first);
        children.free(first);
        assert_eq!(add(&mut children, "d"), first);
        // Whatever the keys, the order is that of the additions.
        let order: Vec<_> = children.iter().map(|(key, _)| key).collect();
        assert_eq!(order, [second, third, first]);
        assert_eq!(
            (children.first(), children.last()),
            (Some(second), Some(first))
        );
        assert_eq!(
            (children.before(first), children.behind(first)),
            (Some(third), None)
        );
        assert_eq!(
            (children.len(), children.find("a"), children.find("d")),
            (3, None, Some(first))
        );
    }
}
