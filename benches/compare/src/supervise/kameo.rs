//! kameo's supervision of actors.

use super::Peer;
use super::relay::{Crowd, Member, Planned, Relay};
use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use kameo::supervision::RestartPolicy;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Kameo;

struct Parent;

impl Actor for Parent {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

struct Failing(Arc<Relay>);

impl Actor for Failing {
    type Args = Arc<Relay>;
    type Error = Infallible;

    async fn on_start(relay: Arc<Relay>, _: ActorRef<Self>) -> Result<Self, Infallible> {
        relay.runs();
        Ok(Self(relay))
    }
}

struct Fail;

impl Message<Fail> for Failing {
    type Reply = Result<(), Planned>;

    async fn handle(&mut self, _: Fail, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.0.fails();
        Err(Planned)
    }
}

struct Waiting(#[expect(dead_code, reason = "it is dropped with the actor")] Member);

impl Actor for Waiting {
    type Args = Arc<Crowd>;
    type Error = Infallible;

    async fn on_start(crowd: Arc<Crowd>, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self(crowd.join()))
    }
}

impl Peer for Kameo {
    const NAME: &'static str = "kameo";

    async fn restarts(relay: Arc<Relay>) {
        let parent = Parent::spawn(());
        let child = Failing::supervise(&parent, Arc::clone(&relay))
            .restart_policy(RestartPolicy::Permanent)
            .restart_limit(u32::MAX, Duration::from_millis(1))
            .spawn()
            .await;
        relay
            .drive(|_| child.tell(Fail).try_send().expect("it listens"))
            .await;
        parent.stop_gracefully().await.expect("it runs");
        parent.wait_for_shutdown().await;
    }

    async fn start_stop(n: usize) {
        let crowd = Crowd::new(n);
        let parent = Parent::spawn(());
        for _ in 0..n {
            Waiting::supervise(&parent, Arc::clone(&crowd))
                .spawn()
                .await;
        }
        crowd.full().await;
        parent.stop_gracefully().await.expect("it runs");
        parent.wait_for_shutdown().await;
        crowd.empty().await;
    }
}
