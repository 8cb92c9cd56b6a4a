//! One attempt of a call: what it knows, and how it is started.

use std::future::Future;
use std::pin::Pin;

/// What an operation can know when it makes an attempt.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt<'a, E> {
    /// Its number, from 1.
    pub number: u32,
    /// The error of the attempt before; none at first, and none if that attempt ended with an `Ok`
    /// that was not accepted.
    pub previous: Option<&'a E>,
}

impl<'a, E> Attempt<'a, E> {
    #[inline]
    pub(crate) const fn new(number: u32, previous: Option<&'a E>) -> Self {
        Self { number, previous }
    }
}

impl<E> Clone for Attempt<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Attempt<'_, E> {}

/// How the attempts of one call are started. Whatever runs calls puts itself between the retry and
/// the call by it.
pub(crate) trait StartAttempt<T, E> {
    type Future: Future<Output = Result<T, E>>;

    /// Whether there is something to make a further attempt with.
    #[inline]
    fn can_repeat(&self) -> bool {
        true
    }

    /// Starts an attempt, in its place: one that is returned is moved there, through memory. A
    /// second one comes after [`can_repeat`](Self::can_repeat) was true, and after the future of
    /// the first was dropped.
    fn start(&mut self, attempt: Attempt<'_, E>, place: Pin<&mut Option<Self::Future>>);
}

/// An operation that makes a future for each attempt.
pub(crate) struct Operation<O>(pub(crate) O);

impl<O, F, T, E> StartAttempt<T, E> for Operation<O>
where
    O: FnMut(Attempt<'_, E>) -> F,
    F: Future<Output = Result<T, E>>,
{
    type Future = F;

    #[inline]
    fn start(&mut self, attempt: Attempt<'_, E>, mut place: Pin<&mut Option<F>>) {
        place.set(Some((self.0)(attempt)));
    }
}
