//! tower, and backon and tokio where they do the same.

use std::future::{Ready, ready};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use tokio::runtime::Builder;
use tower::Service;
use tower::limit::ConcurrencyLimit;
use tower::load_shed::LoadShed;
use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Policy, Retry};
use tower::timeout::Timeout;

use crate::{Answers, Failed, allocations, poll_once, poll_ready, runtime};

#[test]
fn an_idle_clone_that_was_polled_ready_holds_a_permit() {
    let mut idle = ConcurrencyLimit::new(Answers::default(), 1);
    let mut caller = idle.clone();
    assert!(poll_ready(&mut idle).is_ready());
    assert!(poll_ready(&mut caller).is_pending(), "no call runs");
    drop(idle);
    assert!(poll_ready(&mut caller).is_ready());
}

#[test]
fn a_clone_that_was_refused_takes_the_next_permit_and_keeps_it() {
    let mut first = LoadShed::new(ConcurrencyLimit::new(Answers::default(), 1));
    let (mut refused, mut third) = (first.clone(), first.clone());
    let done = |service: &mut LoadShed<ConcurrencyLimit<Answers>>| {
        assert!(poll_ready(service).is_ready());
        matches!(
            poll_once(service.call(false)),
            std::task::Poll::Ready(Ok(()))
        )
    };
    assert!(poll_ready(&mut first).is_ready());
    assert!(!done(&mut refused), "the permit is out");
    let call = first.call(false);
    drop(call);
    for _ in 0..100 {
        assert!(!done(&mut third), "refused, though no call runs");
    }
    drop(refused);
    assert!(done(&mut third));
}

#[test]
fn a_timeout_needs_a_runtime_even_for_a_call_that_is_ready() {
    let mut timeout = Timeout::new(Answers::default(), Duration::from_secs(1));
    assert!(catch_unwind(move || poll_once(timeout.call(false)).is_ready()).is_err());
    let limit = Duration::from_secs(1);
    assert!(
        catch_unwind(move || poll_once(tokio::time::timeout(limit, ready(()))).is_ready()).is_err()
    );
}

#[derive(Clone)]
struct Once(bool);

impl Policy<bool, (), Failed> for Once {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut bool, result: &mut Result<(), Failed>) -> Option<Self::Future> {
        (result.is_err() && std::mem::take(&mut self.0)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &bool) -> Option<bool> {
        Some(*request)
    }
}

#[test]
fn a_retry_clones_the_service_for_each_call_and_not_for_each_retry() {
    let answers = Answers::default();
    let clones = Arc::clone(&answers.clones);
    let mut retry = Retry::new(Once(true), answers);
    assert!(poll_once(retry.call(false)).is_ready());
    assert_eq!(clones.load(Ordering::Relaxed), 1, "nothing was retried");
}

#[test]
fn no_policy_allocates() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut retry = Retry::new(Once(true), Answers::default());
    let mut limit = ConcurrencyLimit::new(Answers::default(), 1);
    let mut timeout = Timeout::new(Answers::default(), Duration::from_secs(1));
    assert_eq!(
        allocations(|| assert!(poll_once(retry.call(false)).is_ready())),
        0
    );
    assert_eq!(
        allocations(|| assert!(poll_once(timeout.call(false)).is_ready())),
        0
    );
    assert_eq!(
        allocations(|| {
            assert!(poll_ready(&mut limit).is_ready());
            assert!(poll_once(limit.call(false)).is_ready());
        }),
        0
    );
}

#[test]
fn a_budget_of_sixty_percent_allows_every_retry() {
    let budget = TpsBudget::new(Duration::from_secs(1), 0, 0.6);
    (0..10).for_each(|_| budget.deposit());
    assert_eq!((0..10).filter(|_| budget.withdraw()).count(), 10);
}

/// It has ten slots, and steps over one with each that ends while calls come: five are left.
#[test]
fn a_budget_forgets_after_half_its_span_while_calls_come() {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let kept = |step: u64| async move {
            let budget = TpsBudget::new(Duration::from_secs(10), 0, 1.0);
            budget.deposit();
            let mut after = Duration::ZERO;
            while after < Duration::from_millis(6_500) {
                let step = Duration::from_millis(step);
                tokio::time::advance(step).await;
                after += step;
                // What a call does; its own deposit is taken back at once.
                budget.deposit();
                assert!(budget.withdraw());
            }
            budget.withdraw()
        };
        assert!(!kept(7).await, "ten seconds were asked for");
        assert!(kept(6_500).await, "without calls it is kept");
    });
}

#[test]
fn no_wait_is_a_timer_in_backon_unless_the_caller_brings_a_sleeper() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let backoff = ConstantBuilder::default().with_delay(Duration::ZERO);
    let fails = || ready(Err::<(), _>(Failed));
    assert!(poll_once(fails.retry(backoff)).is_pending());
    assert!(poll_once(fails.retry(backoff).sleep(|_| ready(()))).is_ready());
    assert_eq!(
        allocations(|| assert!(
            poll_once((|| ready(Ok::<_, Failed>(()))).retry(backoff)).is_ready()
        )),
        0
    );
}
