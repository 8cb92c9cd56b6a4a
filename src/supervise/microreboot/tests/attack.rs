use super::rig::{Goes, Rig, builder, sleep};
use crate::kernel::clock::Clock;
use crate::supervise::microreboot::config::MicrorebootConfig;
use crate::supervise::microreboot::ladder::Ladder;
use crate::supervise::microreboot::outcome::{RebootOutcome, Refusal, Report};
use crate::supervise::microreboot::record::Rung;
use crate::supervise::microreboot::storm::{StormGate, StormRule};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn mr4f_a_reporter_that_goes_away_and_a_manager_without_handles_change_nothing() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("a", &[]);
    rig.manager.report(Report::new("a", "x"));
    let Rig { world, manager } = rig;
    drop(manager);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.count("verify a"), 1);
}

#[test]
fn mr4f_a_runtime_that_goes_away_leaves_no_reporter_waiting() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let gone = runtime();
    let mut slot = None;
    gone.block_on(async {
        let rig = Rig::new(MicrorebootConfig::default()).await;
        rig.add("a", &[]);
        rig.world.set("verify a", &[Goes::Hangs]);
        let reported = rig.manager.report(Report::new("a", "x"));
        while rig.world.count("verify a") == 0 {
            tokio::task::yield_now().await;
            sleep(Duration::from_millis(1)).await;
        }
        slot = Some(reported);
    });
    drop(gone);
    assert_eq!(runtime().block_on(slot.unwrap()), RebootOutcome::Abandoned);
}

#[tokio::test(start_paused = true)]
async fn mr4g_two_that_fail_and_want_the_same_wider_set_go_together() {
    let any_weather = StormGate::default().allow(StormRule::MinHealthy(0.0));
    let config = MicrorebootConfig::default().storm(any_weather);
    let rig = Rig::new(config.ladder(Ladder::default().with_group())).await;
    for id in ["a", "b", "c"] {
        let part = rig.part(id);
        rig.add_part(part, &[], Some("all"));
    }
    // Each holds itself and wants the others.
    for id in ["a", "b", "c"] {
        rig.world.set(
            &format!("start {id}"),
            &[Goes::Fails, Goes::Fails, Goes::Well],
        );
    }
    let reports = ["a", "b", "c"].map(|id| rig.manager.report(Report::new(id, "x")));
    for reported in reports {
        let outcome = reported.await;
        assert!(
            matches!(
                outcome,
                RebootOutcome::Cured {
                    rung: Rung::Group,
                    ..
                }
            ),
            "{outcome:?}"
        );
    }
    let groups = rig
        .records()
        .iter()
        .filter(|it| it.rung == Rung::Group)
        .count();
    assert_eq!(groups, 1);
}

#[tokio::test(start_paused = true)]
async fn mr4g_a_wider_reboot_that_fails_is_not_repeated_for_each_that_wanted_it() {
    let any_weather = StormGate::default().allow(StormRule::MinHealthy(0.0));
    let config = MicrorebootConfig::default().storm(any_weather);
    let rig = Rig::new(config.ladder(Ladder::default().with_group())).await;
    for id in ["a", "b", "c"] {
        let part = rig.part(id);
        rig.add_part(part, &[], Some("all"));
        rig.world.set(&format!("start {id}"), &[Goes::Fails]);
    }
    let reports = ["a", "b", "c"].map(|id| rig.manager.report(Report::new(id, "x")));
    for reported in reports {
        let outcome = reported.await;
        assert!(
            matches!(outcome, RebootOutcome::HandedOver(_)),
            "{outcome:?}"
        );
    }
    let records = rig.records();
    let groups = records.iter().filter(|it| it.rung == Rung::Group);
    assert_eq!(groups.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mr4a_sixty_four_reporters_on_many_threads_give_one_reboot() {
    for _ in 0..50 {
        let rig = Rig::new(MicrorebootConfig::default()).await;
        rig.add("a", &[]);
        let reports = (0..64).map(|_| {
            let manager = rig.manager.clone();
            tokio::spawn(async move { manager.report(Report::new("a", "x").seen(1)).await })
        });
        let reports: Vec<_> = reports.collect();
        let mut cured = 0;
        for reported in reports {
            match reported.await.unwrap() {
                RebootOutcome::Cured { incarnation: 2, .. } => cured += 1,
                RebootOutcome::Stale { current: 2 } => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(cured >= 1);
        assert_eq!(rig.world.count("start a"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn mr3c_a_clock_that_steps_back_lifts_no_cap_and_panics_nowhere() {
    let manual = Clock::manual();
    manual.advance(Duration::from_secs(100_000));
    let rig = Rig::with(builder(MicrorebootConfig::default()).clock(&manual)).await;
    rig.add("a", &[]);
    let cured = |fault: &'static str| rig.manager.report(Report::new("a", fault));
    for fault in ["x", "y", "z"] {
        assert!(cured(fault).await.is_cured());
        manual.step_back(Duration::from_secs(5_000));
    }
    let outcome = cured("w").await;
    assert!(
        matches!(outcome, RebootOutcome::Refused(Refusal::Capped { .. })),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_notice_hook_that_panics_and_one_that_reports_again_harm_nothing() {
    let slot: std::sync::Arc<
        std::sync::OnceLock<crate::supervise::microreboot::MicrorebootManager>,
    > = std::sync::Arc::default();
    let inside = slot.clone();
    let rig = builder(MicrorebootConfig::default()).on_notice(move |_| {
        let manager = inside.get().unwrap();
        manager.report(Report::new("a", "again"));
        let _ = manager.snapshot().to_string();
        panic!("as it was told");
    });
    let rig = Rig::with(rig).await;
    slot.set(rig.manager.clone()).unwrap();
    rig.add("a", &[]);
    rig.world.set("verify a", &[Goes::Fails]);
    let outcome = rig.manager.report(Report::new("a", "x")).await;
    assert!(matches!(outcome, RebootOutcome::HandedOver(_)));
    let unknown = rig.manager.report(Report::new("nobody", "x")).await;
    assert_eq!(unknown, RebootOutcome::Refused(Refusal::UnknownComponent));
}
