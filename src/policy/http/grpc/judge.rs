//! What the head of a gRPC response means, and its trailers.

use super::code::{Code, CodeSet};
use crate::kernel::outcome::{AnyError, Classifier, DefaultClassifier, Verdict};
use crate::policy::retry::{Decision, DefaultRetry, Hint, RetryWhen};
use http::{HeaderMap, Response, StatusCode};
use std::time::Duration;

const STATUS: &str = "grpc-status";
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The status in these headers or trailers; `None` if there is none.
///
/// A status that cannot be read is [`Code::Unknown`].
///
/// ```
/// use backstop::policy::http::grpc::{Code, status};
/// use http::{HeaderMap, HeaderValue};
///
/// let mut trailers = HeaderMap::new();
/// assert_eq!(status(&trailers), None);
/// trailers.insert("grpc-status", HeaderValue::from_static("14"));
/// assert_eq!(status(&trailers), Some(Code::Unavailable));
/// ```
pub fn status(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(STATUS)
        .map(|value| number(value.as_bytes()).map_or(Code::Unknown, Code::from_number))
}

/// The server's pushback in these headers or trailers; `None` if there is none.
pub fn pushback_of(headers: &HeaderMap) -> Option<Hint> {
    headers
        .get(PUSHBACK)
        .map(|value| pushback(value.as_bytes()))
}

/// What a value of `grpc-retry-pushback-ms` asks for: a wait, or, if it is negative or cannot be
/// read, no other attempt (gRFC A6).
///
/// ```
/// use backstop::policy::http::grpc::pushback;
/// use backstop::policy::retry::Hint;
/// use std::time::Duration;
///
/// assert_eq!(pushback(b"250"), Hint::After(Duration::from_millis(250)));
/// assert_eq!(pushback(b"-1"), Hint::Stop);
/// ```
pub fn pushback(value: &[u8]) -> Hint {
    match number(value).map(u64::try_from) {
        Some(Ok(millis)) => Hint::After(Duration::from_millis(millis)),
        _ => Hint::Stop,
    }
}

/// Digits, perhaps behind a minus sign; no plus, which `i32` would read.
fn number(value: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(value).ok()?.trim_ascii();
    if text.starts_with('+') {
        return None;
    }
    text.parse().ok()
}

/// Whether a call with this code, and perhaps this pushback, is worth another attempt.
///
/// Pushback says when and whether, and only of a code that is worth one.
///
/// ```
/// use backstop::policy::http::grpc::{CodeSet, decide, Code, pushback};
/// use backstop::policy::retry::Decision;
///
/// // With tonic: `Code::from_number(status.code() as i32)`, and the pushback out of
/// // `status.metadata().get("grpc-retry-pushback-ms")`.
/// assert_eq!(decide(CodeSet::TRANSIENT, Code::Unavailable, None), Decision::Retry);
/// assert_eq!(decide(CodeSet::TRANSIENT, Code::NotFound, None), Decision::Accept);
/// let stop = Some(pushback(b"-1"));
/// assert!(matches!(decide(CodeSet::TRANSIENT, Code::Unavailable, stop), Decision::Hinted(_)));
/// ```
pub fn decide(transient: CodeSet, code: Code, pushback: Option<Hint>) -> Decision {
    match pushback {
        _ if !transient.contains(code) => Decision::Accept,
        Some(hint) => hint.into(),
        None => Decision::Retry,
    }
}

/// The verdict on a call with this code and pushback, which becomes the hint of a failure.
pub fn verdict(code: Code, pushback: Option<Hint>) -> Verdict {
    let verdict = Verdict::from(code.outcome());
    match pushback {
        Some(Hint::After(wait)) if code.outcome() == crate::kernel::outcome::Outcome::Failure => {
            verdict.with_hint(wait)
        }
        _ => verdict,
    }
}

/// The status that the head of a response has: its own ("trailers only"), or that of an HTTP status
/// which is no gRPC at all; `None` if it stands in the trailers.
pub(super) fn head<B>(response: &Response<B>) -> Option<Code> {
    match status(response.headers()) {
        None if response.status() != StatusCode::OK => Some(Code::of_http(response.status())),
        status => status,
    }
}

/// Judges a gRPC call by the head of its response, as far as that knows.
///
/// A call that fails before its first message usually says so in the head ("trailers only"), and so
/// does a proxy, by its HTTP status. A head without a status counts as a success here: what came
/// behind its messages is heard by a [`GrpcBody`](super::GrpcBody) only.
///
/// Errors are judged as by [`HttpClassifier`](super::super::HttpClassifier).
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcClassifier<D = DefaultClassifier> {
    errors: D,
}

impl GrpcClassifier {
    /// The default: for calls whose error can be an inner policy's rejection.
    pub const fn new() -> Self {
        Self {
            errors: DefaultClassifier,
        }
    }
}

impl GrpcClassifier<AnyError> {
    /// For calls whose error is a client's own: each is a failure.
    pub const fn any_error() -> Self {
        Self { errors: AnyError }
    }
}

impl<B, E, D> Classifier<Response<B>, E> for GrpcClassifier<D>
where
    D: Classifier<Response<B>, E>,
{
    fn classify(&self, result: Result<&Response<B>, &E>) -> Verdict {
        match result {
            Ok(response) => match head(response) {
                Some(code) => verdict(code, pushback_of(response.headers())),
                None => Verdict::success(),
            },
            Err(_) => self.errors.classify(result),
        }
    }
}

/// Retries a gRPC call by the head of its response.
///
/// That is where gRFC A6 draws the line: a call whose response has begun is not retried. By default
/// [`CodeSet::TRANSIENT`] is; pushback is obeyed. An error is tried again, by [`DefaultRetry`].
///
/// All gRPC calls are POSTs, so the layer needs
/// [`RepeatHttp::any_method`](super::super::RepeatHttp::any_method): put it around calls that may be
/// made twice.
#[derive(Clone, Copy, Debug)]
pub struct GrpcRetry<D = DefaultRetry> {
    transient: CodeSet,
    errors: D,
}

impl GrpcRetry {
    /// The default: for calls whose error can be an inner policy's rejection.
    pub const fn new() -> Self {
        Self {
            transient: CodeSet::TRANSIENT,
            errors: DefaultRetry,
        }
    }
}

impl GrpcRetry<AnyError> {
    /// For calls whose error is a client's own: each is tried again.
    pub const fn any_error() -> Self {
        Self {
            transient: CodeSet::TRANSIENT,
            errors: AnyError,
        }
    }
}

impl<D> GrpcRetry<D> {
    /// These codes are worth another attempt instead.
    pub const fn transient(mut self, transient: CodeSet) -> Self {
        self.transient = transient;
        self
    }
}

impl Default for GrpcRetry {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, E, D> RetryWhen<Response<B>, E> for GrpcRetry<D>
where
    D: RetryWhen<Response<B>, E>,
{
    fn decide(&self, result: Result<&Response<B>, &E>) -> Decision {
        match result {
            Ok(response) => head(response).map_or(Decision::Accept, |code| {
                decide(self.transient, code, pushback_of(response.headers()))
            }),
            Err(_) => self.errors.decide(result),
        }
    }
}
