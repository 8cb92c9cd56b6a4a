use super::rig::{Goes, Rig, sleep};
use crate::supervise::microreboot::config::MicrorebootConfig;
use crate::supervise::microreboot::outcome::{RebootOutcome, Report};
use crate::supervise::microreboot::record::{Phase, PhaseResult, RecordOutcome, Rung, StartedFrom};
use std::time::Duration;

async fn rig() -> Rig {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("a", &[]);
    rig
}

#[tokio::test(start_paused = true)]
async fn mr1a_a_report_runs_the_phases_in_order() {
    let rig = rig().await;
    *rig.world.state.lock() = 7;
    let outcome = rig.manager.report(Report::new("a", "oom")).await;
    let rung = Rung::Component;
    assert_eq!(
        outcome,
        RebootOutcome::Cured {
            rung,
            incarnation: 2
        }
    );
    let expected = [
        "checkpoint a",
        "stop a",
        "cleanup a",
        "start a",
        "a from 7",
        "verify a",
    ];
    assert_eq!(rig.world.log(), expected);
}

#[tokio::test(start_paused = true)]
async fn mr1b_a_checkpoint_that_fails_panics_or_hangs_does_not_stop_the_recovery() {
    for (goes, result) in [
        (Goes::Fails, PhaseResult::Failed("as it was told".into())),
        (Goes::Hangs, PhaseResult::TimedOut),
    ] {
        let rig = rig().await;
        // One verified state, from a reboot that went well.
        *rig.world.state.lock() = 1;
        assert!(rig.manager.report(Report::new("a", "x")).await.is_cured());
        *rig.world.state.lock() = 2;
        rig.world.set("checkpoint a", &[goes]);
        rig.world.log();
        assert!(rig.manager.report(Report::new("a", "x")).await.is_cured());
        assert!(rig.world.log().contains(&"a from 1".to_owned()));
        let record = rig.last();
        assert_eq!(record.phases[0].result, result);
        assert_eq!(record.started_from, Some(StartedFrom::Verified));
    }
    let rig = rig().await;
    rig.world.set("checkpoint a", &[Goes::Panics]);
    assert!(rig.manager.report(Report::new("a", "x")).await.is_cured());
    let record = rig.last();
    assert!(matches!(record.phases[0].result, PhaseResult::Panicked(_)));
    assert_eq!(record.started_from, Some(StartedFrom::Cold));
}

#[tokio::test(start_paused = true)]
async fn mr1e_each_phase_has_its_own_limit() {
    let limits = [
        (Phase::Checkpoint, 1, RecordOutcome::Cured),
        (Phase::Cleanup, 5, RecordOutcome::Failed),
        (Phase::Verify, 10, RecordOutcome::Failed),
    ];
    for (phase, seconds, outcome) in limits {
        let rig = rig().await;
        // From no provisional state, so that there is no second attempt.
        rig.world.set("checkpoint a", &[Goes::Fails]);
        rig.world.set(&format!("{phase} a"), &[Goes::Hangs]);
        let _ = rig.manager.report(Report::new("a", "x")).await;
        let record = rig.records()[0].clone();
        let took = record.took(phase);
        let limit = Duration::from_secs(seconds);
        assert!(
            took >= limit && took < limit + Duration::from_millis(200),
            "{phase} {took:?}"
        );
        assert_eq!(record.outcome, outcome, "{phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn mr1e_a_supervisor_that_hangs_does_not_block_the_manager() {
    for (phase, result) in [
        ("stop a", PhaseResult::Orphaned),
        ("start a", PhaseResult::TimedOut),
    ] {
        let rig = rig().await;
        rig.world.set("checkpoint a", &[Goes::Fails]);
        rig.world.set(phase, &[Goes::Hangs, Goes::Well]);
        let outcome = rig.manager.report(Report::new("a", "x")).await;
        assert!(
            matches!(outcome, RebootOutcome::HandedOver(_)),
            "{outcome:?}"
        );
        let record = rig.records()[0].clone();
        assert_eq!(record.phases.last().unwrap().result, result);
    }
}

#[tokio::test(start_paused = true)]
async fn mr1c_a_cleanup_that_fails_goes_to_the_next_rung_unless_it_is_optional() {
    for is_needed in [true, false] {
        let rig = Rig::new(MicrorebootConfig::default()).await;
        let mut part = rig.part("a");
        part.needs_cleanup = is_needed;
        rig.add_part(part, &[], None);
        rig.world.set("cleanup a", &[Goes::Panics]);
        let outcome = rig.manager.report(Report::new("a", "x")).await;
        assert_eq!(outcome.is_cured(), !is_needed);
        assert_eq!(rig.world.count("start a"), usize::from(!is_needed));
    }
}

#[tokio::test(start_paused = true)]
async fn mr1d_an_orphan_blocks_the_start() {
    let rig = rig().await;
    rig.world.set("stop a", &[Goes::Orphans]);
    let outcome = rig.manager.report(Report::new("a", "x")).await;
    let RebootOutcome::HandedOver(notice) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(rig.world.count("start a"), 0);
    assert!(notice.to_string().contains("still runs"), "{notice}");
}

#[tokio::test(start_paused = true)]
async fn mr2a_mr2b_a_poisoned_checkpoint_is_tried_once_under_one_charge() {
    let rig = rig().await;
    *rig.world.state.lock() = 1;
    assert!(rig.manager.report(Report::new("a", "x")).await.is_cured());
    *rig.world.state.lock() = 666;
    rig.world.set("verify a", &[Goes::Fails, Goes::Well]);
    rig.world.log();
    assert!(rig.manager.report(Report::new("a", "x")).await.is_cured());
    let froms: Vec<_> = rig
        .world
        .log()
        .into_iter()
        .filter(|it| it.contains("from"))
        .collect();
    assert_eq!(froms, ["a from 666", "a from 1"]);
    let record = rig.last();
    assert_eq!(record.started_from, Some(StartedFrom::Verified));
    assert_eq!(record.phases.last().unwrap().attempt, 2);
    // Two charges so far: a third reboot begins.
    assert!(rig.manager.report(Report::new("a", "y")).await.is_cured());
    // And the poisoned state was not kept as a verified one.
    rig.world.set("checkpoint a", &[Goes::Fails]);
    sleep(Duration::from_secs(3_600)).await;
    rig.world.log();
    assert!(rig.manager.report(Report::new("a", "z")).await.is_cured());
    assert!(rig.world.log().contains(&"a from 666".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn mr11a_a_record_says_what_happened() {
    let rig = rig().await;
    rig.manager.health("a", true);
    let report = Report::new("a", "slow").by("prober").seen(1);
    sleep(Duration::from_secs(5)).await;
    assert!(rig.manager.report(report).await.is_cured());
    let record = rig.last();
    assert_eq!(
        (record.component.as_str(), record.fault.as_str()),
        ("a", "slow")
    );
    assert_eq!((record.reporter.as_str(), record.reports), ("prober", 1));
    assert_eq!(record.members, ["a"]);
    assert_eq!(record.was_clear, Some(true));
    assert!(record.is_automated());
    let phases: Vec<_> = record.phases.iter().map(|it| it.phase).collect();
    assert_eq!(phases, Phase::ALL);
    assert_eq!(record.took(Phase::Start), Duration::from_millis(10));
    assert_eq!(record.onset, super::rig::epoch() + Duration::from_secs(5));
    assert!(record.downtime() >= Duration::from_millis(10));
    assert_eq!(record.calls, None);
    let by_hand = rig.manager.reboot("a").await;
    assert!(by_hand.is_cured() && !rig.last().is_automated());
}
