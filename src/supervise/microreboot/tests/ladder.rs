use super::rig::{Disk, Goes, Rig, builder, epoch, sleep};
use crate::kernel::sync::Mutex;
use crate::supervise::microreboot::config::MicrorebootConfig;
use crate::supervise::microreboot::event::{MicrorebootEventKind, Skip};
use crate::supervise::microreboot::ladder::Ladder;
use crate::supervise::microreboot::outcome::{RebootOutcome, Refusal, Report};
use crate::supervise::microreboot::record::{RecordOutcome, Rung};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn mr6e_the_ladder_ends_in_exactly_one_notice_and_holds_until_acknowledged() {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let seen = notices.clone();
    let rig = builder(MicrorebootConfig::default()).on_notice(move |notice| {
        seen.lock().push(notice.clone());
    });
    let rig = Rig::with(rig).await;
    rig.add("a", &[]);
    let mut events = rig.manager.subscribe(NonZeroUsize::new(1_000).unwrap());
    rig.world.set("verify a", &[Goes::Fails]);
    let reports: Vec<_> = (0..5)
        .map(|_| rig.manager.report(Report::new("a", "x")))
        .collect();
    for reported in reports {
        assert!(matches!(reported.await, RebootOutcome::HandedOver(_)));
    }
    rig.world.log();
    for _ in 0..20 {
        let outcome = rig.manager.report(Report::new("a", "y")).await;
        assert_eq!(outcome, RebootOutcome::Refused(Refusal::Held));
        sleep(Duration::from_secs(3_600)).await;
    }
    assert!(rig.world.log().is_empty());
    let told = std::iter::from_fn(|| events.try_recv());
    let told = told.filter(|it| matches!(it.kind, MicrorebootEventKind::HandedOver(_)));
    assert_eq!(told.count(), 1);
    let notice = notices.lock().pop().unwrap();
    assert!(notices.lock().is_empty());
    let outcomes: Vec<_> = notice.history.iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [RecordOutcome::Failed, RecordOutcome::HandedOver]);
    assert!(rig.manager.acknowledge("a").await);
    assert!(!rig.manager.acknowledge("a").await);
    assert_eq!(rig.last().outcome, RecordOutcome::Acknowledged);
    rig.world.set("verify a", &[Goes::Well]);
    assert!(rig.manager.report(Report::new("a", "x")).await.is_cured());
}

#[tokio::test(start_paused = true)]
async fn mr6f_a_reboot_under_a_supervisor_that_is_shut_down_calls_nobody() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("a", &[]);
    rig.world.set("start a", &[Goes::Fails]);
    rig.world.ends.store(true, Ordering::Relaxed);
    let outcome = rig.manager.report(Report::new("a", "x")).await;
    assert_eq!(outcome, RebootOutcome::Abandoned);
    let outcomes: Vec<_> = rig.manager.records().iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [RecordOutcome::Abandoned]);
    // Nothing is held.
    rig.world.ends.store(false, Ordering::Relaxed);
    rig.world.set("start a", &[Goes::Well]);
    assert!(rig.manager.report(Report::new("a", "x")).await.is_cured());
}

#[tokio::test(start_paused = true)]
async fn mr6e_a_hold_survives_the_process() {
    let disk = Disk::default();
    let rig = Rig::with(builder(MicrorebootConfig::default()).history(disk.clone())).await;
    rig.add("a", &[]);
    rig.world.set("verify a", &[Goes::Fails]);
    let outcome = rig.manager.report(Report::new("a", "x")).await;
    assert!(matches!(outcome, RebootOutcome::HandedOver(_)));
    sleep(Duration::from_millis(10)).await;
    let next = Rig::with(builder(MicrorebootConfig::default()).history(disk)).await;
    next.add("a", &[]);
    let outcome = next.manager.report(Report::new("a", "x")).await;
    assert_eq!(outcome, RebootOutcome::Refused(Refusal::Held));
    assert!(next.manager.acknowledge("a").await);
    assert!(next.manager.report(Report::new("a", "x")).await.is_cured());
}

#[tokio::test(start_paused = true)]
async fn mr6b_a_fault_that_comes_back_starts_one_rung_higher_before_the_cap_is_asked() {
    let config = MicrorebootConfig::default().ladder(Ladder::default().with_group());
    let rig = Rig::new(config).await;
    let (part, other) = (rig.part("a"), rig.part("b"));
    rig.add_part(part, &[], Some("shop"));
    rig.add_part(other, &[], Some("shop"));
    for _ in 0..3 {
        let outcome = rig.manager.report(Report::new("a", "x")).await;
        assert!(matches!(
            outcome,
            RebootOutcome::Cured {
                rung: Rung::Component,
                ..
            }
        ));
    }
    let mut events = rig.manager.subscribe(NonZeroUsize::new(100).unwrap());
    let outcome = rig.manager.report(Report::new("a", "x")).await;
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
    assert_eq!(rig.last().members, ["a", "b"]);
    // The component's cap is full, too; but the rung was left out because of the fault.
    let skip = std::iter::from_fn(|| events.try_recv()).find_map(|it| match it.kind {
        MicrorebootEventKind::Skipped { why, .. } => Some(why),
        _ => None,
    });
    assert_eq!(skip, Some(Skip::Recurring));
}

