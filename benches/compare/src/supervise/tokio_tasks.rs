//! The floor: tasks, and one that awaits them.

use super::Peer;
use super::relay::{Crowd, Relay};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(crate) struct Tasks;

impl Peer for Tasks {
    const NAME: &'static str = "tokio";

    async fn restarts(relay: Arc<Relay>) {
        let parent = tokio::spawn({
            let relay = Arc::clone(&relay);
            async move {
                loop {
                    let relay = Arc::clone(&relay);
                    let child = tokio::spawn(async move { Err::<(), _>(relay.child().await) });
                    drop(child.await);
                }
            }
        });
        relay.drive(Relay::kick).await;
        parent.abort();
    }

    async fn start_stop(n: usize) {
        let crowd = Crowd::new(n);
        let children: Vec<_> = (0..n)
            .map(|_| {
                let (token, crowd) = (CancellationToken::new(), Arc::clone(&crowd));
                let signal = token.clone();
                let child = tokio::spawn(async move {
                    let _member = crowd.join();
                    signal.cancelled().await;
                });
                (token, child)
            })
            .collect();
        crowd.full().await;
        for (token, child) in children.into_iter().rev() {
            token.cancel();
            child.await.expect("no panic");
        }
    }
}
