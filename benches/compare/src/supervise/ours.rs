//! backstop.

use super::Peer;
use super::relay::{Crowd, Relay};
use backstop::supervise::budget::RestartBackoff;
use backstop::supervise::child::ChildSpec;
use backstop::supervise::supervisor::Supervisor;
use std::convert::Infallible;
use std::sync::Arc;

pub(crate) struct Ours;

impl Peer for Ours {
    const NAME: &'static str = "backstop";

    async fn restarts(relay: Arc<Relay>) {
        let child = Arc::clone(&relay);
        let child = ChildSpec::new("child", move |_| {
            let relay = Arc::clone(&child);
            async move { Err(relay.child().await) }
        });
        let supervisor = Supervisor::builder("bench")
            .never_give_up(true)
            .backoff(RestartBackoff::none())
            .child(child)
            .start()
            .await
            .expect("it starts");
        relay.drive(Relay::kick).await;
        supervisor.stop().await;
    }

    async fn start_stop(n: usize) {
        let crowd = Crowd::new(n);
        let mut builder = Supervisor::builder("bench");
        for child in 0..n {
            let crowd = Arc::clone(&crowd);
            builder = builder.child(ChildSpec::new(format!("child-{child}"), move |cx| {
                let crowd = Arc::clone(&crowd);
                async move {
                    let _member = crowd.join();
                    cx.cancelled().await;
                    Ok::<(), Infallible>(())
                }
            }));
        }
        let supervisor = builder.start().await.expect("it starts");
        crowd.full().await;
        supervisor.stop().await;
        crowd.empty().await;
    }
}
