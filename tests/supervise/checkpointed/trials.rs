//! CK3: which checkpoint a start goes on from.

use super::bench::{Bench, Count, Moody, Order, config, front, root, stocked};
use super::{MINUTE, SECOND};
use backstop::durable::snapshot::{Checkpoint, CheckpointStore, Mark};
use backstop::supervise::budget::RestartBudget;
use backstop::supervise::checkpointed::{
    Checkpointed, CheckpointedConfig, EventKind, Origin, RestoreFailure, SaveFailure, Suspicion,
};
use backstop::supervise::supervisor::Ended;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use Origin::{Cold, Newest, NewestAgain, Older};

#[tokio::test(start_paused = true)]
async fn ck3a_the_strike_is_stored_before_the_start() {
    let mut bench = Bench::started(stocked(1), config()).await;
    bench.begun().await;
    assert_eq!(bench.store.written(), ["strike 1", "start newest"]);
    bench.order(Order::Fail);
    bench.begun().await;
    assert_eq!(bench.store.written(), ["strike 1", "start newest"]);
    assert_eq!(bench.marks(1).strikes, 2);
    bench.survive().await;
    assert_eq!((bench.marks(1).strikes, bench.marks(1).verified), (0, true));
    bench.stop().await;
}

fn planted(sequence: u64, version: u32, payload: &[u8]) -> Checkpoint {
    Checkpoint {
        sequence,
        wall: SystemTime::UNIX_EPOCH,
        type_name: "count".into(),
        version,
        codec: "postcard".into(),
        digest: None,
        payload: payload.to_vec(),
    }
}

