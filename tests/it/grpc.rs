//! gRPC: codes, heads, trailers, pushback.

use crate::rig::SECOND;
use backstop::kernel::outcome::{Classifier, Outcome};
use backstop::policy::http::grpc::{
    Code, CodeSet, GrpcBody, GrpcClassifier, GrpcRetry, decide, pushback, status,
};
use backstop::policy::retry::{Decision, Hint, RetryWhen};
use backstop::{CircuitBreaker, CircuitBreakerConfig, Error};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

type Reply = Result<Response<()>, Error<u8>>;

fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_bytes(value).unwrap();
            (name.parse().unwrap(), value)
        })
        .collect()
}

#[expect(clippy::unnecessary_wraps, reason = "what a call or a body yields")]
fn reply(http: u16, pairs: &[(&'static str, &[u8])]) -> Reply {
    let mut response = Response::builder().status(http).body(()).unwrap();
    *response.headers_mut() = headers(pairs);
    Ok(response)
}

#[test]
fn ht4a_a_status_that_cannot_be_read_is_unknown() {
    assert_eq!(status(&HeaderMap::new()), None);
    for (value, code) in [
        (&b"0"[..], Code::Ok),
        (b"5", Code::NotFound),
        (b" 14 ", Code::Unavailable),
        (b"16", Code::Unauthenticated),
        (b"014", Code::Unavailable),
        (b"17", Code::Unknown),
        (b"-1", Code::Unknown),
        (b"+14", Code::Unknown),
        (b"", Code::Unknown),
        (b"OK", Code::Unknown),
        (b"14.0", Code::Unknown),
        (b"99999999999999999999", Code::Unknown),
        (b"\xff14", Code::Unknown),
    ] {
        let read = status(&headers(&[("grpc-status", value)]));
        assert_eq!(read, Some(code), "{}", value.escape_ascii());
    }
}

#[test]
fn ht4b_g1a_a_head_is_judged_by_its_status() {
    let classify = |reply: Reply| GrpcClassifier::new().classify(reply.as_ref());
    for code in Code::ALL {
        let text = code.number().to_string();
        let head = reply(200, &[("grpc-status", text.as_bytes())]);
        assert_eq!(classify(head).outcome(), code.outcome(), "{code:?}");
        // The HTTP status says nothing where there is a gRPC one.
        let head = reply(503, &[("grpc-status", text.as_bytes())]);
        assert_eq!(classify(head).outcome(), code.outcome(), "{code:?}");
    }
    assert_eq!(classify(reply(200, &[])).outcome(), Outcome::Success);
    assert_eq!(classify(reply(503, &[])).outcome(), Outcome::Failure);
    assert_eq!(classify(reply(404, &[])).outcome(), Outcome::Success);
    assert_eq!(classify(Err(Error::Inner(1))).outcome(), Outcome::Failure);
    let pushed = reply(
        200,
        &[("grpc-status", b"14"), ("grpc-retry-pushback-ms", b"7000")],
    );
    assert_eq!(classify(pushed).hint(), Some(7 * SECOND));
    let fine = reply(
        200,
        &[("grpc-status", b"0"), ("grpc-retry-pushback-ms", b"7000")],
    );
    assert_eq!(classify(fine).hint(), None);
}

#[test]
fn ht4c_pushback_is_read() {
    let after = |millis| Hint::After(Duration::from_millis(millis));
    for (value, hint) in [
        (&b"0"[..], after(0)),
        (b"1", after(1)),
        (b"2147483647", after(2_147_483_647)),
        (b"2147483648", Hint::Stop),
        (b"99999999999999999999999", Hint::Stop),
        (b"-1", Hint::Stop),
        (b"-99999999999999999999999", Hint::Stop),
        (b"+1", Hint::Stop),
        (b"", Hint::Stop),
        (b"1.5", Hint::Stop),
        (b"soon", Hint::Stop),
        (b"\xff", Hint::Stop),
    ] {
        assert_eq!(pushback(value), hint, "{}", value.escape_ascii());
    }
}

#[test]
fn ht4c_a_call_is_tried_again_by_the_status_in_its_head() {
    let when = GrpcRetry::new();
    let status = |code: Code, pushback: Option<&'static [u8]>| {
        let text = code.number().to_string();
        let mut pairs = vec![("grpc-status", text.as_bytes())];
        pairs.extend(pushback.map(|value| ("grpc-retry-pushback-ms", value)));
        when.decide(reply(200, &pairs).as_ref())
    };
    for code in Code::ALL {
        let expected = if code == Code::Unavailable {
            Decision::Retry
        } else {
            Decision::Accept
        };
        assert_eq!(status(code, None), expected, "{code:?}");
    }
    let after = Decision::Hinted(Hint::After(Duration::from_millis(250)));
    assert_eq!(status(Code::Unavailable, Some(b"250")), after);
    assert_eq!(status(Code::Unavailable, Some(b"-1")), Hint::Stop.into());
    assert_eq!(status(Code::Internal, Some(b"250")), Decision::Accept);
    // The response has begun.
    assert_eq!(when.decide(reply(200, &[]).as_ref()), Decision::Accept);
    // A proxy's answer, and no answer.
    assert_eq!(when.decide(reply(503, &[]).as_ref()), Decision::Retry);
    assert_eq!(when.decide(reply(500, &[]).as_ref()), Decision::Accept);
    let error: Reply = Err(Error::Inner(1));
    assert_eq!(when.decide(error.as_ref()), Decision::Retry);

    let own = CodeSet::NONE.with(Code::Aborted);
    let aborted = reply(200, &[("grpc-status", b"10")]);
    assert_eq!(
        when.transient(own).decide(aborted.as_ref()),
        Decision::Retry
    );
    assert_eq!(decide(own, Code::Unavailable, None), Decision::Accept);
}

/// Messages, then trailers, an error, an end or nothing.
struct Stream {
    frames: Vec<Result<Frame<Bytes>, &'static str>>,
    panics: bool,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        assert!(!self.panics, "a panic in a body, as ordered");
        Poll::Ready((!self.frames.is_empty()).then(|| self.frames.remove(0)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(7)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a call or a body yields")]
fn message() -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(b"message")))
}

#[expect(clippy::unnecessary_wraps, reason = "what a call or a body yields")]
fn trailers(pairs: &[(&'static str, &[u8])]) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::trailers(headers(pairs)))
}

struct Rig {
    breaker: CircuitBreaker,
    before: [u64; 4],
}

impl Rig {
    fn new() -> Self {
        let config = CircuitBreakerConfig::default();
        Self {
            breaker: CircuitBreaker::new("b", config).unwrap(),
            before: [0; 4],
        }
    }

    fn body(
        &self,
        head: &[(&'static str, &[u8])],
        frames: Vec<Result<Frame<Bytes>, &'static str>>,
    ) -> GrpcBody<Stream> {
        let panics = false;
        let response = reply(200, head)
            .unwrap()
            .map(|()| Stream { frames, panics });
        GrpcBody::judge(response, self.breaker.try_acquire_owned().unwrap()).into_body()
    }

    /// Successes, failures, ignored and dropped calls since the last look.
    fn counted(&mut self) -> [u64; 4] {
        let totals = self.breaker.totals();
        let now = [
            totals.success,
            totals.failure,
            totals.ignored,
            totals.dropped,
        ];
        let before = std::mem::replace(&mut self.before, now);
        std::array::from_fn(|n| now[n] - before[n])
    }
}

#[test]
fn ht4b_a_call_is_recorded_by_its_trailers() {
    let mut rig = Rig::new();
    for (status, expected) in [
        (&b"0"[..], [1, 0, 0, 0]),
        (b"5", [1, 0, 0, 0]),
        (b"1", [0, 0, 1, 0]),
        (b"13", [0, 1, 0, 0]),
        (b"nonsense", [0, 1, 0, 0]),
    ] {
        let frames = vec![message(), message(), trailers(&[("grpc-status", status)])];
        let mut body = rig.body(&[], frames);
        assert_eq!(body.size_hint().exact(), Some(7));
        for _ in 0..2 {
            assert!(matches!(body.frame().now_or_never(), Some(Some(Ok(_)))));
            assert_eq!(rig.counted(), [0; 4], "messages are no end");
        }
        assert!(matches!(body.frame().now_or_never(), Some(Some(Ok(_)))));
        assert_eq!(rig.counted(), expected, "{}", status.escape_ascii());
        assert!(matches!(body.frame().now_or_never(), Some(None)));
        assert!(format!("{body:?}").contains("recorded: true"));
        drop(body);
        assert_eq!(rig.counted(), [0; 4], "once");
    }
}

#[test]
fn ht4b_a_call_that_ends_otherwise_is_recorded_too() {
    let mut rig = Rig::new();
    // Trailers only.
    let body = rig.body(&[("grpc-status", b"14")], Vec::new());
    assert_eq!(rig.counted(), [0, 1, 0, 0]);
    drop(body);
    let body = rig.body(&[("grpc-status", b"0")], Vec::new());
    assert_eq!(rig.counted(), [1, 0, 0, 0]);
    drop(body);
    // No status at all.
    let no_status: [Vec<_>; 3] = [
        Vec::new(),
        vec![message()],
        vec![message(), trailers(&[("x", b"y")])],
    ];
    for frames in no_status {
        let mut body = rig.body(&[], frames);
        while let Some(Some(_)) = body.frame().now_or_never() {}
        assert_eq!(rig.counted(), [0, 1, 0, 0]);
    }
    // A broken stream.
    let mut body = rig.body(&[], vec![message(), Err("reset")]);
    assert!(matches!(body.frame().now_or_never(), Some(Some(Ok(_)))));
    assert!(matches!(body.frame().now_or_never(), Some(Some(Err(_)))));
    assert_eq!(rig.counted(), [0, 1, 0, 0]);
    // Dropped by its reader.
    let mut body = rig.body(&[], vec![message(), message()]);
    assert!(matches!(body.frame().now_or_never(), Some(Some(Ok(_)))));
    drop(body);
    assert_eq!(rig.counted(), [0, 0, 0, 1]);
    // A panic.
    let frames = Vec::new();
    let response = Response::new(Stream {
        frames,
        panics: true,
    });
    let permit = rig.breaker.try_acquire_owned().unwrap();
    let mut body = GrpcBody::judge(response, permit).into_body();
    assert!(catch_unwind(AssertUnwindSafe(|| body.frame().now_or_never())).is_err());
    drop(body);
    assert_eq!(rig.counted(), [0, 1, 0, 0]);
}

#[test]
fn ht4b_pushback_in_the_trailers_sets_the_wait_of_the_circuit() {
    let config = CircuitBreakerConfig::consecutive(1);
    let breaker = CircuitBreaker::new("b", config).unwrap();
    let end = trailers(&[("grpc-status", b"8"), ("grpc-retry-pushback-ms", b"30000")]);
    let response = Response::new(Stream {
        frames: vec![message(), end],
        panics: false,
    });
    let permit = breaker.try_acquire_owned().unwrap();
    let collected = GrpcBody::judge(response, permit).into_body().collect();
    assert!(collected.now_or_never().is_some_and(|ended| ended.is_ok()));
    let wait = breaker.try_acquire().map(drop).unwrap_err().retry_after();
    assert!(
        wait > Some(29 * SECOND) && wait <= Some(31 * SECOND),
        "{wait:?}"
    );
}
