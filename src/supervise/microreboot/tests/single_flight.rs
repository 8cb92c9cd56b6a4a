use super::rig::{Goes, Rig, sleep};
use crate::supervise::microreboot::config::MicrorebootConfig;
use crate::supervise::microreboot::outcome::{RebootOutcome, Report};
use crate::supervise::microreboot::record::{Rung, Trigger};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn mr4a_ten_reports_give_one_reboot_and_one_outcome() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("a", &[]);
    let reports: Vec<_> = (0..10)
        .map(|_| rig.manager.report(Report::new("a", "x").seen(1)))
        .collect();
    for reported in reports {
        let rung = Rung::Component;
        assert_eq!(
            reported.await,
            RebootOutcome::Cured {
                rung,
                incarnation: 2
            }
        );
    }
    assert_eq!(rig.world.count("start a"), 1);
    assert_eq!(rig.records().len(), 1);
    assert_eq!(rig.last().reports, 10);
}

#[tokio::test(start_paused = true)]
async fn mr4b_a_report_of_an_incarnation_that_is_gone_is_stale() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("a", &[]);
    assert!(
        rig.manager
            .report(Report::new("a", "x").seen(1))
            .await
            .is_cured()
    );
    let outcome = rig.manager.report(Report::new("a", "x").seen(1)).await;
    assert_eq!(outcome, RebootOutcome::Stale { current: 2 });
    assert_eq!(rig.manager.incarnation("a"), Some(2));
    // As soon as `start` is called, while the reboot still runs.
    rig.world.set("verify a", &[Goes::Hangs]);
    let running = rig.manager.report(Report::new("a", "x").seen(2));
    while rig.world.count("verify a") < 2 {
        tokio::task::yield_now().await;
        sleep(Duration::from_millis(1)).await;
    }
    let outcome = rig.manager.report(Report::new("a", "x").seen(2)).await;
    assert_eq!(outcome, RebootOutcome::Stale { current: 3 });
    // And what saw the new one joins.
    let joined = rig.manager.report(Report::new("a", "x").seen(3));
    assert_eq!(joined.episode(), running.episode());
}

#[tokio::test(start_paused = true)]
async fn mr4c_a_report_on_any_member_joins_its_groups_flight() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("db", &[]);
    rig.add("cart", &["db"]);
    rig.add("pay", &["cart"]);
    let first = rig.manager.report(Report::new("db", "x"));
    let second = rig.manager.report(Report::new("pay", "y").seen(1));
    assert_eq!(first.episode(), second.episode());
    assert_eq!(first.await, second.await);
    let log = rig.world.log();
    let steps: Vec<_> = log.iter().filter(|it| it.starts_with("st")).collect();
    let expected = [
        "stop pay",
        "stop cart",
        "stop db",
        "start db",
        "start cart",
        "start pay",
    ];
    assert_eq!(steps, expected);
    assert_eq!(rig.last().members, ["db", "cart", "pay"]);
}

#[tokio::test(start_paused = true)]
async fn mr4d_overlapping_groups_serialise_and_do_not_deadlock() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("a", &[]);
    rig.add("b", &[]);
    rig.add("shared", &["a", "b"]);
    let one = rig.manager.report(Report::new("a", "x"));
    let other = rig.manager.report(Report::new("b", "x"));
    assert_ne!(one.episode(), other.episode());
    assert!(one.await.is_cured() && other.await.is_cured());
    let log = rig.world.log();
    let at = |step: &str| log.iter().position(|it| it == step).unwrap();
    assert!(at("verify a") < at("stop b"), "{log:?}");
    assert_eq!(log.iter().filter(|it| *it == "start shared").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn mr5c_a_group_is_charged_to_its_trigger_and_others_are_untouched() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("db", &[]);
    rig.add("cart", &["db"]);
    rig.add("other", &[]);
    for fault in ["x", "y", "z"] {
        assert!(
            rig.manager
                .report(Report::new("db", fault))
                .await
                .is_cured()
        );
    }
    assert!(
        rig.manager
            .report(Report::new("cart", "x"))
            .await
            .is_cured()
    );
    assert!(!rig.manager.report(Report::new("db", "w")).await.is_cured());
    assert!(!rig.world.log().iter().any(|it| it.contains("other")));
}

#[tokio::test(start_paused = true)]
async fn mr4e_by_hand_neither_cap_nor_hold_refuses_and_nothing_escalates() {
    let rig = Rig::new(MicrorebootConfig::default()).await;
    rig.add("a", &[]);
    for _ in 0..5 {
        assert!(rig.manager.reboot("a").await.is_cured());
    }
    // It was charged all the same.
    let refused = rig.manager.report(Report::new("a", "x")).await;
    assert!(matches!(refused, RebootOutcome::Refused(_)));
    rig.world.set("verify a", &[Goes::Fails]);
    assert_eq!(rig.manager.reboot("a").await, RebootOutcome::Failed);
    let last = rig.last();
    assert_eq!(
        (last.rung, last.trigger),
        (Rung::Component, Trigger::ByHand)
    );
}
