//! Rejuvenation over a manager, under virtual time (MR9).

use crate::reporters::{Part, rig, sleep};
use backstop::supervise::microreboot::{Rejuvenation, RejuvenationConfig, Trigger};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Memory in percent: what is free, and what a start of each part frees.
#[derive(Clone, Default)]
struct Memory(Arc<AtomicU64>);

impl Memory {
    fn set(&self, percent: u64) {
        self.0.store(percent, Ordering::Relaxed);
    }

    fn start(
        &self,
        manager: &backstop::supervise::microreboot::MicrorebootManager,
    ) -> Rejuvenation {
        let free = self.0.clone();
        Rejuvenation::start(
            manager,
            "memory",
            RejuvenationConfig::default(),
            ["cart", "search"],
            move || {
                let free = free.load(Ordering::Relaxed);
                async move {
                    match free {
                        200 => panic!("while it measures"),
                        300 => std::future::pending().await,
                        400 => Err(io::Error::other("nobody knows")),
                        percent => Ok(f64::from(u32::try_from(percent).unwrap()) / 100.0),
                    }
                }
            },
        )
        .unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn mr9b_components_are_rebooted_until_it_is_fine() {
    let (_supervisor, manager, [cart, search]) = rig(["cart", "search"]).await;
    let memory = Memory::default();
    memory.set(30);
    let gives = memory.clone();
    search.on_start(move || gives.set(85));
    let rejuvenation = memory.start(&manager);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((cart.starts(), search.starts()), (2, 2));
    let snapshot = rejuvenation.snapshot();
    assert_eq!(
        (snapshot.reboots, snapshot.in_round, snapshot.free),
        (2, false, Some(0.85))
    );
    let released: Vec<_> = snapshot
        .released
        .iter()
        .map(|(_, share)| share.unwrap())
        .collect();
    assert!(
        released[0].abs() < 1e-9 && (released[1] - 0.55).abs() < 1e-9,
        "{released:?}"
    );
    let records = manager.records();
    assert!(
        records
            .iter()
            .all(|record| record.trigger == Trigger::Rejuvenation)
    );
    // What released most goes first now, and is enough.
    memory.set(20);
    sleep(Duration::from_secs(31)).await;
    assert_eq!((cart.starts(), search.starts()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn mr9d_the_cap_is_its_own() {
    let (_supervisor, manager, [cart, search]) = rig(["cart", "search"]).await;
    let memory = Memory::default();
    memory.set(10);
    let _rejuvenation = memory.start(&manager);
    sleep(Duration::from_secs(600)).await;
    assert_eq!((cart.starts(), search.starts()), (4, 4), "6 reboots");
    sleep(Duration::from_secs(3_060)).await;
    assert!(cart.starts() > 4, "there is a slot after an hour");
}

#[tokio::test(start_paused = true)]
async fn mr9e_a_probe_that_fails_panics_or_hangs_reboots_nothing() {
    let (_supervisor, manager, [cart, _search]) = rig(["cart", "search"]).await;
    let memory = Memory::default();
    for what in [200, 300, 400, 101] {
        memory.set(what);
        let rejuvenation = memory.start(&manager);
        sleep(Duration::from_secs(100)).await;
        assert_eq!(
            (cart.starts(), rejuvenation.snapshot().free),
            (1, None),
            "{what}"
        );
        // It goes on measuring.
        memory.set(50);
        sleep(Duration::from_secs(40)).await;
        assert_eq!(rejuvenation.snapshot().free, Some(0.5), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn mr9f_a_failed_reboot_is_not_followed_by_a_wider_one() {
    let (_supervisor, manager, [cart, search]) = rig(["cart", "search"]).await;
    cart.fails(true);
    let memory = Memory::default();
    memory.set(10);
    let rejuvenation = memory.start(&manager);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(search.starts(), 1, "the round is over");
    assert!(!rejuvenation.snapshot().in_round);
    assert!(
        manager.snapshot().components.iter().all(|it| !it.is_held),
        "nobody was told"
    );
    drop(rejuvenation);
}

#[tokio::test(start_paused = true)]
async fn a_rejuvenation_that_is_dropped_ends() {
    let (_supervisor, manager, [cart, _search]) = rig(["cart", "search"]).await;
    let memory = Memory::default();
    memory.set(50);
    drop(memory.start(&manager));
    memory.set(10);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(cart.starts(), 1);
    let none: [&str; 0] = [];
    let refused = Rejuvenation::start(
        &manager,
        "memory",
        RejuvenationConfig::default(),
        none,
        || async { Ok::<_, io::Error>(1.0) },
    );
    assert_eq!(refused.unwrap_err().field(), "components");
    let _: Option<Part> = None;
}
