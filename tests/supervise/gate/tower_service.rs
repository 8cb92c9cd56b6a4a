//! The gate as a tower layer.

use super::{MS, REFUSED, SECOND, Task, config, gate, refused_for, told};
use backstop::Rejection;
use backstop::kernel::rejection::RejectionKind;
use backstop::supervise::microreboot::{Gate, GateLayer, Idempotence};
use futures::FutureExt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// How the inner service answers when it is asked whether it is ready.
const READY: usize = 0;
const BUSY: usize = 1;
const GONE: usize = 2;

#[derive(Clone, Default)]
struct Inner {
    answer: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    called: Arc<AtomicUsize>,
}

impl Service<&'static str> for Inner {
    type Response = &'static str;
    type Error = Rejection;
    type Future = Ready<Result<&'static str, Rejection>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.answer.load(Ordering::SeqCst) {
            READY => Poll::Ready(Ok(())),
            BUSY => Poll::Pending,
            _ => Poll::Ready(Err(Rejection::new(
                "inner",
                "gone".into(),
                RejectionKind::Shed,
            ))),
        }
    }

    fn call(&mut self, request: &'static str) -> Self::Future {
        self.called.fetch_add(1, Ordering::SeqCst);
        ready(Ok(request))
    }
}

fn layered(
    gate: &Gate,
    inner: &Inner,
) -> impl Service<&'static str, Response = &'static str, Error = Rejection> + use<> {
    GateLayer::new(gate.clone())
        .idempotent(|request: &&str| request.starts_with("GET"))
        .layer(inner.clone())
}

fn poll_ready<S: Service<&'static str>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(futures::task::noop_waker_ref()))
}

#[test]
fn mr8b_no_request_is_idempotent_by_default() {
    let (gate, _clock) = gate(config());
    let inner = Inner::default();
    let mut service = GateLayer::new(gate.clone()).layer(inner.clone());
    let _reboot = gate.begin_reboot();
    assert!(poll_ready(&mut service).is_ready());
    let refused = service.call("GET").now_or_never().unwrap().unwrap_err();
    assert_eq!(told(&refused), REFUSED);
    assert_eq!(inner.called.load(Ordering::SeqCst), 0);
}

#[test]
fn mr8n_a_shut_gate_is_ready_without_asking_and_a_waiting_call_asks_when_it_opens() {
    let (gate, clock) = gate(config());
    let inner = Inner::default();
    inner.answer.store(BUSY, Ordering::SeqCst);
    let mut service = layered(&gate, &inner);
    assert!(poll_ready(&mut service).is_pending());
    let asked = || inner.asked.swap(0, Ordering::SeqCst);
    assert_eq!(asked(), 1);
    let reboot = gate.begin_reboot();
    assert!(matches!(poll_ready(&mut service), Poll::Ready(Ok(()))));
    let mut get = Task::new(service.call("GET"));
    get.is_pending();
    assert_eq!((asked(), gate.parked()), (0, 1));
    reboot.succeed();
    assert!(get.is_woken());
    get.is_pending();
    assert_eq!((asked(), gate.parked()), (1, 0));
    inner.answer.store(READY, Ordering::SeqCst);
    let again = gate.begin_reboot();
    get.is_pending();
    assert_eq!((asked(), gate.parked()), (0, 1), "shut again meanwhile");
    clock.advance(MS);
    again.succeed();
    assert_eq!(get.ready().unwrap(), "GET");
    assert_eq!((asked(), inner.called.load(Ordering::SeqCst)), (1, 1));
}

#[test]
fn mr8n_the_wait_for_the_inner_service_is_a_part_of_the_wait() {
    let (gate, clock) = gate(config());
    let inner = Inner::default();
    inner.answer.store(BUSY, Ordering::SeqCst);
    let mut service = layered(&gate, &inner);
    let reboot = gate.begin_reboot();
    assert!(poll_ready(&mut service).is_ready());
    let mut get = Task::new(service.call("GET"));
    get.is_pending();
    clock.advance(500 * MS);
    reboot.succeed();
    get.is_pending();
    clock.advance(1_500 * MS);
    assert_eq!(told(&get.ready().unwrap_err()), refused_for(500 * MS));

    inner.answer.store(GONE, Ordering::SeqCst);
    let reboot = gate.begin_reboot();
    assert!(poll_ready(&mut service).is_ready());
    let mut get = Task::new(service.call("GET"));
    get.is_pending();
    reboot.succeed();
    assert_eq!(get.ready().unwrap_err().kind(), RejectionKind::Shed);
}

#[test]
fn mr8n_a_call_over_a_service_that_was_not_asked_is_not_made_blindly() {
    let (gate, clock) = gate(config());
    let inner = Inner::default();
    let mut service = layered(&gate, &inner);
    let reboot = gate.begin_reboot();
    assert!(poll_ready(&mut service).is_ready());
    clock.advance(SECOND);
    reboot.succeed();
    // The gate is open, and nobody asked the inner service.
    let post = service.call("POST").now_or_never().unwrap();
    assert_eq!(told(&post.unwrap_err()), REFUSED);
    assert!(poll_ready(&mut service).is_ready());
    gate.begin_reboot().succeed();
    assert_eq!(service.call("GET").now_or_never().unwrap().unwrap(), "GET");
    assert_eq!(service.call("GET").now_or_never().unwrap().unwrap(), "GET");
    assert!(gate.enter(Idempotence::Unknown).is_ok());
}

#[test]
fn mr8a_a_call_that_is_dropped_before_it_is_polled_is_not_bad() {
    let (gate, _clock) = gate(config());
    let mut service = layered(&gate, &Inner::default());
    assert!(poll_ready(&mut service).is_ready());
    drop(service.call("GET"));
    assert_eq!((gate.seen().bad, gate.seen().all), (0, 1));
    assert_eq!(gate.in_flight(), 0);
}
