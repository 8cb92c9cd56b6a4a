//! Supervisors, microreboots and health among what is published.

use super::scrape::{Prometheus, Scraped};
use backstop::health::check::{Check, Level, Status};
use backstop::health::tree::{Component as Watched, HealthTree};
use backstop::observe::metrics::Exporter;
use backstop::supervise::budget::RestartBackoff;
use backstop::supervise::child::ChildSpec;
use backstop::supervise::microreboot::{
    Component, MicrorebootConfig, MicrorebootManager, RebootCap, Report,
};
use backstop::supervise::supervisor::{DynamicSupervisor, Supervisor, SupervisorEventKind};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const MANY: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// A tree, a manager and health of which each metric is published.
pub(super) struct Supervised {
    supervisor: Supervisor,
    manager: MicrorebootManager,
    fail: Arc<Notify>,
    _health: HealthTree,
}

async fn component(manager: &MicrorebootManager, supervisor: &Supervisor) {
    let component = Component::stateless("all_component", |cx| async move {
        cx.cancelled().await;
        Ok::<_, io::Error>(())
    });
    manager.add(component, supervisor).await.unwrap();
}

impl Supervised {
    pub(super) async fn publish(exporter: &Exporter) -> Self {
        let fail = Arc::new(Notify::new());
        let hears = fail.clone();
        let flaky = ChildSpec::new("flaky", move |cx| {
            let hears = hears.clone();
            async move {
                tokio::select! {
                    () = hears.notified() => Err(io::Error::other("as it was told")),
                    () = cx.cancelled() => Ok(()),
                }
            }
        });
        let supervisor = Supervisor::builder("all_tree")
            .backoff(RestartBackoff::none())
            .child(flaky)
            .start()
            .await
            .unwrap();
        let cap = RebootCap::new(1, Duration::from_secs(3_600));
        let manager = MicrorebootManager::builder("all_manager")
            .config(MicrorebootConfig::default().cap(cap))
            .start()
            .await
            .unwrap();
        component(&manager, &supervisor).await;
        exporter.add(&supervisor);
        exporter.add(&manager);
        let this = Self {
            supervisor,
            manager,
            fail,
            _health: health(exporter).await,
        };
        this.fail_once().await;
        this.reboot().await;
        this
    }

    async fn fail_once(&self) {
        let mut events = self.supervisor.subscribe(MANY);
        self.fail.notify_one();
        while let Some(event) = events.recv().await {
            if matches!(event.kind, SupervisorEventKind::Started { .. }) {
                return;
            }
        }
    }

    /// One is made, and the next one meets the cap.
    async fn reboot(&self) {
        for is_cured in [true, false] {
            let report = Report::new("all_component", "no_reply");
            assert_eq!(self.manager.report(report).await.is_cured(), is_cured);
        }
    }
}

async fn health(exporter: &Exporter) -> HealthTree {
    let ping = Check::new("ping", Level::Critical, || async { Ok::<_, io::Error>(()) });
    let tree = HealthTree::builder("all_health")
        .component(Watched::new("all_db").check(ping))
        .build()
        .unwrap();
    exporter.add(&tree);
    tree.start().unwrap();
    let is_well = |health: backstop::health::tree::Health| health.status == Status::Healthy;
    tree.watch().until(is_well).await.unwrap();
    tree
}

/// The value of the series with these labels.
fn value(scraped: &Scraped, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let is_it = |sample: &&super::scrape::Sample| {
        sample.name == metric
            && labels
                .iter()
                .all(|(key, value)| sample.labels.get(*key).is_some_and(|of| of == value))
    };
    scraped
        .samples
        .iter()
        .find(is_it)
        .map(|sample| sample.value)
}

