//! What can be sent again: requests are copied before they are sent.

/// Copies a request, if it can be sent more than once.
///
/// A service consumes the request of its first attempt, so the copy is made before. What has no
/// copy (a body that streams, an operation that must not run twice) makes the call a single
/// attempt. Closures repeat:
///
/// ```
/// use backstop::policy::retry::Repeat;
///
/// // Only what reads is sent again, and it says which attempt it is.
/// let reads = |request: &String, attempt: u32| {
///     request.starts_with("GET").then(|| format!("{request} attempt={attempt}"))
/// };
/// assert_eq!(reads.repeat(&"GET /".into(), 2).as_deref(), Some("GET / attempt=2"));
/// assert_eq!(reads.repeat(&"POST /".into(), 2), None);
/// ```
///
/// A panic in it ends the call and goes on unwinding.
pub trait Repeat<Request> {
    /// A copy of `request` to be sent as attempt number `attempt` (from 2), if that attempt should
    /// ever be made; `None` if it must not be.
    ///
    /// `request` is the one of the attempt before, which may be a copy itself.
    fn repeat(&self, request: &Request, attempt: u32) -> Option<Request>;
}

impl<Request, F> Repeat<Request> for F
where
    F: Fn(&Request, u32) -> Option<Request>,
{
    #[inline]
    fn repeat(&self, request: &Request, attempt: u32) -> Option<Request> {
        self(request, attempt)
    }
}

/// Requests that are `Clone` are repeated as they are: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByClone;

impl<Request: Clone> Repeat<Request> for ByClone {
    #[inline]
    fn repeat(&self, request: &Request, _attempt: u32) -> Option<Request> {
        Some(request.clone())
    }
}

/// Nothing is repeated: for requests that have no copy, where the layer stands all the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverRepeat;

impl<Request> Repeat<Request> for NeverRepeat {
    #[inline]
    fn repeat(&self, _request: &Request, _attempt: u32) -> Option<Request> {
        None
    }
}
