//! Who waits in a set of compartments: one line per compartment, in one slab.
//!
//! No decisions are made here. All of it is used under the lock of the set, so it runs nobody's
//! code: wakers come in cloned and go out to be woken or dropped after the unlock.

use super::config::Order;
use crate::kernel::instant::Instant;
use std::task::Waker;

const NONE: usize = usize::MAX;

/// A waiter's place in the slab. It belongs to one future, from `push` to `take`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(usize);

#[derive(Debug)]
pub(super) struct Lines {
    slab: Vec<Entry>,
    /// The first free entry; free ones are linked by `next`.
    free: usize,
    lines: Box<[Line]>,
    waiting: usize,
    next_seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    oldest: usize,
    newest: usize,
    len: u32,
}

#[derive(Debug)]
struct Entry {
    line: usize,
    /// The neighbour that came before, and the one that came after.
    prev: usize,
    next: usize,
    seq: u64,
    granted: bool,
    waker: Option<Waker>,
    /// When this waiter looks again by itself, if somebody told it to.
    alarm: Option<Instant>,
}

/// What a waiter finds when it leaves.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) granted: bool,
    /// To be dropped after the unlock.
    pub(super) waker: Option<Waker>,
}

impl Lines {
    pub(super) fn new(lines: usize) -> Self {
        let line = Line {
            oldest: NONE,
            newest: NONE,
            len: 0,
        };
        Self {
            slab: Vec::new(),
            free: NONE,
            lines: vec![line; lines].into(),
            waiting: 0,
            next_seq: 0,
        }
    }

