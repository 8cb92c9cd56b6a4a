//! What reports to a manager, under virtual time (MR10).

use backstop::health::check::{Check, CheckConfig, Level, Status};
use backstop::health::tree::{Component as Watched, HealthTree};
use backstop::kernel::clock::Clock;
use backstop::policy::circuit_breaker::State;
use backstop::supervise::microreboot::{Component, MicrorebootManager};
use backstop::supervise::supervisor::Supervisor;
use backstop::{CircuitBreaker, CircuitBreakerConfig};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) async fn sleep(time: Duration) {
    let clock = Clock::tokio();
    clock.sleep_until(clock.now() + time).unwrap().await;
}

type OnStart = Box<dyn Fn() + Send>;

/// A component that counts its starts.
#[derive(Clone, Default)]
pub(crate) struct Part {
    starts: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
    on_start: Arc<Mutex<Option<OnStart>>>,
}

impl Part {
    pub(crate) fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// From the next start on.
    pub(crate) fn fails(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    pub(crate) fn on_start(&self, act: impl Fn() + Send + 'static) {
        *self.on_start.lock().unwrap() = Some(Box::new(act));
    }

    fn component(&self, id: &'static str) -> Component {
        let (it, asked) = (self.clone(), self.clone());
        Component::stateless(id, move |cx| {
            let it = it.clone();
            async move {
                it.starts.fetch_add(1, Ordering::Relaxed);
                if let Some(act) = &*it.on_start.lock().unwrap() {
                    act();
                }
                cx.cancelled().await;
                Ok::<_, io::Error>(())
            }
        })
        .verify(move || {
            let fails = asked.fails.load(Ordering::Relaxed);
            async move {
                if fails {
                    return Err(io::Error::other("as it was told"));
                }
                Ok(())
            }
        })
    }
}

/// A manager with these components, running.
pub(crate) async fn rig<const N: usize>(
    ids: [&'static str; N],
) -> (Supervisor, MicrorebootManager, [Part; N]) {
    let supervisor = Supervisor::builder("root").clock(Clock::tokio());
    let supervisor = supervisor.start().await.unwrap();
    let manager = MicrorebootManager::builder("manager").clock(Clock::tokio());
    let manager = manager.start().await.unwrap();
    let parts = ids.map(|_| Part::default());
    for (id, part) in ids.iter().zip(&parts) {
        manager.add(part.component(id), &supervisor).await.unwrap();
    }
    sleep(Duration::from_millis(1)).await;
    (supervisor, manager, parts)
}

fn breaker() -> CircuitBreaker {
    let config = CircuitBreakerConfig::default()
        .minimum_calls(2)
        .open_wait_jitter(0.0);
    CircuitBreaker::with_clock("cart_client", config, Clock::tokio()).unwrap()
}

fn fail(breaker: &CircuitBreaker) {
    for _ in 0..2 {
        breaker.try_acquire().unwrap().failure();
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn mr10a_a_breaker_that_opens_reports_its_component() {
    let (_supervisor, manager, [cart]) = rig(["cart"]).await;
    let breaker = breaker();
    let reporting = manager.report_breaker(&breaker, "cart");
    breaker.force_open();
    breaker.reset();
    breaker.transition_to(State::Open).unwrap();
    breaker.reset();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cart.starts(), 1, "by hand is no report");
    fail(&breaker);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cart.starts(), 2);
    let record = manager.records().pop().unwrap();
    assert_eq!(
        (&*record.fault, &*record.reporter),
        ("breaker_open", "cart_client")
    );
    // A probe fails after the cure: it is reported again.
    sleep(Duration::from_secs(5)).await;
    while let Ok(probe) = breaker.try_acquire() {
        probe.failure();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cart.starts(), 3);
    drop(reporting);
}

#[tokio::test(start_paused = true)]
async fn mr10a_mr10e_a_breaker_that_is_open_already_is_reported_and_a_dropped_reporter_is_silent() {
    let (_supervisor, manager, [cart]) = rig(["cart"]).await;
    let breaker = breaker();
    fail(&breaker);
    let reporting = manager.report_breaker(&breaker, "cart");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cart.starts(), 2);
    drop(reporting);
    sleep(Duration::from_millis(1)).await;
    breaker.reset();
    fail(&breaker);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cart.starts(), 2);
}

