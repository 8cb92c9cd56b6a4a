//! What a guarded call costs over a bare one, each case in one run beside `fetch_add`, the cost of
//! one uncontended relaxed add (F), in which the targets are stated.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the time itself"
)]

use backstop::kernel::budget::BudgetConfig;
use backstop::kernel::clock::Clock;
use backstop::kernel::outcome::AnyError;
use backstop::kernel::rejection::Error as CallError;
use backstop::policy::bulkhead::{
    Compartment, CompartmentConfig, Compartments, CompartmentsConfig,
};
use backstop::policy::circuit_breaker::Window;
use backstop::supervise::microreboot::{Gate, GateConfig};
use backstop::{
    Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Pipeline, PipelineConfig,
    Retry, RetryBudget, RetryConfig, Timeout,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::future::{Future, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type Reply = Result<u32, u32>;

/// One call that is ready at its first poll, through whatever is measured.
trait Call: Sync {
    fn call(&self, reply: Reply) -> bool;
}

/// Polls a call that is ready at once, and looks at its result where it is: moving it on is the
/// caller's cost, and a bare call's result has a word where a guarded one's has nine.
fn succeeds<T, E>(call: impl Future<Output = Result<T, E>>) -> bool {
    let mut call = pin!(call);
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.is_ok(),
        Poll::Pending => unreachable!("the operation is ready at once"),
    }
}

struct Bare;
impl Call for Bare {
    fn call(&self, reply: Reply) -> bool {
        succeeds(async { ready(black_box(reply)).await })
    }
}

struct FetchAdd(AtomicU64);
impl Call for FetchAdd {
    fn call(&self, reply: Reply) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        black_box(reply).is_ok()
    }
}

/// The breaker's async call on a borrowed handle.
struct Borrowed(CircuitBreaker);
impl Call for Borrowed {
    fn call(&self, reply: Reply) -> bool {
        succeeds(self.0.call_with(AnyError, || ready(black_box(reply))))
    }
}

/// The same on a handle that is cloned for the call, as a tower service must.
struct Cloned(CircuitBreaker);
impl Call for Cloned {
    fn call(&self, reply: Reply) -> bool {
        let breaker = self.0.clone();
        succeeds(async move {
            breaker
                .call_with(AnyError, || ready(black_box(reply)))
                .await
        })
    }
}

/// A timeout's async call on a borrowed handle: it is ready at its first poll.
struct Timed(Timeout);
impl Call for Timed {
    fn call(&self, reply: Reply) -> bool {
        succeeds(self.0.call(|| ready(black_box(reply))))
    }
}

/// The retry's async call on a borrowed handle; the first attempt succeeds.
struct Retried(Retry);
impl Call for Retried {
    fn call(&self, reply: Reply) -> bool {
        succeeds(self.0.call(|_| ready(black_box(reply))))
    }
}

fn retry(budget: BudgetConfig) -> Retry {
    Retry::new("bench", RetryConfig::default().budget(budget)).expect("a valid configuration")
}

fn retry_on_shared_budget() -> Retry {
    let budget = RetryBudget::new(BudgetConfig::default()).expect("a valid configuration");
    Retry::with_budget("bench", RetryConfig::default(), Clock::default(), budget)
        .expect("a valid configuration")
}

/// All five parts; the first attempt succeeds.
struct Piped(Pipeline);
impl Call for Piped {
    fn call(&self, reply: Reply) -> bool {
        succeeds(self.0.call(|_| ready(black_box(reply))))
    }
}

fn pipeline() -> Pipeline {
    let pipeline = Pipeline::new("bench", PipelineConfig::default()).expect("the default is valid");
    let pipeline = Pipeline::from(&*Box::leak(Box::new(pipeline)));
    for _ in 0..1_000 {
        assert!(succeeds(pipeline.call(|_| ready(Reply::Ok(7)))));
    }
    pipeline
}

/// Every hundredth call fails.
struct OnePercent<C>(C);
impl<C: Call> OnePercent<C> {
    fn reply(n: u64) -> Reply {
        if n % 100 == 0 { Err(7) } else { Ok(7) }
    }
}

fn leaked(breaker: CircuitBreaker) -> CircuitBreaker {
    CircuitBreaker::from(&*Box::leak(Box::new(breaker)))
}

fn breaker(config: CircuitBreakerConfig) -> CircuitBreaker {
    let breaker = CircuitBreaker::new("bench", config).expect("a valid configuration");
    for _ in 0..1_000 {
        assert!(breaker.call_blocking(|| Reply::Ok(7)).is_ok());
    }
    breaker
}

