//! CK1: a start gets the last good state, and saves never stop the child.

use super::bench::{Bench, Count, INVALID, Moody, Order, PANICS, config, front, stocked};
use super::{MINUTE, SECOND};
use backstop::durable::snapshot::{Checkpoint, CheckpointStore};
use backstop::supervise::checkpointed::{Checkpointed, CheckpointedConfig, Origin, SaveFailure};
use futures::FutureExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

#[tokio::test(start_paused = true)]
async fn ck1a_a_start_gets_the_state_of_the_last_checkpoint() {
    let mut bench = Bench::started(Moody::keeping(3), config()).await;
    let first = bench.begun().await;
    assert_eq!((first.origin, first.state), (Origin::Fresh, None));
    assert_eq!(bench.save(7).await.unwrap(), 1);
    bench.order(Order::Fail);
    let second = bench.begun().await;
    assert_eq!((second.state, second.sequence), (Some(7), Some(1)));
    assert_eq!(bench.save(8).await.unwrap(), 2);
    bench.stop().await;
    // Also of another process, as it were.
    let mut bench = Bench::started(bench.store.clone(), config()).await;
    let third = bench.begun().await;
    assert_eq!((third.state, third.sequence), (Some(8), Some(2)));
    let wall = bench.checkpoints.latest().unwrap().restored.unwrap().wall;
    let now = bench.cx.as_ref().unwrap().clock().wall();
    let age = now.duration_since(wall).unwrap_or_default();
    assert!(
        age < MINUTE,
        "the time of a checkpoint is when it was taken"
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1b_a_save_that_ended_is_durable_and_was_stored_elsewhere() {
    let mut bench = Bench::started(Moody::keeping(3), config()).await;
    bench.begun().await;
    // The store hangs, and the child's thread, which is this one, does not.
    bench.store.hang(true);
    let cx = bench.cx.clone().unwrap();
    let mut save = Box::pin(cx.save(&Count(5)));
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(save.as_mut().now_or_never().is_none());
    }
    bench.store.hang(false);
    assert_eq!(save.await.unwrap(), 1);
    assert_eq!(bench.newest(), 5);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1c_a_failed_save_is_an_event_and_the_previous_checkpoint_stays() {
    let mut bench = Bench::started(Moody::keeping(3), config()).await;
    bench.begun().await;
    bench.save(1).await.unwrap();
    bench.told();
    bench.store.fails_saves.store(true, Ordering::SeqCst);
    for n in 2..5 {
        let failure = bench.save(n).await.unwrap_err();
        assert!(matches!(failure, SaveFailure::Store(_)), "{failure}");
        assert_eq!(bench.told(), ["save failed"]);
    }
    assert_eq!(bench.newest(), 1);
    assert!(bench.is_quiet(), "the child was not started again");
    // A failed save may be there all the same: its number is not used again.
    bench.store.fails_saves.store(false, Ordering::SeqCst);
    assert_eq!(bench.save(5).await.unwrap(), 5);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1d_one_save_is_stored_at_a_time_and_a_newer_one_takes_the_place_of_who_waits() {
    let mut bench = Bench::started(Moody::keeping(100), config()).await;
    bench.begun().await;
    bench.store.written();
    bench.store.hang(true);
    let cx = bench.cx.clone().unwrap();
    let saves: Vec<_> = (1_001..=2_000).map(|n| cx.save(&Count(n))).collect();
    bench.store.hang(false);
    for save in saves {
        assert!(save.await.is_ok());
    }
    // The first was under way, or was taken over like the others; the last is the newest.
    assert!(bench.store.written().len() <= 2);
    assert_eq!((bench.newest(), bench.store.most()), (2_000, 1));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1e_a_save_is_of_the_state_as_it_was_and_goes_on_without_its_future() {
    let mut bench = Bench::started(Moody::keeping(3), config()).await;
    bench.begun().await;
    let cx = bench.cx.clone().unwrap();
    let mut state = Count(5);
    bench.store.hang(true);
    let save = cx.save(&state);
    state.0 = 6;
    drop((save, state));
    bench.store.hang(false);
    assert_eq!(bench.saved().await, 1);
    assert_eq!(bench.newest(), 5);
    // A child that is aborted in the middle of a save leaves a whole one or none.
    bench.store.hang(true);
    drop(cx.save(&Count(7)));
    bench.order(Order::Panic);
    bench.store.hang(false);
    assert_eq!(bench.begun().await.state, Some(7));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1f_a_checkpoint_is_due_each_period_after_the_last() {
    let mut bench = Bench::started(Moody::keeping(3), config()).await;
    bench.begun().await;
    let cx = bench.cx.clone().unwrap();
    let clock = cx.clock().clone();
    let start = clock.now();
    let minutes = |n: u32| start + n * MINUTE;
    cx.checkpoint_due().await;
    assert_eq!(clock.now(), minutes(5));
    // One that is dropped loses nothing, and one that is late is due at once, and once.
    tokio::time::timeout(MINUTE, cx.checkpoint_due())
        .await
        .unwrap_err();
    cx.checkpoint_due().await;
    assert_eq!(clock.now(), minutes(10));
    tokio::time::advance(12 * MINUTE).await;
    assert!(cx.checkpoint_due().now_or_never().is_some());
    assert!(cx.checkpoint_due().now_or_never().is_none());
    // A save moves it on, also while somebody waits.
    let waits = tokio::spawn({
        let cx = cx.clone();
        async move { cx.checkpoint_due().await }
    });
    tokio::time::advance(MINUTE).await;
    bench.save(3).await.unwrap();
    waits.await.unwrap();
    assert_eq!(clock.now(), minutes(28));
    // A failed one does not.
    bench.store.fails_saves.store(true, Ordering::SeqCst);
    tokio::time::advance(MINUTE).await;
    bench.save(4).await.unwrap_err();
    cx.checkpoint_due().await;
    assert_eq!(clock.now(), minutes(33));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1g_a_kept_state_is_saved_each_period_and_when_the_child_ends_well() {
    let mut bench = Bench::started(Moody::keeping(3), config()).await;
    bench.begun().await;
    let cx = bench.cx.clone().unwrap();
    let kept = cx.keep(Count(1));
    let start = cx.clock().now();
    for n in 1..4_u32 {
        kept.lock().0 = u64::from(n);
        assert_eq!(bench.saved().await, u64::from(n));
        assert_eq!(cx.clock().now(), start + n * 5 * MINUTE);
        assert_eq!(bench.newest(), u64::from(n));
    }
    // By hand.
    kept.lock().0 = 4;
    assert_eq!(kept.save().await.unwrap(), 4);
    // Not what a crash left: it may be half done.
    kept.lock().0 = 5;
    bench.order(Order::Fail);
    assert_eq!(bench.begun().await.state, Some(4));
    let kept = bench.cx.as_ref().unwrap().keep(Count(6));
    kept.lock().0 = 7;
    bench.order(Order::Return);
    assert_eq!(bench.begun().await.state, Some(7));
    let cx = bench.cx.clone().unwrap();
    // A second one takes the place of the first.
    let _first = cx.keep(Count(8));
    let _second = cx.keep(Count(9));
    bench.stop().await;
    assert_eq!(bench.newest(), 9);
}

#[tokio::test(start_paused = true)]
async fn ck1g_a_guard_that_is_held_holds_up_the_save_and_not_the_stop() {
    let mut bench = Bench::started(Moody::keeping(3), config()).await;
    bench.begun().await;
    let kept = bench.cx.as_ref().unwrap().keep(Count(1));
    let (lock, locked) = std::sync::mpsc::channel();
    let (free, freed) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let guard = kept.lock();
        lock.send(()).unwrap();
        let _ = freed.recv();
        drop(guard);
    });
    locked.recv().unwrap();
    let supervisor = bench.supervisor.clone().unwrap();
    let stopped = tokio::spawn(async move { supervisor.stop().await });
    // Blocking work holds paused time, so it is moved by hand: 5 s is what a stop may take.
    for _ in 0..60 {
        tokio::time::advance(SECOND / 10).await;
        tokio::task::yield_now().await;
    }
    stopped.await.unwrap();
    free.send(()).unwrap();
    holder.join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn ck1h_what_outlives_its_start_saves_nothing() {
    let mut bench = Bench::started(stocked(1), config()).await;
    bench.begun().await;
    let old = bench.cx.clone().unwrap();
    let kept = old.keep(Count(77));
    bench.order(Order::Fail);
    bench.begun().await;
    let failure = old.save(&Count(99)).await.unwrap_err();
    assert!(matches!(failure, SaveFailure::Ended), "{failure}");
    let failure = kept.save().await.unwrap_err();
    assert!(matches!(failure, SaveFailure::Ended), "{failure}");
    assert_eq!(bench.newest(), 10);
    // Nor does it take the place of what the new one waits for.
    bench.store.hang(true);
    let new = bench.cx.clone().unwrap();
    let saves = [(&new, 11), (&new, 12), (&old, 99), (&new, 14), (&old, 98)];
    let saves = saves.map(|(cx, n)| cx.save(&Count(n)));
    bench.store.hang(false);
    let saves = futures::future::join_all(saves).await;
    let saves: Vec<_> = saves.iter().map(|saved| saved.is_ok()).collect();
    assert_eq!(saves, [true, true, false, true, false]);
    assert_eq!(bench.newest(), 14);
    assert!(bench.is_quiet());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1j_a_state_that_cannot_be_saved_is_an_error_of_the_save() {
    let mut bench = Bench::started(stocked(1), config()).await;
    bench.begun().await;
    for n in [PANICS, INVALID] {
        let failure = bench.save(n).await.unwrap_err();
        assert!(matches!(failure, SaveFailure::State(_)), "{failure}");
    }
    // In the library's hands, too, where it is encoded elsewhere; the lock is as good as before.
    let kept = bench.cx.as_ref().unwrap().keep(Count(PANICS));
    let failure = kept.save().await.unwrap_err();
    assert!(failure.to_string().contains("thirteen"), "{failure}");
    kept.lock().0 = 14;
    assert_eq!(kept.save().await.unwrap(), 2);
    assert!(bench.is_quiet());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1k_an_older_version_goes_through_its_migration() {
    let store = Moody::keeping(3);
    let checkpoint = Checkpoint {
        sequence: 4,
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
        type_name: "count".into(),
        version: 1,
        codec: "postcard".into(),
        digest: None,
        payload: vec![21],
    };
    store.save("count", &checkpoint).unwrap();
    let mut bench = Bench::started(store, config()).await;
    let begun = bench.begun().await;
    assert_eq!((begun.state, begun.sequence), (Some(42), Some(4)));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1m_sequences_are_the_childs_if_it_says_so() {
    let mut bench = Bench::started(Moody::keeping(3), config()).await;
    bench.begun().await;
    let cx = bench.cx.clone().unwrap();
    assert_eq!(cx.save_at(100, &Count(1)).await.unwrap(), 100);
    assert!(cx.save_at(100, &Count(2)).await.is_err());
    assert_eq!(cx.save(&Count(3)).await.unwrap(), 101);
    // A second writer is noticed, and gone around.
    front(&bench.store).save(500, &Count(4)).unwrap();
    let failure = cx.save(&Count(5)).await.unwrap_err();
    assert!(failure.to_string().contains("newer"), "{failure}");
    assert_eq!(cx.save(&Count(6)).await.unwrap(), 501);
    bench.stop().await;
}

#[test]
fn a_bad_configuration_is_refused() {
    let checkpoints = front(&Moody::keeping(3));
    let zero = Duration::ZERO;
    let bad = [
        (CheckpointedConfig::default().period(zero), "period"),
        (CheckpointedConfig::default().survives(zero), "survives"),
        (
            CheckpointedConfig::default().store_timeout(zero),
            "store_timeout",
        ),
    ];
    for (config, field) in bad {
        let refused = Checkpointed::new("count", checkpoints.clone(), config);
        assert_eq!(refused.unwrap_err().field(), field);
    }
}
