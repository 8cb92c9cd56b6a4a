//! Components under a real supervisor, under virtual time (MR1 to MR11).

use backstop::kernel::clock::Clock;
use backstop::supervise::budget::{RestartBackoff, RestartBudget};
use backstop::supervise::microreboot::{
    Component, Gate, GateConfig, GateState, MicrorebootManager, Phase, PhaseLimits, PhaseResult,
    RebootOutcome, Refusal, Report, Rung, StartedFrom,
};
use backstop::supervise::supervisor::Supervisor;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

async fn sleep(time: Duration) {
    let clock = Clock::tokio();
    clock.sleep_until(clock.now() + time).unwrap().await;
}

async fn supervisor() -> Supervisor {
    let supervisor = Supervisor::builder("root").clock(Clock::tokio());
    supervisor.start().await.unwrap()
}

async fn manager() -> MicrorebootManager {
    let manager = MicrorebootManager::builder("manager").clock(Clock::tokio());
    manager.start().await.unwrap()
}

/// A counter that says how it started, and that fails on request.
#[derive(Clone, Debug, Default)]
struct Counter {
    value: Arc<AtomicU64>,
    starts: Arc<Mutex<Vec<Option<u64>>>>,
    crashes: Arc<AtomicBool>,
    ignores_stop: Arc<AtomicBool>,
}