fn count() -> CircuitBreakerConfig {
    CircuitBreakerConfig::default()
}

fn time() -> CircuitBreakerConfig {
    count().window(Window::time(Duration::from_secs(10), 10))
}

fn open(with_cause: bool) -> CircuitBreaker {
    let config = CircuitBreakerConfig::consecutive(1).open_wait(
        Duration::from_secs(3600),
        1.0,
        Duration::from_secs(3600),
    );
    let breaker = leaked(CircuitBreaker::new("bench", config).expect("a valid configuration"));
    let cause = backstop::kernel::outcome::Verdict::failure();
    let cause = if with_cause {
        cause.with_cause(std::sync::Arc::new(std::io::Error::other("refused"))
            as std::sync::Arc<dyn std::error::Error + Send + Sync>)
    } else {
        cause
    };
    breaker
        .try_acquire()
        .expect("closed at first")
        .record(cause);
    breaker
}

struct Rejected {
    breaker: CircuitBreaker,
    with_cause: bool,
}
impl Call for Rejected {
    fn call(&self, reply: Reply) -> bool {
        let mut call = pin!(self.breaker.call_with(AnyError, || ready(black_box(reply))));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(CallError::Rejected(rejection))) => {
                assert_eq!(rejection.cause().is_some(), self.with_cause);
                false
            }
            _ => unreachable!("the circuit is open"),
        }
    }
}

/// The bulkhead's async call on a borrowed handle.
struct Limited(Bulkhead);
impl Call for Limited {
    fn call(&self, reply: Reply) -> bool {
        succeeds(self.0.call(|| ready(black_box(reply))))
    }
}

/// A slot taken and given back, around nothing.
struct Slot(Bulkhead);
impl Call for Slot {
    fn call(&self, reply: Reply) -> bool {
        let permit = self.0.try_acquire();
        black_box(reply).is_ok() && permit.is_ok()
    }
}

/// Refused at once; the slot is elsewhere.
struct Refused(Bulkhead);
impl Call for Refused {
    fn call(&self, reply: Reply) -> bool {
        black_box(reply).is_ok() && self.0.try_acquire().is_err()
    }
}

/// A compartment's async call on a borrowed handle.
struct Compartmented(Compartment);
impl Call for Compartmented {
    fn call(&self, reply: Reply) -> bool {
        succeeds(self.0.call(|| ready(black_box(reply))))
    }
}

/// A gate's async call on a borrowed handle; it is open.
struct Gated(Gate);
impl Call for Gated {
    fn call(&self, reply: Reply) -> bool {
        succeeds(self.0.call(|| ready(black_box(reply))))
    }
}

fn gate(config: GateConfig) -> Gate {
    Gate::new("bench", config).expect("a valid configuration")
}

/// One of three, each for itself or with a share of a total.
fn compartment(total: Option<u32>) -> Compartment {
    let mut config = CompartmentsConfig::presets();
    if let Some(total) = total {
        let share = CompartmentConfig::critical().guaranteed(50);
        config = config.total(total).compartment("critical", share);
    }
    let set = Compartments::new("bench", config).expect("a valid configuration");
    let critical = set.require("critical").expect("it is there");
    Compartment::from(&*Box::leak(Box::new(critical)))
}

fn bulkhead(config: BulkheadConfig) -> Bulkhead {
    let bulkhead = Bulkhead::new("bench", config).expect("a valid configuration");
    Bulkhead::from(&*Box::leak(Box::new(bulkhead)))
}

fn slots() -> BulkheadConfig {
    BulkheadConfig::default()
}

/// A case: what is called, whether one call in a hundred fails, and whether calls are rejected.
struct Case {
    id: &'static str,
    call: Box<dyn Fn() -> Box<dyn Measured>>,
}

trait Measured: Sync {
    fn run(&self, calls: u64);
}

struct Healthy<C>(C);
impl<C: Call> Measured for Healthy<C> {
    fn run(&self, calls: u64) {
        for _ in 0..calls {
            black_box(self.0.call(Ok(7)));
        }
    }
}

impl<C: Call> Measured for OnePercent<C> {
    fn run(&self, calls: u64) {
        for n in 0..calls {
            black_box(self.0.call(Self::reply(n)));
        }
    }
}

fn case<M: Measured + 'static>(id: &'static str, make: impl Fn() -> M + 'static) -> Case {
    Case {
        id,
        call: Box::new(move || Box::new(make())),
    }
}

