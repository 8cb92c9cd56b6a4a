use super::rig::{Disk, Goes, Rig, builder, epoch, sleep};
use crate::supervise::microreboot::config::MicrorebootConfig;
use crate::supervise::microreboot::event::MicrorebootEventKind;
use crate::supervise::microreboot::outcome::{RebootOutcome, Refusal, Report};
use std::num::NonZeroUsize;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

fn report(n: usize) -> Report {
    // Another fault each time, so that the ladder has no say.
    Report::new("a", ["t", "u", "v", "w", "x", "y"][n])
}

#[tokio::test(start_paused = true)]
async fn mr3b_failures_count_and_a_refusal_runs_no_phase_and_says_when() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("a", &[]);
    rig.world.set("verify a", &[Goes::Fails]);
    for n in 0..3 {
        let outcome = rig.manager.report(report(n)).await;
        assert!(
            matches!(outcome, RebootOutcome::HandedOver(_)),
            "{outcome:?}"
        );
        assert!(rig.manager.acknowledge("a").await);
    }
    rig.world.log();
    let outcome = rig.manager.report(report(3)).await;
    let RebootOutcome::Refused(Refusal::Capped { next_slot }) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(rig.world.log().is_empty());
    let first = rig.records()[0].began;
    assert_eq!(next_slot, first + HOUR);
    assert!(rig.manager.acknowledge("a").await);
    rig.world.set("verify a", &[Goes::Well]);
    sleep(HOUR).await;
    assert!(rig.manager.report(report(4)).await.is_cured());
}

#[tokio::test(start_paused = true)]
async fn mr3d_the_cap_survives_the_process() {
    let disk = Disk::default();
    let first = Rig::with(builder(MicrorebootConfig::default()).history(disk.clone())).await;
    first.add("a", &[]);
    for n in 0..3 {
        assert!(first.manager.report(report(n)).await.is_cured());
    }
    let slot = first.records()[0].began + HOUR;
    drop(first);
    let second = builder(MicrorebootConfig::default()).history(disk.clone());
    let second = Rig::with(second.wall(epoch() + HOUR / 2)).await;
    second.add("a", &[]);
    let outcome = second.manager.report(report(3)).await;
    assert_eq!(
        outcome,
        RebootOutcome::Refused(Refusal::Capped { next_slot: slot })
    );
    // A process whose clock is behind: what was charged counts as of now.
    let third = builder(MicrorebootConfig::default()).history(disk);
    let third = Rig::with(third.wall(epoch() - 9 * HOUR)).await;
    third.add("b", &[]);
    third.add("a", &[]);
    third.manager.acknowledge("a").await;
    let outcome = third.manager.report(report(4)).await;
    let RebootOutcome::Refused(Refusal::Capped { next_slot }) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(next_slot <= epoch() - 8 * HOUR + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn mr3d_a_charge_is_stored_before_anything_is_done() {
    let disk = Disk::default();
    let rig = Rig::with(builder(MicrorebootConfig::default()).history(disk.clone())).await;
    rig.add("a", &[]);
    rig.world.set("checkpoint a", &[Goes::Hangs]);
    let reported = rig.manager.report(report(0));
    while rig.world.count("checkpoint a") == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(disk.stores(), 1);
    drop(reported);
}

#[tokio::test(start_paused = true)]
async fn mr3e_without_its_store_it_counts_in_memory_and_says_so() {
    let disk = Disk::default();
    disk.fail(true);
    let rig = Rig::with(builder(MicrorebootConfig::default()).history(disk.clone())).await;
    rig.add("a", &[]);
    let mut events = rig.manager.subscribe(NonZeroUsize::new(100).unwrap());
    for n in 0..3 {
        assert!(rig.manager.report(report(n)).await.is_cured());
    }
    let mut unavailable = 0;
    while let Some(event) = events.try_recv() {
        unavailable += u32::from(matches!(
            event.kind,
            MicrorebootEventKind::HistoryUnavailable { .. }
        ));
    }
    assert!(unavailable >= 3, "{unavailable}");
    // Once it is there again, what was counted is stored, beside what was there before.
    disk.fail(false);
    let outcome = rig.manager.report(report(3)).await;
    assert!(matches!(
        outcome,
        RebootOutcome::Refused(Refusal::Capped { .. })
    ));
    assert!(rig.manager.acknowledge("a").await);
    let next = Rig::with(builder(MicrorebootConfig::default()).history(disk)).await;
    next.add("a", &[]);
    let outcome = next.manager.report(report(4)).await;
    assert!(matches!(
        outcome,
        RebootOutcome::Refused(Refusal::Capped { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn mr3e_what_could_not_be_read_is_not_written_over() {
    let disk = Disk::default();
    let first = Rig::with(builder(MicrorebootConfig::default()).history(disk.clone())).await;
    first.add("a", &[]);
    for n in 0..3 {
        assert!(first.manager.report(report(n)).await.is_cured());
    }
    drop(first);
    disk.fail(true);
    let second = Rig::with(builder(MicrorebootConfig::default()).history(disk.clone())).await;
    disk.fail(false);
    second.add("a", &[]);
    second.add("b", &[]);
    assert!(
        second
            .manager
            .report(Report::new("b", "x"))
            .await
            .is_cured()
    );
    // It has read, now, what was there: in this process and in the next.
    let third = Rig::with(builder(MicrorebootConfig::default()).history(disk)).await;
    third.add("a", &[]);
    for rig in [second, third] {
        let outcome = rig.manager.report(report(3)).await;
        assert!(matches!(
            outcome,
            RebootOutcome::Refused(Refusal::Capped { .. })
        ));
    }
}
