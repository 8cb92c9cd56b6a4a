//! taskvisor.

use super::Peer;
use super::relay::{Crowd, Relay};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use taskvisor::BackoffPolicy;
use taskvisor::prelude::*;

pub(crate) struct Taskvisor;

fn supervisor(n: usize) -> Arc<Supervisor> {
    let n = NonZeroUsize::new(n.max(1_024)).expect("some");
    Supervisor::builder(SupervisorConfig::default())
        .with_max_concurrent(None)
        .with_max_registered_tasks(None)
        .with_ownership_capacity(None)
        .with_registry_queue_capacity(n)
        .build()
}

impl Peer for Taskvisor {
    const NAME: &'static str = "taskvisor";

    async fn restarts(relay: Arc<Relay>) {
        let handle = supervisor(1).serve().expect("it starts");
        let child = Arc::clone(&relay);
        let task: TaskRef = TaskFn::arc(move |cx: TaskContext| {
            let relay = Arc::clone(&child);
            async move {
                cx.run_until_cancelled(relay.child()).await?;
                Err(TaskError::fail("planned"))
            }
        });
        let spec = TaskSpec::restartable("child", task)
            .with_backoff(BackoffPolicy::constant(Duration::ZERO));
        handle.add(spec).execute().await.expect("it is added");
        relay.drive(Relay::kick).await;
        handle.shutdown().await.expect("it stops");
    }

    async fn start_stop(n: usize) {
        let crowd = Crowd::new(n);
        let handle = supervisor(n).serve().expect("it starts");
        for child in 0..n {
            let crowd = Arc::clone(&crowd);
            let task: TaskRef = TaskFn::arc(move |cx: TaskContext| {
                let crowd = Arc::clone(&crowd);
                async move {
                    let _member = crowd.join();
                    cx.cancelled().await;
                    Ok(())
                }
            });
            let spec = TaskSpec::restartable(format!("child-{child}"), task);
            handle.add(spec).execute().await.expect("it is added");
        }
        crowd.full().await;
        handle.shutdown().await.expect("it stops");
        crowd.empty().await;
    }
}
