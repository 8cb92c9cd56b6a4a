//! What becomes of a call's own error on its way out of a policy.

use crate::kernel::rejection::{Error, Rejection};

/// The error type that a policy's call ends with.
pub(crate) trait Outlet<E> {
    type Error: From<Rejection>;

    /// The call's own error in it.
    fn inner(error: E) -> Self::Error;
}

/// The call's own error is wrapped in [`Error::Inner`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrapped;

impl<E> Outlet<E> for Wrapped {
    type Error = Error<E>;

    #[inline]
    fn inner(error: E) -> Error<E> {
        Error::Inner(error)
    }
}

/// It stays as it is, and can hold rejections itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsIs;

impl<E: From<Rejection>> Outlet<E> for AsIs {
    type Error = E;

    #[inline]
    fn inner(error: E) -> E {
        error
    }
}