#[tokio::test(start_paused = true)]
async fn mr6c_what_fails_or_is_capped_goes_one_rung_up_and_rungs_that_do_not_apply_are_left_out() {
    let ladder = Ladder::default().with_group().with_subtree();
    let rig = Rig::new(MicrorebootConfig::default().ladder(ladder)).await;
    rig.add("a", &[]);
    rig.add("b", &[]);
    // Two attempts fail on each of the first two rungs that there are.
    rig.world
        .set("start a", &[Goes::Fails, Goes::Fails, Goes::Well]);
    let outcome = rig.manager.report(Report::new("a", "x")).await;
    assert!(
        matches!(
            outcome,
            RebootOutcome::Cured {
                rung: Rung::Subtree,
                ..
            }
        ),
        "{outcome:?}"
    );
    let rungs: Vec<_> = rig
        .records()
        .iter()
        .map(|it| (it.rung, it.episode))
        .collect();
    assert_eq!(rungs, [(Rung::Component, 1), (Rung::Subtree, 1)]);
    for fault in ["u", "v"] {
        assert!(rig.manager.report(Report::new("a", fault)).await.is_cured());
    }
    // The component is capped now; its subtree was charged once.
    let outcome = rig.manager.report(Report::new("a", "w")).await;
    assert!(
        matches!(
            outcome,
            RebootOutcome::Cured {
                rung: Rung::Subtree,
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[cfg(feature = "durable")]
mod process {
    use super::*;
    use crate::durable::boot::Exit;
    use crate::supervise::microreboot::{EXIT_CODE, MicrorebootManagerBuilder};

    fn with(disk: &Disk, codes: &Arc<Mutex<Vec<i32>>>) -> MicrorebootManagerBuilder {
        let ladder = Ladder::default().with_process();
        let codes = codes.clone();
        builder(MicrorebootConfig::default().ladder(ladder))
            .history(disk.clone())
            .exit(Exit::hook(move |code, _| codes.lock().push(code)))
    }

    /// A process that ended because of component `a`.
    async fn ended(disk: &Disk) -> Rig {
        let codes = Arc::default();
        let rig = Rig::with(with(disk, &codes)).await;
        rig.add("a", &[]);
        rig.world.set("verify a", &[Goes::Fails]);
        let outcome = rig.manager.report(Report::new("a", "x").by("prober")).await;
        assert_eq!(outcome, RebootOutcome::Exiting);
        assert_eq!(*codes.lock(), [EXIT_CODE]);
        let outcome = rig.manager.report(Report::new("a", "x")).await;
        assert_eq!(outcome, RebootOutcome::Refused(Refusal::Exiting));
        rig
    }

    #[tokio::test(start_paused = true)]
    async fn mr6d_the_process_rung_exits_with_75_and_the_next_process_goes_on() {
        for goes in [Goes::Well, Goes::Fails] {
            let disk = Disk::default();
            let episode = ended(&disk).await.last().episode;
            let codes = Arc::default();
            let next = with(&disk, &codes).wall(epoch() + Duration::from_secs(60));
            let next = Rig::with(next).await;
            next.world.set("verify a", &[goes]);
            next.add("a", &[]);
            let outcome = next.manager.report(Report::new("a", "x")).await;
            let first = next.records()[0].clone();
            assert_eq!((first.rung, first.episode), (Rung::Process, episode));
            assert_eq!(first.reporter, "prober");
            assert!(first.downtime() >= Duration::from_secs(60));
            assert_eq!(next.world.log(), ["verify a"]);
            match outcome {
                RebootOutcome::Cured {
                    rung: Rung::Process,
                    ..
                } => assert_eq!(goes, Goes::Well),
                RebootOutcome::HandedOver(notice) => {
                    assert_eq!(goes, Goes::Fails);
                    let rungs: Vec<_> = notice.history.iter().map(|it| it.rung).collect();
                    let expected = [Rung::Component, Rung::Process, Rung::Human];
                    assert_eq!(rungs, expected);
                }
                other => panic!("{other:?}"),
            }
            assert!(codes.lock().is_empty(), "once");
            // A third process has nothing to go on with.
            sleep(Duration::from_millis(10)).await;
            let third = Rig::with(with(&disk, &codes)).await;
            third.add("a", &[]);
            sleep(Duration::from_millis(10)).await;
            assert!(third.world.log().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn mr6d_without_a_working_store_the_process_rung_is_left_out() {
        let disk = Disk::default();
        let codes = Arc::default();
        let rig = Rig::with(with(&disk, &codes)).await;
        rig.add("a", &[]);
        rig.world.set("verify a", &[Goes::Fails]);
        disk.fail(true);
        let outcome = rig.manager.report(Report::new("a", "x")).await;
        let RebootOutcome::HandedOver(notice) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(notice.skipped, [(Rung::Process, Skip::NoHistory)]);
        assert!(codes.lock().is_empty());
        // With one that is gone with the process it is refused at once.
        let ladder = Ladder::default().with_process();
        let config = MicrorebootConfig::default().ladder(ladder);
        let in_memory = builder(config).exit(Exit::hook(|_, _| {}));
        assert!(in_memory.start().await.is_err());
        assert!(builder(config).history(disk).start().await.is_err());
    }
}
