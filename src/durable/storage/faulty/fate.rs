//! One thing on the disk that is stored or lost as a whole: a sector, a length.

/// A value as it is read now, and the values that a power cut may leave of it.
#[derive(Clone, Debug)]
pub(super) struct Fate<T> {
    now: T,
    /// What was stored last for certain.
    stored: T,
    /// Other values that were written since, each of which may have reached the disk.
    written: Vec<T>,
    /// Whether the next sync stores what is here now. After a failed sync it does not, until it is
    /// written again.
    is_dirty: bool,
}

impl<T: Clone + PartialEq> Fate<T> {
    /// One that is stored as it is.
    pub(super) fn stored(value: T) -> Self {
        Self {
            now: value.clone(),
            stored: value,
            written: Vec::new(),
            is_dirty: false,
        }
    }

    pub(super) fn now(&self) -> &T {
        &self.now
    }

    pub(super) fn set(&mut self, value: T) {
        if value != self.stored && !self.written.contains(&value) {
            self.written.push(value.clone());
        }
        self.now = value;
        self.is_dirty = true;
    }

    /// A sync that worked.
    pub(super) fn sync(&mut self) {
        if self.is_dirty {
            *self = Self::stored(self.now.clone());
        }
    }

    /// A sync that failed: what was to be stored is no longer, and may have been before.
    pub(super) fn fail_sync(&mut self) {
        self.is_dirty = false;
    }

    /// How many values a power cut may leave.
    pub(super) fn options(&self) -> usize {
        1 + self.written.len()
    }

    /// One of them, the stored one first.
    pub(super) fn option(&self, index: usize) -> &T {
        index
            .checked_sub(1)
            .and_then(|index| self.written.get(index))
            .unwrap_or(&self.stored)
    }

    /// Changes every value that it has or may have: the medium changed, not what is written.
    pub(super) fn rot(&mut self, mut change: impl FnMut(&mut T)) {
        change(&mut self.now);
        change(&mut self.stored);
        self.written.iter_mut().for_each(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(fate: &Fate<u8>) -> Vec<u8> {
        (0..fate.options()).map(|at| *fate.option(at)).collect()
    }

    #[test]
    fn each_value_since_the_last_sync_may_be_left() {
        let mut fate = Fate::stored(1);
        assert_eq!(options(&fate), [1]);
        for value in [2, 3, 2, 1, 3] {
            fate.set(value);
            assert_eq!(*fate.now(), value);
        }
        assert_eq!(options(&fate), [1, 2, 3]);
        fate.sync();
        assert_eq!(options(&fate), [3]);
    }

    #[test]
    fn a_failed_sync_leaves_a_value_that_no_later_one_stores() {
        let mut fate = Fate::stored(1);
        fate.set(2);
        fate.fail_sync();
        fate.sync();
        assert_eq!(*fate.now(), 2);
        assert_eq!(options(&fate), [1, 2]);
        // Written once more, it is to be stored again, even if it is the same.
        fate.set(2);
        fate.sync();
        assert_eq!(options(&fate), [2]);
    }

    #[test]
    fn rot_changes_what_is_read_and_what_is_left() {
        let mut fate = Fate::stored(1);
        fate.set(2);
        fate.rot(|value| *value += 10);
        assert_eq!(*fate.now(), 12);
        assert_eq!(options(&fate), [11, 12]);
    }
}
