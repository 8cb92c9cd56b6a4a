//! Random days of a service: what must hold whatever happens.

use super::rig::{Goes, Rig, sleep};
use crate::supervise::microreboot::config::MicrorebootConfig;
use crate::supervise::microreboot::event::MicrorebootEventKind as Kind;
use crate::supervise::microreboot::ladder::Ladder;
use crate::supervise::microreboot::outcome::Report;
use crate::supervise::microreboot::record::{RebootRecord, Rung, Trigger};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];
const PHASES: [&str; 5] = ["checkpoint", "stop", "cleanup", "start", "verify"];
const FAULTS: [&str; 2] = ["x", "y"];
const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug)]
enum Op {
    Report(usize, usize),
    ByHand(usize),
    Acknowledge(usize),
    Health(usize, bool),
    Phase(usize, usize, Vec<Goes>),
    Drop,
    Wait(u64),
}

fn goes() -> impl Strategy<Value = Goes> {
    prop_oneof![
        4 => Just(Goes::Well),
        2 => Just(Goes::Fails),
        1 => Just(Goes::Hangs),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let id = || 0..IDS.len();
    prop_oneof![
        8 => (id(), 0..FAULTS.len()).prop_map(|(id, fault)| Op::Report(id, fault)),
        1 => id().prop_map(Op::ByHand),
        2 => id().prop_map(Op::Acknowledge),
        3 => (id(), any::<bool>()).prop_map(|(id, is_well)| Op::Health(id, is_well)),
        4 => (id(), 0..PHASES.len(), prop::collection::vec(goes(), 1..4))
            .prop_map(|(id, phase, goes)| Op::Phase(id, phase, goes)),
        1 => Just(Op::Drop),
        8 => prop_oneof![0_u64..20, 100_u64..4_000].prop_map(Op::Wait),
    ]
}

async fn day(ops: Vec<Op>) {
    let ladder = Ladder::default().with_group().with_subtree();
    let rig = Rig::new(MicrorebootConfig::default().ladder(ladder)).await;
    let needs: [&[&str]; 5] = [&[], &["a"], &["a"], &["b", "c"], &[]];
    for (id, needs) in IDS.into_iter().zip(needs) {
        let group = (id > "b").then_some("late");
        rig.add_part(rig.part(id), needs, group);
    }
    let mut events = rig.manager.subscribe(NonZeroUsize::new(1_000_000).unwrap());
    let mut reported = Vec::new();
    for op in ops {
        match op {
            Op::Report(id, fault) => {
                reported.push(rig.manager.report(Report::new(IDS[id], FAULTS[fault])));
            }
            Op::ByHand(id) => reported.push(rig.manager.reboot(IDS[id])),
            Op::Acknowledge(id) => {
                rig.manager.acknowledge(IDS[id]).await;
            }
            Op::Health(id, is_well) => assert!(rig.manager.health(IDS[id], is_well)),
            Op::Phase(id, phase, goes) => {
                rig.world
                    .set(&format!("{} {}", PHASES[phase], IDS[id]), &goes);
            }
            Op::Drop => drop(reported.pop()),
            Op::Wait(secs) => sleep(Duration::from_secs(secs)).await,
        }
    }
    // Everybody gets an answer.
    for reported in reported {
        let _ = reported.await;
    }
    sleep(HOUR).await;
    let snapshot = rig.manager.snapshot();
    assert!(
        snapshot
            .components
            .iter()
            .all(|it| !it.is_waiting && !it.is_rebooting),
        "{snapshot}"
    );
    let records = rig.records();
    nothing_overlaps(&records);
    the_cap_holds(&records);
    let mut held = BTreeSet::new();
    while let Some(event) = events.try_recv() {
        match event.kind {
            Kind::HandedOver(notice) => {
                assert!(
                    held.insert(notice.component.clone()),
                    "a second notice: {notice}"
                );
            }
            Kind::Acknowledged { component } => assert!(held.remove(component.as_str())),
            Kind::Began { component, .. } => {
                let by_hand = records.iter().any(|it| it.trigger == Trigger::ByHand);
                assert!(
                    by_hand || !held.contains(component.as_str()),
                    "{component} is held"
                );
            }
            _ => {}
        }
    }
    let still: BTreeSet<_> = snapshot
        .components
        .into_iter()
        .filter(|it| it.is_held)
        .map(|it| it.id)
        .collect();
    assert_eq!(still, held);
}

fn reboots(records: &[Arc<RebootRecord>]) -> Vec<&RebootRecord> {
    let records = records.iter().map(|it| &**it);
    records
        .filter(|it| it.rung < Rung::Process && !it.phases.is_empty())
        .collect()
}

fn nothing_overlaps(records: &[Arc<RebootRecord>]) {
    let all = reboots(records);
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            let shares = one.members.iter().any(|it| other.members.contains(it));
            let apart = one.ended <= other.began || other.ended <= one.began;
            assert!(!shares || apart, "{one:?}\n{other:?}");
        }
    }
}

/// Whatever is charged to one scope: an automated reboot begins with fewer than three in the hour.
fn the_cap_holds(records: &[Arc<RebootRecord>]) {
    let mut charged: BTreeMap<(Rung, &str), Vec<&RebootRecord>> = BTreeMap::new();
    let mut all = reboots(records);
    all.sort_by_key(|it| it.began);
    for record in all {
        let scope = match record.rung {
            Rung::Component => record.component.as_str(),
            rung => rung.name(),
        };
        let before = charged.entry((record.rung, scope)).or_default();
        let age = |it: &&&RebootRecord| record.began.duration_since(it.began).unwrap();
        let recent = before.iter().filter(|it| age(it) < HOUR).count();
        assert!(
            record.trigger == Trigger::ByHand || recent < 3,
            "{record:?}"
        );
        before.push(record);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn mr3a_mr4d_mr6e_random_days_break_no_rule(ops in prop::collection::vec(op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(day(ops));
    }
}