fn tree() -> HealthTree {
    let ping = Check::reported("ping", Level::Critical).config(CheckConfig::on_change());
    HealthTree::builder("app")
        .component(Watched::new("cart").check(ping))
        .clock(Clock::tokio())
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn mr10b_an_unhealthy_component_is_reported_and_again_while_it_stays_so() {
    let (_supervisor, manager, [cart]) = rig(["cart"]).await;
    let tree = tree();
    let watched = tree.component("cart").unwrap();
    let _reporting = manager.report_health(&watched, "cart");
    let second = Duration::from_secs(1);
    for harmless in [
        Status::Unknown,
        Status::Starting,
        Status::Degraded,
        Status::OutOfService,
    ] {
        watched.set_status(harmless);
        sleep(second).await;
        assert_eq!(cart.starts(), 1, "{harmless:?}");
    }
    tree.maintenance(true);
    watched.set_status(Status::Unhealthy);
    sleep(second).await;
    assert_eq!(cart.starts(), 1, "in maintenance");
    tree.maintenance(false);
    sleep(second).await;
    assert_eq!(cart.starts(), 2);
    sleep(27 * second).await;
    assert_eq!(cart.starts(), 2, "it may take its time to be well");
    sleep(3 * second).await;
    assert_eq!(cart.starts(), 3);
    watched.set_status(Status::Healthy);
    sleep(60 * second).await;
    assert_eq!(cart.starts(), 3);
    let record = manager.records().pop().unwrap();
    assert_eq!((&*record.fault, &*record.reporter), ("unhealthy", "cart"));
}

#[tokio::test(start_paused = true)]
async fn mr10c_mr10e_the_manager_hears_of_health_until_the_tree_is_gone() {
    let (_supervisor, manager, [cart]) = rig(["cart"]).await;
    let tree = tree();
    let watched = tree.component("cart").unwrap();
    let _reporting = manager.report_health(&watched, "cart");
    let heard = || manager.snapshot().components[0].check;
    let second = Duration::from_secs(1);
    sleep(second).await;
    assert_eq!(heard(), None);
    watched.set_status(Status::Degraded);
    sleep(second).await;
    assert_eq!(heard(), Some(true));
    // While its report is under way, it is well again.
    let again = watched.clone();
    cart.on_start(move || again.set_status(Status::Healthy));
    watched.set_status(Status::Unhealthy);
    sleep(second).await;
    assert_eq!((cart.starts(), heard()), (2, Some(true)));
    watched.set_status(Status::Unknown);
    sleep(second).await;
    assert_eq!(heard(), Some(true), "unknown is not told");
}

#[tokio::test(start_paused = true)]
async fn mr10d_a_recovery_action_ends_well_if_the_component_is_cured() {
    let (_supervisor, manager, [cart]) = rig(["cart"]).await;
    let config = CheckConfig::default().failure_threshold(1);
    let sick = Arc::new(AtomicBool::new(true));
    let (asked, well) = (sick.clone(), sick.clone());
    let ping = Check::new("ping", Level::Critical, move || {
        let is_sick = asked.load(Ordering::Relaxed);
        async move {
            if is_sick {
                return Err(io::Error::other("no answer"));
            }
            Ok(())
        }
    })
    .config(config)
    .recovery(manager.recovery_action("cart", "no_ping"));
    cart.on_start(move || well.store(false, Ordering::Relaxed));
    let tree = HealthTree::builder("app")
        .component(Watched::new("cart").check(ping))
        .clock(Clock::tokio())
        .build()
        .unwrap();
    tree.start().unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!((cart.starts(), tree.status()), (2, Status::Healthy));
    let record = manager.records().pop().unwrap();
    assert_eq!(
        (&*record.fault, &*record.reporter),
        ("no_ping", "health_check")
    );
}