#[tokio::test(start_paused = true)]
async fn ck3b_what_does_not_decode_is_suspect_at_once_and_the_same_start_goes_on() {
    let store = stocked(1);
    // No number, and one that is not valid.
    store.save("count", &planted(2, 2, &[0x80])).unwrap();
    store.save("count", &planted(3, 2, &[0x9a, 0x05])).unwrap();
    let mut bench = Bench::started(store, config()).await;
    assert_eq!(bench.origin().await, (Newest, Some(1)));
    assert!(bench.marks(2).suspect && bench.marks(3).suspect);
    let passed: Vec<_> = bench.cx.as_ref().unwrap().passed_over().to_vec();
    let passed: Vec<_> = passed
        .iter()
        .map(|one| (one.sequence, one.reason.name()))
        .collect();
    assert_eq!(passed, [(3, "invalid"), (2, "undecodable")]);
    let told = bench.event(|kind| match kind {
        EventKind::Suspected { sequence, why } => Some((sequence, why)),
        _ => None,
    });
    assert_eq!(told.await, (3, Suspicion::Undecodable));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3b_a_start_that_says_bad_state_makes_its_checkpoint_suspect_at_once() {
    let mut bench = Bench::started(stocked(3), config()).await;
    assert_eq!(bench.origin().await, (Newest, Some(3)));
    bench.order(Order::BadState);
    assert_eq!(bench.origin().await, (Newest, Some(2)));
    assert!(bench.marks(3).suspect);
    // Once it was well, the word is about the state it has by then.
    bench.survive().await;
    bench.order(Order::BadState);
    assert_eq!(bench.origin().await, (Newest, Some(2)));
    assert!(!bench.marks(2).suspect);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3c_other_crashes_are_the_newest_twice_the_next_older_once_and_the_newest_again() {
    for order in [|| Order::Fail, || Order::Panic] {
        let mut bench = Bench::started(stocked(3), config()).await;
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(bench.origin().await);
            tokio::time::advance(9 * SECOND).await;
            bench.order(order());
        }
        let again = (NewestAgain, Some(3));
        let newest = (Newest, Some(3));
        let expected = [newest, newest, (Older, Some(2)), again, again, again];
        assert_eq!(seen, expected);
        bench.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ck3d_the_newest_is_suspect_only_if_the_older_one_survives() {
    let mut bench = Bench::started(stocked(3), config()).await;
    for _ in 0..2 {
        bench.begun().await;
        bench.order(Order::Fail);
    }
    assert_eq!(bench.origin().await, (Older, Some(2)));
    tokio::time::advance(9 * SECOND).await;
    assert!(!bench.marks(3).suspect);
    bench.survive().await;
    assert!(bench.marks(3).suspect && bench.marks(2).verified);
    bench.order(Order::Fail);
    assert_eq!(bench.origin().await, (Newest, Some(2)));
    // What is saved from here takes its place above the suspect.
    assert_eq!(bench.save(7).await.unwrap(), 4);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3d_a_dependency_that_was_down_leaves_no_suspicion() {
    let mut bench = Bench::started(stocked(3), config()).await;
    for _ in 0..4 {
        bench.begun().await;
        bench.order(Order::Fail);
    }
    assert_eq!(bench.origin().await, (NewestAgain, Some(3)));
    bench.survive().await;
    let marks = [1, 2, 3].map(|at| (bench.marks(at).suspect, bench.marks(at).strikes));
    assert_eq!(marks, [(false, 0); 3]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3e_a_cold_start_is_tried_last_and_only_if_opted_in() {
    let mut bench = Bench::started(stocked(2), config().cold_start(true)).await;
    for origin in [Newest, Newest, Older] {
        assert_eq!(bench.origin().await.0, origin);
        bench.order(Order::Fail);
    }
    let begun = bench.begun().await;
    assert_eq!((begun.origin, begun.state), (Cold, None));
    bench.order(Order::Fail);
    assert_eq!(bench.origin().await, (NewestAgain, Some(2)));
    bench.stop().await;
    // Its survival condemns both that were tried.
    let mut bench = Bench::started(stocked(3), config().cold_start(true)).await;
    for _ in 0..3 {
        bench.begun().await;
        bench.order(Order::Fail);
    }
    assert_eq!(bench.origin().await, (Cold, None));
    bench.survive().await;
    let suspects = [1, 2, 3].map(|at| bench.marks(at).suspect);
    assert_eq!(suspects, [false, true, true]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3f_after_a_withdrawn_suspicion_the_newest_is_used_until_the_budget_ends() {
    let budget = RestartBudget::new(6, MINUTE);
    let mut bench = Bench::started(stocked(3), config().budget(budget)).await;
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(bench.origin().await.0);
        bench.order(Order::Fail);
    }
    let again = NewestAgain;
    assert_eq!(seen, [Newest, Newest, Older, again, again, again, again]);
    let ended = bench.supervisor.as_ref().unwrap().ended().await;
    assert!(matches!(ended, Ended::GaveUp(_)), "{ended:?}");
    let withdrawn = bench
        .told()
        .iter()
        .filter(|told| **told == "withdrawn")
        .count();
    assert_eq!(withdrawn, 1);
}

#[tokio::test(start_paused = true)]
async fn ck3g_another_process_goes_on_with_the_sequence() {
    let store = stocked(3);
    let mut seen = Vec::new();
    let mut leaked = Vec::new();
    for _ in 0..5 {
        let mut bench = Bench::started(store.clone(), config()).await;
        seen.push(bench.origin().await.0);
        // A process that is killed stops nothing and marks nothing.
        leaked.push(bench);
    }
    assert_eq!(seen, [Newest, Newest, Older, NewestAgain, NewestAgain]);
}

#[tokio::test(start_paused = true)]
async fn ck3h_a_strike_that_cannot_be_stored_is_counted_and_told() {
    let mut bench = Bench::started(stocked(3), config()).await;
    bench.store.fails_marks.store(true, Ordering::SeqCst);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(bench.origin().await.0);
        bench.order(Order::Fail);
    }
    assert_eq!(seen, [Newest, Newest, Older, NewestAgain, NewestAgain]);
    assert!(bench.told().contains(&"strike not stored"));
    assert!(bench.marks(3).strikes <= 1);
    // A suspicion that cannot be stored holds, and is stored when that is possible.
    bench.begun().await;
    bench.order(Order::BadState);
    assert_eq!(bench.origin().await.1, Some(2));
    assert!(bench.told().contains(&"mark not stored"));
    bench.store.fails_marks.store(false, Ordering::SeqCst);
    assert!(!bench.marks(3).suspect);
    bench.order(Order::Fail);
    bench.begun().await;
    assert!(bench.marks(3).suspect);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3i_a_child_that_is_stopped_early_or_ends_well_is_no_strike() {
    let store = stocked(2);
    for _ in 0..4 {
        let mut bench = Bench::started(store.clone(), config()).await;
        assert_eq!(bench.origin().await, (Newest, Some(2)));
        assert_eq!(bench.marks(2).strikes, 1);
        bench.stop().await;
        assert_eq!(bench.marks(2).strikes, 0);
    }
    let mut bench = Bench::started(store, config()).await;
    for _ in 0..4 {
        assert_eq!(bench.origin().await, (Newest, Some(2)));
        bench.order(Order::Return);
    }
    bench.begun().await;
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3i_a_start_that_was_stopped_before_it_had_its_state_is_no_strike() {
    let store = stocked(2);
    store.hang(true);
    let mut bench = Bench::new(store.clone(), config());
    let spec = bench.spec.take().unwrap();
    let supervisor = root().start().await.unwrap();
    let adds = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.add(spec).await.map(drop) }
    });
    while store.inside() == 0 {
        tokio::task::yield_now().await;
    }
    let stops = tokio::spawn(async move { supervisor.stop().await });
    while !stops.is_finished() {
        tokio::task::yield_now().await;
    }
    assert!(adds.await.unwrap().is_err());
    assert!(bench.is_quiet());
    store.hang(false);
    // The load may have struck before it learned that nobody waits.
    let mut bench = Bench::started(store, config()).await;
    bench.begun().await;
    assert_eq!(bench.marks(2).strikes, 1, "one for the start that was made");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3j_a_budget_too_small_for_the_sequence_is_refused() {
    let checkpoints = front(&Moody::keeping(3));
    for (cold, least) in [(false, 3), (true, 4)] {
        let with = |restarts| {
            let budget = RestartBudget::new(restarts, MINUTE);
            let config = CheckpointedConfig::default()
                .cold_start(cold)
                .budget(budget);
            Checkpointed::new("count", checkpoints.clone(), config)
        };
        assert!(with(least).is_ok());
        let refused = with(least - 1).unwrap_err();
        assert_eq!(
            (refused.part(), refused.field()),
            (Some("budget"), "restarts")
        );
    }
    // The least is enough to come to the end of the sequence.
    let least = config()
        .budget(RestartBudget::new(4, MINUTE))
        .cold_start(true);
    let mut bench = Bench::started(stocked(2), least).await;
    bench.begun().await;
    bench.survive().await;
    for origin in [Newest, Newest, Older, Cold] {
        bench.order(Order::Fail);
        assert_eq!(bench.origin().await.0, origin);
    }
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3j_the_budget_is_the_childs_own() {
    let mut bench = Bench::new(stocked(1), config());
    let spec = bench.spec.take().unwrap();
    let sibling = backstop::supervise::child::ChildSpec::new("sibling", |cx| async move {
        cx.cancelled().await;
        Ok::<(), std::io::Error>(())
    });
    let supervisor = root().child(spec).child(sibling);
    bench.supervisor = Some(supervisor.start().await.unwrap());
    for _ in 0..12 {
        bench.begun().await;
        bench.order(Order::Fail);
    }
    bench.begun().await;
    let tree = bench.supervisor.as_ref().unwrap().snapshot();
    assert_eq!(tree.restarts_in_window, 0, "of the supervisor's own");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3k_a_trial_saves_nothing_until_it_was_survived() {
    let mut bench = Bench::started(stocked(3), config()).await;
    for _ in 0..2 {
        bench.begun().await;
        bench.order(Order::Fail);
    }
    bench.begun().await;
    let cx = bench.cx.clone().unwrap();
    let kept = cx.keep(Count(50));
    let failure = bench.save(50).await.unwrap_err();
    assert!(matches!(failure, SaveFailure::OnTrial), "{failure}");
    assert!(matches!(kept.save().await, Err(SaveFailure::OnTrial)));
    assert_eq!(bench.newest(), 30);
    // Not when it ends well before that, either.
    bench.order(Order::Return);
    assert_eq!(bench.origin().await, (Older, Some(2)));
    assert_eq!(bench.newest(), 30);
    // Survived: what was held back is saved at once.
    let cx = bench.cx.clone().unwrap();
    let _kept = cx.keep(Count(60));
    let start = cx.clock().now();
    bench.survive().await;
    assert_eq!(bench.saved().await, 4);
    assert_eq!(
        (bench.newest(), cx.clock().now()),
        (60, start + 10 * SECOND)
    );
    assert!(bench.marks(3).suspect);
    bench.stop().await;
    // The other way to save is due at once.
    let mut bench = Bench::started(stocked(3), config()).await;
    for _ in 0..2 {
        bench.begun().await;
        bench.order(Order::Fail);
    }
    bench.begun().await;
    let cx = bench.cx.clone().unwrap();
    let start = cx.clock().now();
    cx.checkpoint_due().await;
    assert_eq!(cx.clock().now(), start + 10 * SECOND);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3l_what_this_build_cannot_read_is_passed_over_and_not_marked() {
    let store = stocked(1);
    store.save("count", &planted(2, 9, &[1])).unwrap();
    for _ in 0..5 {
        let mut bench = Bench::started(store.clone(), config()).await;
        assert_eq!(bench.origin().await, (Newest, Some(1)));
        assert_eq!((bench.marks(2).suspect, bench.marks(2).strikes), (false, 0));
        // What is saved is newer than what cannot be read.
        bench.stop().await;
    }
    let mut bench = Bench::started(store, config()).await;
    bench.begun().await;
    assert_eq!(bench.save(7).await.unwrap(), 3);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3l_no_checkpoint_of_use_and_a_store_that_cannot_be_read_fail_the_start() {
    let mut bench = Bench::new(stocked(1), config());
    bench.checkpoints.mark(1, Mark::Suspect).unwrap();
    let spec = bench.spec.take().unwrap();
    let error = root().child(spec).start().await.unwrap_err();
    let text = format!(
        "{error} {:?}",
        std::error::Error::source(&error).map(ToString::to_string)
    );
    assert!(text.contains("no checkpoint can be gone on from"), "{text}");
    let told = bench.event(|kind| match kind {
        EventKind::NotRestored { error } => Some(error),
        _ => None,
    });
    let RestoreFailure::NoneUsable(passed_over) = told.await else {
        panic!("another one")
    };
    assert_eq!(passed_over[0].to_string(), "checkpoint 1: it is suspect");
    // Not to be able to read is not to have none.
    let mut bench = Bench::new(Moody::keeping(3), config().cold_start(true));
    bench.store.fails_reads.store(true, Ordering::SeqCst);
    let spec = bench.spec.take().unwrap();
    assert!(root().child(spec).start().await.is_err());
    assert!(bench.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn ck3m_the_time_to_survive_is_counted_from_when_it_was_ready() {
    let mut bench = Bench::new(stocked(1), config().explicit_readiness(true));
    let spec = bench.spec.take().unwrap();
    let supervisor = root().start().await.unwrap();
    let adds = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.add(spec).await.map(drop) }
    });
    bench.supervisor = Some(supervisor);
    bench.begun().await;
    tokio::time::advance(20 * SECOND).await;
    assert_eq!(bench.marks(1).strikes, 1);
    let clock = bench.cx.as_ref().unwrap().clock().clone();
    let ready_at = clock.now();
    bench.order(Order::Ready);
    bench.survive().await;
    assert_eq!(clock.now(), ready_at + 10 * SECOND);
    adds.await.unwrap().unwrap();
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck3n_what_is_saved_before_the_start_is_proven_takes_no_older_ones_place() {
    let mut bench = Bench::started(stocked(1), config()).await;
    bench.begun().await;
    bench.save(20).await.unwrap();
    assert!(bench.marks(2).provisional);
    bench.survive().await;
    bench.save(30).await.unwrap();
    assert!(!bench.marks(3).provisional);
    bench.stop().await;
}
