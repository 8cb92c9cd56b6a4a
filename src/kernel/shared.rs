//! How a handle leads to what its clones share: by a counted reference, or by a copied pointer.

use std::ops::Deref;
use std::sync::{Arc, Weak};

/// What clones of a handle share.
///
/// Counting references is two writes, for a clone and its drop, to a line that all cores share; a
/// `&'static` is copied.
#[derive(Debug)]
pub(crate) enum Shared<T: 'static> {
    Counted(Arc<T>),
    Static(&'static T),
}

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self::Counted(Arc::new(value))
    }

    /// The same without a reference count.
    pub(crate) fn of_static(shared: &'static Self) -> Self {
        Self::Static(shared)
    }

    /// One that does not keep the value alive.
    pub(crate) fn downgrade(&self) -> WeakShared<T> {
        match self {
            Self::Counted(value) => WeakShared::Counted(Arc::downgrade(value)),
            Self::Static(value) => WeakShared::Static(value),
        }
    }

    /// How many of them there are; a static one is never counted.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Counted(value) => Arc::strong_count(value),
            Self::Static(_) => usize::MAX,
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Counted(value) => value,
            Self::Static(value) => value,
        }
    }
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Self::Counted(value) => Self::Counted(Arc::clone(value)),
            Self::Static(value) => Self::Static(value),
        }
    }
}

/// A [`Shared`] that does not keep its value alive.
#[derive(Debug)]
pub(crate) enum WeakShared<T: 'static> {
    Counted(Weak<T>),
    Static(&'static T),
}

impl<T> WeakShared<T> {
    pub(crate) fn upgrade(&self) -> Option<Shared<T>> {
        match self {
            Self::Counted(value) => value.upgrade().map(Shared::Counted),
            Self::Static(value) => Some(Shared::Static(value)),
        }
    }
}

impl<T> Clone for WeakShared<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Counted(value) => Self::Counted(Weak::clone(value)),
            Self::Static(value) => Self::Static(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_one_lives_as_long_as_it_is_held() {
        let shared = Shared::new(7);
        let weak = shared.downgrade();
        let again = weak.clone().upgrade().expect("it is held");
        assert_eq!((*again, shared.count()), (7, 2));
        drop((shared, again));
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn a_static_one_counts_nothing() {
        let leaked: &'static Shared<u32> = Box::leak(Box::new(Shared::new(7)));
        let copied = Shared::of_static(leaked);
        let again = copied.clone();
        assert_eq!((*again, leaked.count(), copied.count()), (7, 1, usize::MAX));
        assert_eq!(copied.downgrade().upgrade().map(|shared| *shared), Some(7));
    }
}
