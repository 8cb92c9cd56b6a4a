//! task-supervisor.

use super::Peer;
use super::relay::{Crowd, Relay};
use std::sync::Arc;
use std::time::Duration;
use task_supervisor::{CancellationToken, SupervisedTask, SupervisorBuilder, TaskResult};

pub(crate) struct Tasks;

#[derive(Clone)]
struct Failing(Arc<Relay>);

impl SupervisedTask for Failing {
    async fn run(self, cancel: CancellationToken) -> TaskResult {
        match cancel.run_until_cancelled(self.0.child()).await {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

#[derive(Clone)]
struct Waiting(Arc<Crowd>);

impl SupervisedTask for Waiting {
    async fn run(self, cancel: CancellationToken) -> TaskResult {
        let _member = self.0.join();
        cancel.cancelled().await;
        Ok(())
    }
}

impl Peer for Tasks {
    const NAME: &'static str = "task-supervisor";

    async fn restarts(relay: Arc<Relay>) {
        let handle = SupervisorBuilder::new()
            .with_task("child", Failing(Arc::clone(&relay)))
            .with_unlimited_restarts()
            .with_base_restart_delay(Duration::ZERO)
            .with_max_restart_delay(Duration::ZERO)
            .with_restart_jitter(0.0)
            .spawn();
        relay.drive(Relay::kick).await;
        handle.shutdown().await.expect("it stops");
    }

    async fn start_stop(n: usize) {
        let crowd = Crowd::new(n);
        let handle = (0..n)
            .fold(SupervisorBuilder::new(), |builder, child| {
                builder.with_task(&format!("child-{child}"), Waiting(Arc::clone(&crowd)))
            })
            .spawn();
        crowd.full().await;
        handle.shutdown().await.expect("it stops");
        crowd.empty().await;
    }
}