    /// How many wait in line `line`; those who were granted a slot do not wait.
    pub(super) fn len(&self, line: usize) -> u32 {
        self.lines[line].len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// When the oldest of a line came: smaller is earlier.
    pub(super) fn oldest(&self, line: usize) -> Option<u64> {
        self.slab
            .get(self.lines[line].oldest)
            .map(|entry| entry.seq)
    }

    pub(super) fn push(&mut self, line: usize, waker: Waker, alarm: Option<Instant>) -> Key {
        let newest = self.lines[line].newest;
        let entry = Entry {
            line,
            prev: newest,
            next: NONE,
            seq: self.next_seq,
            granted: false,
            waker: Some(waker),
            alarm,
        };
        self.next_seq += 1;
        let at = if self.free == NONE {
            self.slab.push(entry);
            self.slab.len() - 1
        } else {
            let at = self.free;
            self.free = self.slab[at].next;
            self.slab[at] = entry;
            at
        };
        match self.slab.get_mut(newest) {
            Some(before) => before.next = at,
            None => self.lines[line].oldest = at,
        }
        self.lines[line].newest = at;
        self.lines[line].len += 1;
        self.waiting += 1;
        Key(at)
    }

    /// Grants a slot to whoever of this line is next; its waker is to be woken after the unlock.
    pub(super) fn grant(&mut self, line: usize, order: Order) -> Option<Waker> {
        let at = self.next_in(line, order)?;
        self.unlink(at);
        self.slab[at].granted = true;
        self.slab[at].waker.take()
    }

    /// Tells whoever of this line is next to look again at `at` by itself; its waker, if it did not
    /// know yet.
    pub(super) fn nudge(&mut self, line: usize, order: Order, at: Instant) -> Option<Waker> {
        let next = self.next_in(line, order)?;
        let entry = &mut self.slab[next];
        if entry.alarm.is_some_and(|alarm| alarm <= at) {
            return None;
        }
        entry.alarm = Some(at);
        entry.waker.take()
    }

    /// Takes the wakers of all who wait in a line, who go on waiting until they look.
    pub(super) fn wakers(&mut self, line: usize) -> Vec<Waker> {
        let waiting = self.slab.iter_mut().filter(|entry| entry.line == line);
        waiting.filter_map(|entry| entry.waker.take()).collect()
    }

    fn next_in(&self, line: usize, order: Order) -> Option<usize> {
        let Line { oldest, newest, .. } = self.lines[line];
        let at = match order {
            Order::Fifo => oldest,
            Order::Lifo => newest,
        };
        (at != NONE).then_some(at)
    }

    pub(super) fn is_granted(&self, key: Key) -> bool {
        self.slab[key.0].granted
    }

    /// Keeps the waker of a waiter that goes on waiting, and when it looks again by itself; the
    /// old waker is to be dropped after the unlock.
    pub(super) fn renew(
        &mut self,
        key: Key,
        waker: Waker,
        alarm: Option<Instant>,
    ) -> Option<Waker> {
        let entry = &mut self.slab[key.0];
        entry.alarm = alarm;
        entry.waker.replace(waker)
    }

    /// Takes a waiter out.
    pub(super) fn take(&mut self, key: Key) -> Left {
        let at = key.0;
        let granted = self.slab[at].granted;
        if !granted {
            self.unlink(at);
        }
        let entry = &mut self.slab[at];
        entry.next = self.free;
        self.free = at;
        let waker = entry.waker.take();
        Left { granted, waker }
    }

    fn unlink(&mut self, at: usize) {
        let (line, prev, next) = {
            let entry = &self.slab[at];
            (entry.line, entry.prev, entry.next)
        };
        match self.slab.get_mut(prev) {
            Some(before) => before.next = next,
            None => self.lines[line].oldest = next,
        }
        match self.slab.get_mut(next) {
            Some(after) => after.prev = prev,
            None => self.lines[line].newest = prev,
        }
        self.lines[line].len -= 1;
        self.waiting -= 1;
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn waker() -> Waker {
        Waker::noop().clone()
    }

    /// The slab and plain queues take the same random steps.
    #[test]
    fn lines_are_queues() {
        let mut rng = fastrand::Rng::with_seed(7);
        for order in [Order::Fifo, Order::Lifo] {
            let mut lines = Lines::new(3);
            let mut plain = [const { VecDeque::<u64>::new() }; 3];
            let mut keys: Vec<(usize, u64, Key)> = Vec::new();
            let mut granted: Vec<u64> = Vec::new();
            let mut most = 0;
            for step in 0..20_000_u64 {
                let line = rng.usize(..3);
                match rng.u8(..4) {
                    0 | 1 if plain[line].len() < 20 => {
                        keys.push((line, step, lines.push(line, waker(), None)));
                        plain[line].push_back(step);
                    }
                    2 => {
                        let expected = match order {
                            Order::Fifo => plain[line].pop_front(),
                            Order::Lifo => plain[line].pop_back(),
                        };
                        assert_eq!(lines.grant(line, order).is_some(), expected.is_some());
                        granted.extend(expected);
                    }
                    _ if !keys.is_empty() => {
                        let (line, step, key) = keys.swap_remove(rng.usize(..keys.len()));
                        assert_eq!(lines.is_granted(key), granted.contains(&step));
                        let left = lines.take(key);
                        assert_eq!(left.granted, granted.contains(&step));
                        assert_eq!(left.waker.is_some(), !left.granted);
                        plain[line].retain(|waits| *waits != step);
                    }
                    _ => {}
                }
                for (line, plain) in plain.iter().enumerate() {
                    assert_eq!(lines.len(line) as usize, plain.len());
                    assert_eq!(lines.oldest(line).is_some(), !plain.is_empty());
                }
                most = most.max(keys.len());
                assert_eq!(lines.is_empty(), plain.iter().all(VecDeque::is_empty));
            }
            assert_eq!(lines.slab.len(), most, "entries are used again");
        }
    }

    #[test]
    fn a_nudge_is_told_once() {
        let mut lines = Lines::new(1);
        let key = lines.push(0, waker(), None);
        let [early, late] = [1, 2].map(Instant::from_nanos);
        assert!(lines.nudge(0, Order::Fifo, late).is_some());
        assert!(lines.nudge(0, Order::Fifo, late).is_none());
        lines.renew(key, waker(), Some(late));
        assert!(lines.nudge(0, Order::Fifo, late).is_none());
        assert!(lines.nudge(0, Order::Fifo, early).is_some());
    }
}
