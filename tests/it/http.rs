//! HTTP: what responses mean, what is sent twice, and where a call ends.

use crate::rig::SECOND;
use backstop::kernel::clock::Clock;
use backstop::kernel::name::Name;
use backstop::kernel::outcome::{Classifier, Outcome, Verdict};
use backstop::kernel::rejection::RejectionKind;
use backstop::policy::circuit_breaker::{DroppedCalls, State};
use backstop::policy::http::{
    HoldingBody, HttpClassifier, HttpRetry, Idempotent, JudgedBody, RepeatHttp, StatusSet,
};
use backstop::policy::retry::{Decision, Hint, Repeat, RetryWhen};
use backstop::{
    Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Error, Rejection, Retry,
    RetryConfig, RetryLayer,
};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use std::cell::Cell;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, ServiceExt, service_fn};

type Reply = Result<Response<()>, Error<u8>>;

#[expect(clippy::unnecessary_wraps, reason = "what a call or a body yields")]
fn response(status: u16, retry_after: Option<&'static str>) -> Reply {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(value) = retry_after {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert("retry-after", value);
    }
    Ok(response)
}

fn rejected(kind: RejectionKind) -> Reply {
    Err(Rejection::new("inner", Name::from("inner"), kind).into())
}

#[test]
fn ht1a_g1a_statuses_and_errors_are_judged() {
    let classifier = HttpClassifier::new();
    let outcome = |reply: &Reply| classifier.classify(reply.as_ref()).outcome();
    for (status, expected) in [
        (200, Outcome::Success),
        (304, Outcome::Success),
        (404, Outcome::Success),
        (408, Outcome::Failure),
        (429, Outcome::Failure),
        (500, Outcome::Failure),
        (501, Outcome::Success),
        (503, Outcome::Failure),
        (599, Outcome::Failure),
        (999, Outcome::Failure),
    ] {
        assert_eq!(outcome(&response(status, None)), expected, "{status}");
    }
    assert_eq!(outcome(&Err(Error::Inner(1))), Outcome::Failure);
    for (kind, expected) in [
        (RejectionKind::Open, Outcome::Ignored),
        (RejectionKind::Full, Outcome::Ignored),
        (RejectionKind::TimedOut, Outcome::Failure),
    ] {
        assert_eq!(outcome(&rejected(kind)), expected, "{kind:?}");
    }
    let own = HttpClassifier::new().failures(StatusSet::NONE.with(StatusCode::NOT_FOUND));
    let own = own.errors_by(|_: Result<&Response<()>, &Error<u8>>| Outcome::Ignored);
    let outcome = |reply: &Reply| own.classify(reply.as_ref()).outcome();
    assert_eq!(outcome(&response(404, None)), Outcome::Failure);
    assert_eq!(outcome(&response(503, None)), Outcome::Success);
    assert_eq!(outcome(&Err(Error::Inner(1))), Outcome::Ignored);
    let foreign = HttpClassifier::any_error().classify(Err::<&Response<()>, _>(&"refused"));
    assert_eq!(foreign.outcome(), Outcome::Failure);
}

#[test]
fn ht1b_a_circuit_stays_open_for_as_long_as_the_callee_asks() {
    let classifier = HttpClassifier::new();
    let hint = |reply: Reply| classifier.classify(reply.as_ref()).hint();
    assert_eq!(hint(response(503, Some("7"))), Some(7 * SECOND));
    assert_eq!(hint(response(503, Some("soon"))), None);
    assert_eq!(hint(response(200, Some("7"))), None);

    for (value, wait) in [("7", 7), ("99999999999999999999", 60), ("0", 5)] {
        let config = CircuitBreakerConfig::consecutive(1).open_wait(5 * SECOND, 1.0, 60 * SECOND);
        let breaker =
            CircuitBreaker::with_clock("b", config.open_wait_jitter(0.0), Clock::manual()).unwrap();
        let call = breaker.call_with(classifier, || async { response(429, Some(value)) });
        assert!(call.now_or_never().is_some());
        let rejection = breaker.try_acquire().map(drop).unwrap_err();
        assert_eq!(rejection.retry_after(), Some(wait * SECOND), "{value}");
    }
}

