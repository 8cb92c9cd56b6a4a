use super::rig::{Goes, Rig, sleep};
use crate::kernel::clock::Clock;
use crate::supervise::microreboot::config::MicrorebootConfig;
use crate::supervise::microreboot::ladder::Ladder;
use crate::supervise::microreboot::outcome::{RebootOutcome, Report};
use crate::supervise::microreboot::record::Rung;
use std::time::Duration;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

async fn rig(config: MicrorebootConfig) -> Rig {
    let rig = Rig::new(config).await;
    for id in ["a", "b", "c", "d"] {
        rig.add(id, &[]);
    }
    rig
}

fn ill(rig: &Rig, ids: &[&str]) {
    ids.iter()
        .for_each(|id| assert!(rig.manager.health(id, false)));
}

fn well(rig: &Rig, ids: &[&str]) {
    ids.iter()
        .for_each(|id| assert!(rig.manager.health(id, true)));
}

#[tokio::test(start_paused = true)]
async fn mr7b_in_a_storm_nothing_begins_and_what_runs_goes_on() {
    let rig = rig(MicrorebootConfig::default()).await;
    rig.world.set("verify a", &[Goes::Hangs]);
    ill(&rig, &["a", "b"]);
    let running = rig.manager.report(Report::new("a", "x"));
    while rig.world.count("verify a") == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    ill(&rig, &["c"]);
    let waiting = rig.manager.report(Report::new("b", "x"));
    assert!(rig.manager.snapshot().is_storm);
    sleep(secs(5)).await;
    assert_eq!(rig.world.count("stop b"), 0);
    // The one that runs comes to its own end, in its two attempts.
    assert!(matches!(running.await, RebootOutcome::HandedOver(_)));
    assert_eq!(rig.world.count("verify a"), 2);
    // Calm, a cool-down, and then it begins.
    let clock = Clock::tokio();
    well(&rig, &["c", "d"]);
    let calm = clock.now();
    assert!(waiting.await.is_cured());
    let waited = clock.now().saturating_duration_since(calm);
    assert!(waited >= secs(30) && waited < secs(31), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn mr7c_a_relapse_restarts_the_cool_down() {
    let rig = rig(MicrorebootConfig::default()).await;
    ill(&rig, &["a", "b", "c"]);
    let clock = Clock::tokio();
    let waiting = rig.manager.report(Report::new("a", "x"));
    sleep(secs(10)).await;
    well(&rig, &["c"]);
    sleep(secs(29)).await;
    ill(&rig, &["c"]);
    sleep(secs(1)).await;
    well(&rig, &["c"]);
    let calm = clock.now();
    assert!(waiting.await.is_cured());
    assert!(clock.now().saturating_duration_since(calm) >= secs(30));
}

#[tokio::test(start_paused = true)]
async fn mr7d_a_storm_does_not_hold_for_ever() {
    // With a wider rung: that one begins.
    let wide = MicrorebootConfig::default().ladder(Ladder::default().with_subtree());
    for (config, is_wide) in [(wide, true), (MicrorebootConfig::default(), false)] {
        let rig = rig(config).await;
        ill(&rig, &["a", "b", "c"]);
        let clock = Clock::tokio();
        let began = clock.now();
        let reports = ["a", "b", "c"].map(|id| rig.manager.report(Report::new(id, "x")));
        for reported in reports {
            match reported.await {
                RebootOutcome::Cured {
                    rung: Rung::Subtree,
                    ..
                } => assert!(is_wide),
                RebootOutcome::HandedOver(_) => assert!(!is_wide),
                other => panic!("{other:?}"),
            }
        }
        let took = clock.now().saturating_duration_since(began);
        assert!(took >= secs(120) && took < secs(125), "{took:?}");
        let starts = rig.world.count("start d");
        assert_eq!(starts, usize::from(is_wide));
    }
}

#[tokio::test(start_paused = true)]
async fn mr7e_members_that_were_stopped_on_purpose_are_not_counted() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("db", &[]);
    rig.add("b", &["db"]);
    rig.add("c", &["db"]);
    rig.add("d", &[]);
    rig.world.set("verify db", &[Goes::Hangs]);
    let _running = rig.manager.report(Report::new("db", "x"));
    while rig.world.count("verify db") == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    // Their checks fail because they were stopped.
    ill(&rig, &["b", "c"]);
    assert!(!rig.manager.snapshot().is_storm);
    assert!(rig.manager.report(Report::new("d", "x")).await.is_cured());
}

#[tokio::test(start_paused = true)]
async fn mr7f_a_human_is_not_held_by_a_storm() {
    let rig = rig(MicrorebootConfig::default()).await;
    ill(&rig, &["a", "b", "c"]);
    let waiting = rig.manager.report(Report::new("a", "x"));
    sleep(secs(1)).await;
    let by_hand = rig.manager.reboot("a");
    assert_eq!(by_hand.episode(), waiting.episode());
    assert!(by_hand.await.is_cured() && waiting.await.is_cured());
    assert!(rig.manager.snapshot().is_storm);
}
