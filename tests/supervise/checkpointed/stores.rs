//! Stores that are slow, hang, panic, or have a faulty disk below them.

use super::bench::{Bench, Count, Order, config, root, stocked};
use super::{MINUTE, SECOND};
use backstop::durable::snapshot::{Checkpoints, DirectoryConfig, DirectoryStore};
use backstop::durable::storage::Operation;
use backstop::durable::storage::faulty::{Fault, FaultyStorage};
use backstop::supervise::budget::RestartBudget;
use backstop::supervise::checkpointed::{Checkpointed, EventKind, RestoreFailure, SaveFailure};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Blocking work holds paused time, so it is moved by hand.
async fn pass(seconds: u32) {
    for _ in 0..10 * seconds {
        tokio::time::advance(SECOND / 10).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ck1i_a_store_that_hangs_fails_the_save_and_delays_no_stop() {
    let mut bench = Bench::started(stocked(1), config()).await;
    bench.begun().await;
    let cx = bench.cx.clone().unwrap();
    let _kept = cx.keep(Count(9));
    bench.store.hang(true);
    let save = tokio::spawn(cx.save(&Count(2)));
    pass(9).await;
    assert!(!save.is_finished());
    pass(2).await;
    let failure = save.await.unwrap().unwrap_err();
    assert!(matches!(failure, SaveFailure::Silent(_)), "{failure}");
    // The stop has 5 s, whatever the last save does.
    let supervisor = bench.supervisor.clone().unwrap();
    let stop = tokio::spawn(async move { supervisor.stop().await });
    pass(4).await;
    assert!(!stop.is_finished(), "it gives the last save its time");
    pass(2).await;
    assert!(stop.is_finished());
    assert_eq!(bench.store.most(), 1, "one thread hangs, and no more");
    bench.store.hang(false);
}

#[tokio::test(start_paused = true)]
async fn ck1i_a_store_that_hangs_holds_one_thread_however_often_the_child_starts() {
    let budget = RestartBudget::new(5, 10 * MINUTE);
    let mut bench = Bench::started(stocked(1), config().budget(budget)).await;
    bench.begun().await;
    bench.store.hang(true);
    bench.order(Order::Fail);
    let supervisor = bench.supervisor.clone().unwrap();
    let ended = tokio::spawn(async move { supervisor.ended().await });
    pass(70).await;
    assert!(ended.is_finished(), "each start failed after 10 s");
    assert!(bench.told().contains(&"not restored"));
    assert_eq!((bench.store.inside(), bench.store.most()), (1, 1));
    bench.store.hang(false);
    // And none of these starts is held against the state: nobody waited for them any more.
    let mut bench = Bench::started(bench.store.clone(), config()).await;
    bench.begun().await;
    assert!(bench.marks(1).strikes <= 2, "{:?}", bench.marks(1));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ck1i_a_store_that_panics_is_an_error_like_any_other() {
    let mut bench = Bench::started(stocked(1), config()).await;
    bench.begun().await;
    bench.store.panics.store(true, Ordering::SeqCst);
    let failure = bench.save(2).await.unwrap_err();
    assert!(matches!(failure, SaveFailure::NotRun), "{failure}");
    bench.told();
    bench.order(Order::Fail);
    let error = bench.event(|kind| match kind {
        EventKind::NotRestored { error } => Some(error),
        _ => None,
    });
    assert!(matches!(error.await, RestoreFailure::NotRun));
    bench.store.panics.store(false, Ordering::SeqCst);
    bench.begun().await;
    bench.save(3).await.unwrap();
    bench.stop().await;
}

/// A child on a disk that fails now and then: it is never ended by that, and what it was told is saved is
/// there after a power cut.
#[tokio::test(start_paused = true)]
async fn ck1c_ck1b_on_a_disk_that_fails_nothing_acknowledged_is_lost() {
    for seed in 0..20 {
        let disk = FaultyStorage::new();
        let open = |disk: &FaultyStorage| {
            let storage = Arc::new(disk.clone());
            let store = DirectoryStore::open(storage, "count", DirectoryConfig::default());
            Checkpoints::<Count>::new(Arc::new(store.unwrap()), "count").unwrap()
        };
        let checkpoints = open(&disk);
        let child = Checkpointed::new("count", checkpoints, config()).unwrap();
        let mut events = child.subscribe(NonZeroUsize::new(1_000).unwrap());
        let (give, mut given) = tokio::sync::mpsc::unbounded_channel();
        let spec = child.child(move |cx, _restored| {
            let _ = give.send(cx.clone());
            async move {
                cx.cancelled().await;
                Ok::<(), std::io::Error>(())
            }
        });
        let supervisor = root().child(spec).start().await.unwrap();
        let cx = given.recv().await.unwrap();
        disk.fail_at_random(seed, 0.02);
        disk.fail(Fault::on(Operation::Sync).after(7).times(1));
        let mut acknowledged = 0;
        let mut failed = 0;
        for n in 1..60 {
            match cx.save(&Count(n)).await {
                Ok(_) => acknowledged = n,
                Err(_) => failed += 1,
            }
        }
        assert!(failed > 0 && acknowledged > 0, "seed {seed}");
        assert!(given.try_recv().is_err(), "it was not started again");
        let told = std::iter::from_fn(|| events.try_recv());
        let told = told.filter(|event| matches!(event.kind, EventKind::SaveFailed { .. }));
        assert_eq!(told.count(), failed);
        disk.stop_failing();
        for left in disk.after_power_cut().take(3) {
            let restored = open(&left).latest().unwrap().restored.unwrap();
            assert!(restored.state.0 >= acknowledged, "seed {seed}");
        }
        supervisor.stop().await;
    }
}