#[test]
fn ht2a_rt4b_statuses_and_errors_are_tried_again() {
    let when = HttpRetry::new();
    let decide = |reply: Reply| when.decide(reply.as_ref());
    for status in [200, 301, 400, 404, 409, 501, 505] {
        assert_eq!(
            decide(response(status, Some("1"))),
            Decision::Accept,
            "{status}"
        );
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 520] {
        assert_eq!(decide(response(status, None)), Decision::Retry, "{status}");
        let after = Decision::Hinted(Hint::After(3 * SECOND));
        assert_eq!(decide(response(status, Some("3"))), after, "{status}");
        assert_eq!(decide(response(status, Some("-3"))), Decision::Retry);
    }
    assert_eq!(decide(Err(Error::Inner(1))), Decision::Retry);
    assert_eq!(decide(rejected(RejectionKind::Open)), Decision::Accept);
    let own = when
        .transient(StatusSet::NONE.with(StatusCode::CONFLICT))
        .errors_by(|_: Result<&Response<()>, &Error<u8>>| false);
    assert_eq!(own.decide(response(409, None).as_ref()), Decision::Retry);
    assert_eq!(own.decide(response(503, None).as_ref()), Decision::Accept);
    let error = Err(Error::Inner(1));
    assert_eq!(own.decide(error.as_ref()), Decision::Accept);
}

#[test]
fn ht2b_a_copy_has_all_of_its_original() {
    let original = Request::builder()
        .method(Method::PUT)
        .uri("https://example.com/a?b=c")
        .version(Version::HTTP_2)
        .header("x", "1")
        .header("x", "2")
        .extension(7_u8)
        .body(String::from("body"))
        .unwrap();
    let copy = RepeatHttp::new().repeat(&original, 2).expect("idempotent");
    assert_eq!(copy.method(), original.method());
    assert_eq!(copy.uri(), original.uri());
    assert_eq!(copy.version(), original.version());
    assert_eq!(copy.headers(), original.headers());
    assert_eq!(copy.extensions().get::<u8>(), Some(&7));
    assert_eq!(copy.body(), original.body());
}

#[test]
fn ht2b_only_idempotent_methods_are_sent_twice_unless_told() {
    let other = Method::from_bytes(b"BREW").unwrap();
    for (method, is_idempotent) in [
        (Method::GET, true),
        (Method::HEAD, true),
        (Method::OPTIONS, true),
        (Method::TRACE, true),
        (Method::PUT, true),
        (Method::DELETE, true),
        (Method::POST, false),
        (Method::PATCH, false),
        (Method::CONNECT, false),
        (other, false),
    ] {
        let request = |marked| {
            let request = Request::builder().method(method.clone());
            let request = if marked {
                request.extension(Idempotent)
            } else {
                request
            };
            request.body(()).unwrap()
        };
        let repeats = |repeat: RepeatHttp, marked| repeat.repeat(&request(marked), 2).is_some();
        assert_eq!(repeats(RepeatHttp::new(), false), is_idempotent, "{method}");
        assert!(repeats(RepeatHttp::new(), true), "{method}");
        assert!(repeats(RepeatHttp::new().any_method(), false), "{method}");
    }
}

/// A body that streams: it has no copy, and does not know its end before it is there.
#[derive(Default)]
struct Stream {
    frames: Vec<Result<Frame<Bytes>, &'static str>>,
    pending: bool,
    panics: bool,
    knows_its_end: bool,
}