impl Counter {
    fn component(&self, id: &'static str) -> Component<u64> {
        let (it, asked) = (self.clone(), self.clone());
        Component::new(id, move |cx, state: Option<u64>| {
            let it = it.clone();
            async move {
                it.starts.lock().unwrap().push(state);
                it.value.store(state.unwrap_or(0), Ordering::Relaxed);
                if it.crashes.load(Ordering::Relaxed) {
                    return Err(io::Error::other("as it was told"));
                }
                cx.cancelled().await;
                if it.ignores_stop.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        })
        .checkpoint(move || {
            let value = asked.value.load(Ordering::Relaxed);
            async move { Ok::<_, io::Error>(value) }
        })
    }

    fn starts(&self) -> Vec<Option<u64>> {
        self.starts.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn mr1a_a_component_is_rebooted_with_its_state() {
    let (supervisor, manager) = (supervisor().await, manager().await);
    let counter = Counter::default();
    manager
        .add(counter.component("counter"), &supervisor)
        .await
        .unwrap();
    sleep(Duration::from_millis(1)).await;
    counter.value.store(7, Ordering::Relaxed);
    let outcome = manager.report(Report::new("counter", "x").seen(1)).await;
    let rung = Rung::Component;
    assert_eq!(
        outcome,
        RebootOutcome::Cured {
            rung,
            incarnation: 2
        }
    );
    sleep(Duration::from_millis(1)).await;
    assert_eq!(counter.starts(), [None, Some(7)]);
    let record = manager.records().pop().unwrap();
    assert_eq!(record.started_from, Some(StartedFrom::Provisional));
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mr6f_a_stop_of_the_supervisor_in_the_middle_of_a_reboot_calls_nobody() {
    let (supervisor, manager) = (supervisor().await, manager().await);
    let counter = Counter::default();
    manager
        .add(counter.component("counter"), &supervisor)
        .await
        .unwrap();
    counter.ignores_stop.store(true, Ordering::Relaxed);
    sleep(Duration::from_millis(1)).await;
    let reported = manager.report(Report::new("counter", "x"));
    // It is being stopped, which takes its whole limit.
    sleep(Duration::from_secs(1)).await;
    let stopping = tokio::spawn(async move { supervisor.stop().await });
    assert_eq!(reported.await, RebootOutcome::Abandoned);
    stopping.await.unwrap();
    // It is over for good, and still no failure.
    let outcome = manager.report(Report::new("counter", "y")).await;
    assert_eq!(outcome, RebootOutcome::Abandoned);
}

#[tokio::test(start_paused = true)]
async fn mr1f_a_component_that_ignores_its_token_is_killed_after_the_limit() {
    let (supervisor, manager) = (supervisor().await, manager().await);
    let counter = Counter::default();
    manager
        .add(counter.component("counter"), &supervisor)
        .await
        .unwrap();
    counter.ignores_stop.store(true, Ordering::Relaxed);
    sleep(Duration::from_millis(1)).await;
    assert!(manager.report(Report::new("counter", "x")).await.is_cured());
    let record = manager.records().pop().unwrap();
    let stop = record
        .phases
        .iter()
        .find(|it| it.phase == Phase::Stop)
        .unwrap();
    assert_eq!(stop.result, PhaseResult::TimedOut);
    let limit = Duration::from_secs(5);
    assert!(stop.took >= limit && stop.took < limit + Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn mr1g_a_spent_budget_goes_to_the_manager_and_not_to_the_supervisor() {
    let (supervisor, manager) = (supervisor().await, manager().await);
    let sibling = Counter::default();
    manager
        .add(sibling.component("sibling"), &supervisor)
        .await
        .unwrap();
    let starts = Arc::new(AtomicU64::new(0));
    let counted = starts.clone();
    let component = Component::stateless("flaky", move |cx| {
        let start = counted.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            // The first start and two restarts fail; the next start is the manager's.
            if start <= 3 {
                sleep(Duration::from_millis(1)).await;
                return Err(io::Error::other("as it was told"));
            }
            cx.cancelled().await;
            Ok(())
        }
    });
    let component = component
        .budget(RestartBudget::new(2, Duration::from_secs(60)))
        .backoff(RestartBackoff::none());
    manager.add(component, &supervisor).await.unwrap();
    sleep(Duration::from_secs(120)).await;
    let records = manager.records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].reporter, "root");
    assert_eq!(records[0].fault, "restart_budget_spent");
    assert_eq!(starts.load(Ordering::Relaxed), 4);
    assert_eq!(manager.incarnation("flaky"), Some(4));
    assert_eq!(sibling.starts().len(), 1);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mr1f_a_component_that_does_not_start_is_left_stopped_and_handed_over() {
    let (supervisor, manager) = (supervisor().await, manager().await);
    let it = Counter::default();
    let probed = it.clone();
    let component = it.component("counter").verify(move || {
        let is_well = !probed.crashes.load(Ordering::Relaxed);
        async move { is_well.then_some(()).ok_or("it crashes") }
    });
    manager.add(component, &supervisor).await.unwrap();
    it.crashes.store(true, Ordering::Relaxed);
    let outcome = manager.report(Report::new("counter", "x")).await;
    let RebootOutcome::HandedOver(notice) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(notice.component, "counter");
    let again = manager.report(Report::new("counter", "x")).await;
    assert_eq!(again, RebootOutcome::Refused(Refusal::Held));
    it.crashes.store(false, Ordering::Relaxed);
    assert!(manager.reboot("counter").await.is_cured());
    assert!(manager.acknowledge("counter").await);
}

#[tokio::test(start_paused = true)]
async fn mr11b_callers_meet_a_shut_gate_and_the_record_counts_what_they_met() {
    let (supervisor, manager) = (supervisor().await, manager().await);
    let gate = Gate::with_clock("counter", GateConfig::default(), Clock::tokio()).unwrap();
    let counter = Counter::default();
    let slow = || async {
        sleep(Duration::from_secs(2)).await;
        Ok::<_, io::Error>(())
    };
    let component = counter.component("counter").gate(gate.clone()).verify(slow);
    manager.add(component, &supervisor).await.unwrap();
    let call = || gate.call(|| async { Ok::<_, io::Error>(()) });
    assert!(call().await.is_ok());
    let reported = manager.report(Report::new("counter", "x"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(gate.state(), GateState::Restarting);
    assert!(call().await.is_err());
    assert!(reported.await.is_cured());
    assert_eq!(gate.state(), GateState::Open);
    assert!(call().await.is_ok());
    let calls = manager.records().pop().unwrap().calls.unwrap();
    assert!(calls.bad == 1 && calls.all >= 1, "{calls:?}");
    // One that is not cured leaves its gate down.
    let fails = Counter::default();
    let down = Gate::with_clock("fails", GateConfig::default(), Clock::tokio()).unwrap();
    let never = || async { Err::<(), _>("as it was told") };
    let component = fails.component("fails").gate(down.clone()).verify(never);
    manager.add(component, &supervisor).await.unwrap();
    assert!(!manager.report(Report::new("fails", "x")).await.is_cured());
    assert_eq!(down.state(), GateState::Down);
}

#[tokio::test(start_paused = true)]
async fn mr5d_dependents_stop_first_and_start_last() {
    let (supervisor, manager) = (supervisor().await, manager().await);
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let noisy = |id: &'static str| {
        let log = log.clone();
        Component::stateless(id, move |cx| {
            let log = log.clone();
            async move {
                log.lock().unwrap().push(format!("+{id}"));
                cx.cancelled().await;
                log.lock().unwrap().push(format!("-{id}"));
                Ok::<_, io::Error>(())
            }
        })
        .verify(|| async {
            sleep(Duration::from_millis(1)).await;
            Ok::<_, io::Error>(())
        })
    };
    manager.add(noisy("db"), &supervisor).await.unwrap();
    manager
        .add(noisy("cart").depends_on("db"), &supervisor)
        .await
        .unwrap();
    manager.add(noisy("other"), &supervisor).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    log.lock().unwrap().clear();
    assert!(manager.report(Report::new("db", "x")).await.is_cured());
    assert_eq!(*log.lock().unwrap(), ["-cart", "-db", "+db", "+cart"]);
}

#[tokio::test(start_paused = true)]
async fn a_component_that_cannot_be_is_refused_and_leaves_nothing() {
    let (supervisor, manager) = (supervisor().await, manager().await);
    let counter = Counter::default();
    let lonely = counter.component("a").depends_on("nobody");
    assert!(manager.add(lonely, &supervisor).await.is_err());
    let limits = PhaseLimits::default().stop(Duration::ZERO);
    assert!(
        manager
            .add(counter.component("a").limits(limits), &supervisor)
            .await
            .is_err()
    );
    let unready = counter
        .component("a")
        .readiness(backstop::supervise::child::Readiness::Explicit)
        .limits(PhaseLimits::default().start(Duration::from_millis(50)));
    assert!(manager.add(unready, &supervisor).await.is_err());
    assert!(manager.snapshot().components.is_empty());
    // Its id is free.
    manager
        .add(counter.component("a"), &supervisor)
        .await
        .unwrap();
    assert!(
        manager
            .add(counter.component("a"), &supervisor)
            .await
            .is_err()
    );
    assert_eq!(manager.snapshot().components.len(), 1);
}

/// In real time: code that blocks its thread is none that virtual time can hold up.
#[test]
fn mr1e_a_hook_that_blocks_its_worker_does_not_block_the_manager() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let clock = Clock::system();
    let began = clock.now();
    runtime.block_on(async {
        let supervisor = Supervisor::builder("root").clock(Clock::system());
        let supervisor = supervisor.start().await.unwrap();
        let manager = MicrorebootManager::builder("manager").clock(Clock::system());
        let manager = manager.start().await.unwrap();
        let idle = |cx: backstop::supervise::child::ChildContext| async move {
            cx.cancelled().await;
            Ok::<_, io::Error>(())
        };
        let component = Component::stateless("a", idle)
            .cleanup(|| async {
                let clock = Clock::system();
                clock.park_until(clock.now() + Duration::from_secs(3));
                Ok::<_, io::Error>(())
            })
            .limits(PhaseLimits::default().cleanup(Duration::from_millis(100)));
        manager.add(component, &supervisor).await.unwrap();
        let reported = manager.report(Report::new("a", "x"));
        // Not on the thread of `block_on`, which has timers of its own.
        let outcome = tokio::spawn(reported).await.unwrap();
        let RebootOutcome::HandedOver(notice) = outcome else {
            panic!("{outcome:?}");
        };
        let took = clock.now().saturating_duration_since(began);
        assert!(took < Duration::from_secs(2), "{took:?}");
        let last = notice.history[0].phases.last().unwrap();
        assert_eq!(
            (last.phase, &last.result),
            (Phase::Cleanup, &PhaseResult::Orphaned)
        );
    });
}

#[cfg(feature = "durable")]
mod durable {
    use super::*;
    use backstop::durable::snapshot::{DirectoryConfig, DirectoryStore};
    use backstop::durable::storage::FsStorage;
    use backstop::supervise::microreboot::CheckpointHistory;
    use std::path::Path;

    async fn process(dir: &Path) -> (Supervisor, MicrorebootManager) {
        // By the system's clock: what waits for the directory blocks this thread.
        let (config, clock) = (DirectoryConfig::default(), Clock::system());
        let store = DirectoryStore::open_with_clock(Arc::new(FsStorage), dir, config, clock);
        let history = CheckpointHistory::new(Arc::new(store.unwrap()), "reboots").unwrap();
        let manager = MicrorebootManager::builder("manager").clock(Clock::tokio());
        let manager = manager.history(history).start().await.unwrap();
        let supervisor = supervisor().await;
        let counter = Counter::default();
        manager
            .add(counter.component("counter"), &supervisor)
            .await
            .unwrap();
        (supervisor, manager)
    }

    #[tokio::test(start_paused = true)]
    async fn mr3d_the_cap_survives_a_restart_of_the_process_on_a_real_disk() {
        let dir = tempfile::tempdir().unwrap();
        for fault in ["x", "y", "z"] {
            // Each reboot in a process of its own.
            let (supervisor, manager) = process(dir.path()).await;
            assert!(
                manager
                    .report(Report::new("counter", fault))
                    .await
                    .is_cured()
            );
            supervisor.stop().await;
            drop((supervisor, manager));
            // Until what was cured is stored: the end of a process would not wait, but its directory
            // would be free.
            sleep(Duration::from_secs(1)).await;
        }
        let (_supervisor, manager) = process(dir.path()).await;
        let outcome = manager.report(Report::new("counter", "w")).await;
        assert!(
            matches!(outcome, RebootOutcome::Refused(Refusal::Capped { .. })),
            "{outcome:?}"
        );
        assert!(manager.records().iter().all(|it| it.phases.is_empty()));
    }
}