#[tokio::test]
async fn restarts_and_reboots_are_counted_once_and_gauges_go_back_to_zero() {
    let prometheus = Prometheus::start(&[1.0]);
    let exporter = Exporter::new();
    let supervised = Supervised::publish(&exporter).await;
    prometheus.publish(&exporter);
    supervised.fail_once().await;
    let scraped = prometheus.after_publish(&exporter).await;
    let flaky = [
        ("supervisor", "all_tree"),
        ("child", "flaky"),
        ("exit", "error"),
    ];
    assert_eq!(
        value(&scraped, "supervisor_restarts_total", &flaky),
        Some(2.0)
    );
    let tree = [("supervisor", "all_tree")];
    let running = [tree[0], ("state", "running")];
    assert_eq!(value(&scraped, "supervisor_children", &running), Some(2.0));
    assert_eq!(value(&scraped, "supervisor_budget_used", &tree), Some(2.0));
    assert_eq!(
        value(&scraped, "supervisor_give_ups_total", &tree),
        Some(0.0)
    );
    assert_eq!(value(&scraped, "supervisor_orphans", &tree), Some(0.0));
    let cured = [
        ("component", "all_component"),
        ("rung", "component"),
        ("outcome", "cured"),
    ];
    assert_eq!(value(&scraped, "microreboots_total", &cured), Some(1.0));
    let told = [
        ("component", "all_component"),
        ("rung", "human"),
        ("outcome", "handed_over"),
    ];
    assert_eq!(value(&scraped, "microreboots_total", &told), Some(1.0));
    let capped = [("reason", "capped")];
    assert_eq!(
        value(&scraped, "microreboots_refused_total", &capped),
        Some(1.0)
    );
    let start = [("component", "all_component"), ("phase", "start")];
    let starts = value(&scraped, "microreboot_phase_seconds_count", &start);
    assert_eq!(starts, Some(1.0));

    supervised.supervisor.stop().await;
    for _ in 0..2 {
        let scraped = prometheus.after_publish(&exporter).await;
        assert_eq!(value(&scraped, "supervisor_children", &running), Some(0.0));
        assert_eq!(value(&scraped, "supervisor_budget_used", &tree), Some(0.0));
        assert_eq!(
            value(&scraped, "supervisor_restarts_total", &flaky),
            Some(2.0)
        );
    }
}

#[tokio::test]
async fn records_of_before_it_was_added_are_counted_and_none_twice() {
    let prometheus = Prometheus::start(&[1.0]);
    let first = Exporter::new();
    let supervised = Supervised::publish(&first).await;
    let exporter = Exporter::new();
    exporter.add(&supervised.manager);
    exporter.add(&supervised.manager.clone());
    for _ in 0..2 {
        let scraped = prometheus.after_publish(&exporter).await;
        let cured = [("component", "all_component"), ("outcome", "cured")];
        assert_eq!(value(&scraped, "microreboots_total", &cured), Some(1.0));
    }
}

#[tokio::test]
async fn children_that_come_and_go_share_their_templates_label() {
    let prometheus = Prometheus::start(&[1.0]);
    let exporter = Exporter::new();
    let fail = Arc::new(Notify::new());
    let hears = fail.clone();
    let peers = DynamicSupervisor::builder("peers", move |_port: u16| {
        let hears = hears.clone();
        ChildSpec::new("peer", move |cx| {
            let hears = hears.clone();
            async move {
                tokio::select! {
                    () = hears.notified() => Err(io::Error::other("as it was told")),
                    () = cx.cancelled() => Ok(()),
                }
            }
        })
        .backoff(RestartBackoff::none())
    })
    .start()
    .await
    .unwrap();
    exporter.add(&peers);
    let mut events = peers.subscribe(MANY);
    for port in 1..=3 {
        peers.start_child(port).await.unwrap();
        fail.notify_one();
        let mut starts = 0;
        while starts < 2 {
            let event = events.recv().await.unwrap();
            starts += usize::from(matches!(event.kind, SupervisorEventKind::Started { .. }));
        }
    }
    let scraped = prometheus.after_publish(&exporter).await;
    let restarts = scraped.samples.iter();
    let restarts: Vec<_> = restarts
        .filter(|sample| sample.name == "supervisor_restarts_total")
        .map(|sample| (sample.labels["child"].as_str(), sample.value))
        .collect();
    assert_eq!(restarts, [("peers", 3.0)]);
    peers.stop().await;
}