impl Stream {
    fn of(chunks: &[&'static str]) -> Self {
        let frame = |chunk: &&'static str| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())));
        Self {
            frames: chunks.iter().rev().map(frame).collect(),
            ..Self::default()
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        assert!(!self.panics, "a panic in a body, as ordered");
        if self.pending {
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop())
    }

    fn is_end_stream(&self) -> bool {
        self.knows_its_end && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(7)
    }
}

#[test]
fn ht2c_a_body_without_a_copy_makes_a_single_attempt() {
    let get = |body| Request::get("/").body(body).unwrap();
    let ended = || Stream {
        knows_its_end: true,
        ..Stream::default()
    };
    let empty = RepeatHttp::empty_bodies();
    assert!(empty.repeat(&get(ended()), 2).is_some());
    assert!(empty.repeat(&get(Stream::of(&["a"])), 2).is_none());
    assert!(
        empty.repeat(&get(Stream::default()), 2).is_none(),
        "who knows"
    );
    let post = Request::post("/").body(ended()).unwrap();
    assert!(empty.repeat(&post, 2).is_none());
    let own = RepeatHttp::bodies_by(|_: &Stream, attempt| (attempt == 2).then(Stream::default));
    assert!(own.repeat(&get(Stream::of(&["a"])), 2).is_some());
    assert!(own.repeat(&get(Stream::of(&["a"])), 3).is_none());
}

fn layer<R>(repeat: R) -> RetryLayer<HttpRetry, R> {
    let retry = Retry::with_clock("r", RetryConfig::default(), Clock::tokio()).unwrap();
    RetryLayer::new(retry).when(HttpRetry::new()).repeat(repeat)
}

#[tokio::test(start_paused = true)]
async fn ht2a_ht2c_rt2a_rt4c_through_tower_a_call_is_made_again_as_the_callee_asks() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = service_fn({
        let seen = seen.clone();
        move |request: Request<Stream>| {
            let at = Clock::tokio().now();
            let mut seen = seen.lock().unwrap();
            seen.push((request.method().clone(), at));
            let is_first = seen.len() % 2 == 1;
            let status = if is_first { 503 } else { 200 };
            let reply = Response::builder()
                .status(status)
                .header("retry-after", "9");
            std::future::ready(Ok::<_, Error<Infallible>>(reply.body(()).unwrap()))
        }
    });
    let send = async |request: Request<Stream>| {
        seen.lock().unwrap().clear();
        let client = layer(RepeatHttp::empty_bodies()).layer(server.clone());
        let reply = client.oneshot(request).await.unwrap();
        let seen = seen.lock().unwrap();
        let waited = match &seen[..] {
            [(_, first), (_, second)] => second.saturating_duration_since(*first),
            _ => Duration::ZERO,
        };
        (reply.status().as_u16(), seen.len(), waited)
    };
    let ended = || Stream {
        knows_its_end: true,
        ..Stream::default()
    };
    let get = Request::get("/").body(ended()).unwrap();
    assert_eq!(send(get).await, (200, 2, 9 * SECOND));
    let post = Request::post("/").body(ended()).unwrap();
    assert_eq!(send(post).await, (503, 1, Duration::ZERO));
    let streams = Request::put("/").body(Stream::of(&["a"])).unwrap();
    assert_eq!(send(streams).await, (503, 1, Duration::ZERO));
}

/// Counts its drops.
#[derive(Clone, Default)]
struct Counts(Rc<Cell<u32>>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

type Yielded<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

fn frame<B: Body + Unpin>(body: &mut B) -> Option<Yielded<B>> {
    body.frame().now_or_never()
}

#[test]
fn ht3a_a_body_holds_until_it_has_ended_or_failed_or_was_dropped() {
    let drops = Rc::new(Cell::new(0));
    let held = || Counts(drops.clone());
    let released = || drops.replace(0);

    // It ends, with and without a word before.
    for knows_its_end in [false, true] {
        let stream = Stream {
            knows_its_end,
            ..Stream::of(&["a", "b"])
        };
        let mut body = HoldingBody::new(stream, held());
        assert_eq!(body.size_hint().exact(), Some(7));
        assert!(matches!(frame(&mut body), Some(Some(Ok(_)))));
        assert_eq!(released(), 0);
        assert!(matches!(frame(&mut body), Some(Some(Ok(_)))));
        assert_eq!(
            (released(), body.is_end_stream()),
            (u32::from(knows_its_end), knows_its_end)
        );
        assert!(matches!(frame(&mut body), Some(None)));
        assert_eq!(released(), u32::from(!knows_its_end));
        assert!(matches!(frame(&mut body), Some(None)));
        assert!(format!("{body:?}").contains("holds: false"));
        drop(body);
        assert_eq!(released(), 0);
    }

    // It fails.
    let mut stream = Stream::of(&["a"]);
    stream.frames.insert(0, Err("reset"));
    let mut body = HoldingBody::new(stream, held());
    assert!(matches!(frame(&mut body), Some(Some(Ok(_)))));
    assert_eq!(released(), 0);
    assert!(matches!(frame(&mut body), Some(Some(Err("reset")))));
    assert_eq!(released(), 1);

    // It is dropped, while it is pending or before it was polled.
    let pending = || Stream {
        pending: true,
        ..Stream::default()
    };
    let mut body = HoldingBody::new(pending(), held());
    assert!(frame(&mut body).is_none());
    assert_eq!(released(), 0);
    drop(body);
    assert_eq!(released(), 1);
    drop(HoldingBody::new(pending(), held()));
    assert_eq!(released(), 1);

    // It panics.
    let mut body = HoldingBody::new(
        Stream {
            panics: true,
            ..Stream::default()
        },
        held(),
    );
    assert!(catch_unwind(AssertUnwindSafe(|| frame(&mut body))).is_err());
    drop(body);
    assert_eq!(released(), 1);

    // There is nothing in it.
    let body = HoldingBody::new(Empty::<Bytes>::new(), held());
    assert_eq!(released(), 1);
    drop(body);
    assert_eq!(released(), 0);
}

#[tokio::test]
async fn ht3a_a_slot_of_a_bulkhead_is_taken_until_the_body_has_ended() {
    let config = BulkheadConfig::default().max_concurrent(1);
    let bulkhead = Bulkhead::new("b", config).unwrap();
    let permit = bulkhead.try_acquire_owned().unwrap();
    let response =
        Response::new(Full::<Bytes>::from("body")).map(|body| HoldingBody::new(body, permit));
    assert!(bulkhead.try_acquire().is_err());
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "body"
    );
    assert!(bulkhead.try_acquire().is_ok());
}

fn judged(breaker: &CircuitBreaker, status: u16, body: Stream) -> JudgedBody<Stream> {
    let permit = breaker.try_acquire_owned().unwrap();
    let head = HttpClassifier::new().classify(response(status, Some("7")).as_ref());
    JudgedBody::new(body, permit, head)
}

/// Successes, failures, ignored and dropped calls since the last look.
fn counted(breaker: &CircuitBreaker, before: &mut [u64; 4]) -> [u64; 4] {
    let totals = breaker.totals();
    let now = [
        totals.success,
        totals.failure,
        totals.ignored,
        totals.dropped,
    ];
    let before = std::mem::replace(before, now);
    std::array::from_fn(|n| now[n] - before[n])
}

#[test]
fn ht3b_a_breakers_call_ends_with_its_body() {
    let breaker = CircuitBreaker::new("b", CircuitBreakerConfig::default()).unwrap();
    let mut before = [0; 4];
    let mut counted = || counted(&breaker, &mut before);

    for knows_its_end in [false, true] {
        let stream = Stream {
            knows_its_end,
            ..Stream::of(&["a"])
        };
        let mut body = judged(&breaker, 200, stream);
        assert_eq!(counted(), [0; 4]);
        assert!(matches!(frame(&mut body), Some(Some(Ok(_)))));
        assert_eq!(counted(), [u64::from(knows_its_end), 0, 0, 0]);
        assert!(matches!(frame(&mut body), Some(None)));
        assert_eq!(counted(), [u64::from(!knows_its_end), 0, 0, 0]);
        drop(body);
        assert_eq!(counted(), [0; 4]);
    }

    let mut stream = Stream::of(&[]);
    stream.frames.push(Err("reset"));
    let mut body = judged(&breaker, 200, stream);
    assert!(matches!(frame(&mut body), Some(Some(Err("reset")))));
    assert_eq!(counted(), [0, 1, 0, 0]);
    assert!(format!("{body:?}").contains("recorded: true"));

    let unread = judged(&breaker, 503, Stream::of(&["an error page"]));
    assert_eq!(counted(), [0, 1, 0, 0], "a bad head needs no body");
    drop(unread);
    assert_eq!(counted(), [0; 4]);

    let ended = || Stream {
        knows_its_end: true,
        ..Stream::default()
    };
    let body = judged(&breaker, 200, ended());
    assert_eq!(counted(), [1, 0, 0, 0], "there is no body");
    drop(body);

    drop(judged(&breaker, 200, Stream::of(&["a"])));
    assert_eq!(counted(), [0, 0, 0, 1]);

    let panics = Stream {
        panics: true,
        ..Stream::default()
    };
    let mut body = judged(&breaker, 200, panics);
    assert!(catch_unwind(AssertUnwindSafe(|| frame(&mut body))).is_err());
    drop(body);
    assert_eq!(counted(), [0, 1, 0, 0]);
}

#[test]
fn ht3b_a_body_that_hangs_is_a_slow_call() {
    let clock = Clock::manual();
    let config = CircuitBreakerConfig::default()
        .slow_calls(SECOND, 1.0)
        .dropped_calls(DroppedCalls::FailureIfSlow);
    let breaker = CircuitBreaker::with_clock("b", config, &clock).unwrap();
    let pending = Stream {
        pending: true,
        ..Stream::default()
    };
    let mut body = judged(&breaker, 200, pending);
    assert!(frame(&mut body).is_none());
    clock.advance(2 * SECOND);
    drop(body);
    assert_eq!(breaker.totals().failure, 1);
}

#[test]
fn ht3b_a_failed_heads_hint_opens_the_circuit() {
    let config = CircuitBreakerConfig::consecutive(1);
    let breaker = CircuitBreaker::with_clock("b", config, Clock::manual()).unwrap();
    let _body = judged(&breaker, 429, Stream::of(&["later"]));
    assert_eq!(breaker.state(), State::Open);
    let rejection = breaker.try_acquire().map(drop).unwrap_err();
    assert_eq!(rejection.retry_after(), Some(7 * SECOND));
}

/// A body whose end comes in behind its last frame, while nobody polls it.
struct Late(Rc<Cell<bool>>);

impl Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.0.get()
    }
}

#[test]
fn ht3b_a_body_that_has_ended_by_the_time_it_is_dropped_has_ended() {
    let breaker = CircuitBreaker::new("b", CircuitBreakerConfig::default()).unwrap();
    let mut before = [0; 4];
    for (has_ended, expected) in [(true, [1, 0, 0, 0]), (false, [0, 0, 0, 1])] {
        let end = Rc::new(Cell::new(false));
        let permit = breaker.try_acquire_owned().unwrap();
        let mut body = JudgedBody::new(Late(end.clone()), permit, Verdict::success());
        assert!(frame(&mut body).is_none());
        end.set(has_ended);
        drop(body);
        assert_eq!(counted(&breaker, &mut before), expected);
    }
}
