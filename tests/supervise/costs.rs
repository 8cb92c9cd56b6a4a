//! SV18: what children cost, where it can be counted.

use crate::rig::prompt;
use allocation_counter::{AllocationInfo, measure};
use backstop::supervise::child::{BoxError, ChildSpec};
use backstop::supervise::supervisor::{Supervisor, SupervisorBuilder};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Runtime;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}

/// So many children that wait for their token.
fn idle(builder: SupervisorBuilder, many: usize) -> SupervisorBuilder {
    (0..many).fold(builder, |builder, n| {
        builder.child(ChildSpec::new(format!("child-{n}"), |cx| async move {
            cx.cancelled().await;
            Ok::<_, BoxError>(())
        }))
    })
}

#[test]
fn sv18a_an_idle_child_costs_at_most_1_kib_with_its_task() {
    const MANY: u32 = 10_000;
    let runtime = runtime();
    let mut supervisor = None;
    let cost = measure(|| {
        supervisor = Some(runtime.block_on(async {
            let supervisor = idle(prompt("root"), MANY as usize).start().await.unwrap();
            // The tasks have run, and wait.
            while supervisor
                .snapshot()
                .children
                .iter()
                .any(|child| child.uptime.is_none())
            {
                tokio::task::yield_now().await;
            }
            for _ in 0..MANY {
                tokio::task::yield_now().await;
            }
            supervisor
        }));
    });
    let each = cost.bytes_current / i64::from(MANY);
    println!("an idle child: {each} bytes");
    assert!((256..=1024).contains(&each), "{each} bytes");
    runtime.block_on(async { supervisor.unwrap().stop().await });
}

/// What a hundred restarts of one child allocate among so many others.
fn restarts(others: usize) -> AllocationInfo {
    let runtime = runtime();
    let left = Arc::new(AtomicU64::new(0));
    let crashes = {
        let left = left.clone();
        ChildSpec::new("crashes", move |cx| {
            let left = left.clone();
            async move {
                while left.load(Ordering::Relaxed) == 0 {
                    if cx.is_stopping() {
                        return Ok(());
                    }
                    tokio::task::yield_now().await;
                }
                left.fetch_sub(1, Ordering::Relaxed);
                Err("again")
            }
        })
    };
    let builder = prompt("root").never_give_up(true).child(crashes);
    let supervisor: Supervisor = runtime.block_on(idle(builder, others).start()).unwrap();
    let crash = |times: u64| {
        left.store(times, Ordering::Relaxed);
        runtime.block_on(async {
            while left.load(Ordering::Relaxed) > 0 {
                tokio::task::yield_now().await;
            }
        });
    };
    // What grows once has grown.
    crash(100);
    let cost = measure(|| crash(100));
    runtime.block_on(supervisor.stop());
    cost
}

#[test]
fn sv18b_a_restart_costs_the_same_among_few_and_among_many() {
    let (few, many) = (restarts(1), restarts(10_000));
    println!("a restart: {} allocations", few.count_total / 100);
    assert_eq!(few.count_total, many.count_total);
    assert_eq!(few.bytes_total, many.bytes_total);
    // The error, its message, its shared form, the incarnation and the task.
    assert!(few.count_total <= 600, "{few:?}");
}
