//! Which requests may be sent twice, and how they are copied.

use crate::policy::retry::{ByClone, Repeat};
use http::{Method, Request};
use http_body::Body;

/// Repeats requests of idempotent methods, if their body can be copied.
///
/// Idempotent are GET, HEAD, OPTIONS, TRACE, PUT and DELETE (RFC 9110, section 9.2.2). Another
/// request is a single attempt, unless it is [marked](Idempotent), or
/// [`any_method`](Self::any_method) is told of all. Method, URI, version, headers and extensions are
/// copied as they are.
///
/// How a body is copied is a [`Repeat`] of bodies. A body that has no copy makes the call a single
/// attempt too.
///
/// | body | |
/// |---|---|
/// | can be cloned (`Full<Bytes>`, `Empty`, `String`, `()`) | [`RepeatHttp::new`] |
/// | streams, and often is empty (axum's and tonic's `Body`, boxed ones) | [`RepeatHttp::empty_bodies`]: copied when there is nothing in it |
/// | anything else | [`RepeatHttp::bodies_by`], with reqwest's `try_clone`, say |
///
/// ```
/// use backstop::policy::http::RepeatHttp;
/// use backstop::policy::retry::Repeat;
/// use http::Request;
///
/// let repeat = RepeatHttp::new();
/// let get = Request::get("/orders/7").body(()).unwrap();
/// assert!(repeat.repeat(&get, 2).is_some());
/// let post = Request::post("/orders").body(()).unwrap();
/// assert!(repeat.repeat(&post, 2).is_none());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RepeatHttp<R = ByClone> {
    any_method: bool,
    bodies: R,
}

/// Marks one request as safe to be sent twice, whatever its method: put it into the extensions.
///
/// A POST that carries an idempotency key its callee knows is one.
///
/// ```
/// use backstop::policy::http::{Idempotent, RepeatHttp};
/// use backstop::policy::retry::Repeat;
/// use http::Request;
///
/// let post = Request::post("/orders").header("idempotency-key", "8e03978e").extension(Idempotent);
/// assert!(RepeatHttp::new().repeat(&post.body(()).unwrap(), 2).is_some());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idempotent;

impl RepeatHttp {
    /// Bodies are cloned.
    pub const fn new() -> Self {
        Self {
            any_method: false,
            bodies: ByClone,
        }
    }
}

impl RepeatHttp<EmptyBodies> {
    /// Bodies that have ended before they began are replaced by another empty one; others are not
    /// copied.
    pub const fn empty_bodies() -> Self {
        Self {
            any_method: false,
            bodies: EmptyBodies,
        }
    }
}

impl<R> RepeatHttp<R> {
    /// Bodies are copied by `bodies`: by a function of a body and the number of the attempt.
    pub const fn bodies_by(bodies: R) -> Self {
        Self {
            any_method: false,
            bodies,
        }
    }

    /// Repeats requests of all methods: the callee has to know a repeated one when it sees it.
    pub const fn any_method(mut self) -> Self {
        self.any_method = true;
        self
    }

    fn may_repeat<B>(&self, request: &Request<B>) -> bool {
        self.any_method
            || is_idempotent(request.method())
            || request.extensions().get::<Idempotent>().is_some()
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

impl<B, R: Repeat<B>> Repeat<Request<B>> for RepeatHttp<R> {
    fn repeat(&self, request: &Request<B>, attempt: u32) -> Option<Request<B>> {
        if !self.may_repeat(request) {
            return None;
        }
        let mut copy = Request::new(self.bodies.repeat(request.body(), attempt)?);
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.version_mut() = request.version();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        Some(copy)
    }
}

/// Repeats bodies in which there is nothing; see [`RepeatHttp::empty_bodies`].
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyBodies;

impl<B: Body + Default> Repeat<B> for EmptyBodies {
    fn repeat(&self, body: &B, _attempt: u32) -> Option<B> {
        body.is_end_stream().then(B::default)
    }
}