fn cases() -> Vec<Case> {
    vec![
        case("bare", || Healthy(Bare)),
        case("fetch_add", || Healthy(FetchAdd(AtomicU64::new(0)))),
        case("bulkhead", || Healthy(Limited(bulkhead(slots())))),
        case("bulkhead_untotalled", || {
            Healthy(Limited(bulkhead(slots().totals(false))))
        }),
        case("bulkhead_with_queue", || {
            let config = slots().queue(10, Duration::from_secs(1));
            Healthy(Limited(bulkhead(config)))
        }),
        case("compartment", || Healthy(Compartmented(compartment(None)))),
        case("compartment_with_total", || {
            Healthy(Compartmented(compartment(Some(100))))
        }),
        case("bulkhead_permit", || Healthy(Slot(bulkhead(slots())))),
        case("bulkhead_refusal", || {
            let bulkhead = bulkhead(slots().max_concurrent(1));
            std::mem::forget(bulkhead.try_acquire());
            Healthy(Refused(bulkhead))
        }),
        case("breaker_count_static", || {
            Healthy(Borrowed(leaked(breaker(count()))))
        }),
        case("breaker_count_static_untotalled", || {
            Healthy(Borrowed(leaked(breaker(count().totals(false)))))
        }),
        case("breaker_count_handle", || Healthy(Cloned(breaker(count())))),
        case("breaker_time_static", || {
            Healthy(Borrowed(leaked(breaker(time()))))
        }),
        case("breaker_count_1pct", || {
            OnePercent(Borrowed(leaked(breaker(count()))))
        }),
        case("breaker_time_1pct", || {
            OnePercent(Borrowed(leaked(breaker(time()))))
        }),
        case("breaker_open_rejection", || {
            Healthy(Rejected {
                breaker: open(false),
                with_cause: false,
            })
        }),
        case("breaker_open_rejection_cause", || {
            Healthy(Rejected {
                breaker: open(true),
                with_cause: true,
            })
        }),
        case("gate_open", || Healthy(Gated(gate(GateConfig::default())))),
        case("gate_open_static", || {
            let gate = gate(GateConfig::default());
            Healthy(Gated(Gate::from(&*Box::leak(Box::new(gate)))))
        }),
        case("gate_open_no_drain", || {
            Healthy(Gated(gate(GateConfig::default().without_drain())))
        }),
        case("timeout", || {
            Healthy(Timed(
                Timeout::new("bench", Duration::from_secs(1)).expect("above zero"),
            ))
        }),
        case("retry", || Healthy(Retried(retry(BudgetConfig::default())))),
        case("retry_shared_budget", || {
            Healthy(Retried(retry_on_shared_budget()))
        }),
        case("retry_in_flight_budget", || {
            Healthy(Retried(retry(BudgetConfig::in_flight(0.2, 3))))
        }),
        case("retry_token_budget", || {
            Healthy(Retried(retry(BudgetConfig::tokens(100, 0.1))))
        }),
        case("retry_without_budget", || {
            Healthy(Retried(retry(BudgetConfig::none())))
        }),
        case("pipeline", || Healthy(Piped(pipeline()))),
    ]
}

fn call_path(criterion: &mut Criterion) {
    // A benchmark of the wrong clock would be worth nothing.
    assert_ne!(
        format!("{:?}", Clock::default()),
        "Clock::tokio()",
        "benchmarks run without the feature `test-util`"
    );
    let mut group = criterion.benchmark_group("call_path");
    for case in cases() {
        let measured = (case.call)();
        group.bench_function(BenchmarkId::from_parameter(case.id), |bencher| {
            bencher.iter_custom(|calls| {
                let start = std::time::Instant::now();
                measured.run(calls);
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// Two threads at once on one breaker: the time per call of one of them.
fn contended(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("contended");
    for case in cases() {
        let measured = (case.call)();
        group.bench_function(BenchmarkId::from_parameter(case.id), |bencher| {
            bencher.iter_custom(|calls| time_beside_another(&*measured, calls));
        });
    }
    group.finish();
}

fn time_beside_another(measured: &dyn Measured, calls: u64) -> Duration {
    let barrier = Barrier::new(2);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            barrier.wait();
            // Goes on until the measured thread is through, so that it is never alone.
            while !done.load(Ordering::Relaxed) {
                measured.run(256);
            }
        });
        barrier.wait();
        let start = std::time::Instant::now();
        measured.run(calls);
        let elapsed = start.elapsed();
        done.store(true, Ordering::Relaxed);
        elapsed
    })
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50);
    targets = call_path, contended
}
criterion_main!(benches);
