//! ractor-supervisor's static supervisor.

use super::Peer;
use super::relay::{Crowd, Member, Planned, Relay};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use ractor_supervisor::{
    ChildSpec, Restart, SpawnFn, Supervisor, SupervisorArguments, SupervisorOptions,
    SupervisorStrategy,
};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) struct Ractor;

/// Names are of the whole process.
static NAMES: AtomicU64 = AtomicU64::new(0);

fn name() -> String {
    format!("child-{}", NAMES.fetch_add(1, Ordering::Relaxed))
}

fn options() -> SupervisorOptions {
    SupervisorOptions {
        strategy: SupervisorStrategy::OneForOne,
        max_restarts: usize::MAX,
        // It looks at every restart of the window at each restart.
        max_window: Duration::from_millis(1),
        reset_after: None,
    }
}

fn spec(spawn_fn: SpawnFn) -> ChildSpec {
    ChildSpec {
        id: name(),
        restart: Restart::Permanent,
        spawn_fn,
        backoff_fn: None,
        reset_after: None,
    }
}

struct Failing;

struct Failed {
    relay: Arc<Relay>,
    latest: Arc<Mutex<Option<ActorRef<()>>>>,
}

#[ractor::async_trait]
impl Actor for Failing {
    type Msg = ();
    type State = Arc<Relay>;
    type Arguments = Failed;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        args: Failed,
    ) -> Result<Arc<Relay>, ActorProcessingErr> {
        *args.latest.lock().expect("no panic") = Some(myself);
        args.relay.runs();
        Ok(args.relay)
    }

    async fn handle(
        &self,
        _: ActorRef<()>,
        (): (),
        relay: &mut Arc<Relay>,
    ) -> Result<(), ActorProcessingErr> {
        relay.fails();
        Err(Box::new(Planned))
    }
}

struct Waiting;

#[ractor::async_trait]
impl Actor for Waiting {
    type Msg = ();
    type State = Member;
    type Arguments = Arc<Crowd>;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        crowd: Arc<Crowd>,
    ) -> Result<Member, ActorProcessingErr> {
        Ok(crowd.join())
    }
}

impl Peer for Ractor {
    const NAME: &'static str = "ractor-supervisor";

    async fn restarts(relay: Arc<Relay>) {
        let latest = Arc::new(Mutex::new(None::<ActorRef<()>>));
        let (child, now) = (Arc::clone(&relay), Arc::clone(&latest));
        let spawn = SpawnFn::new(move |cell: ActorCell, id| {
            let args = Failed {
                relay: Arc::clone(&child),
                latest: Arc::clone(&now),
            };
            async move {
                Ok(Supervisor::spawn_linked(id, Failing, args, cell)
                    .await?
                    .0
                    .get_cell())
            }
        });
        let args = SupervisorArguments {
            child_specs: vec![spec(spawn)],
            options: options(),
        };
        let (supervisor, ended) = Supervisor::spawn(name(), args).await.expect("it starts");
        relay
            .drive(|_| {
                let child = latest.lock().expect("no panic").clone().expect("it runs");
                child.cast(()).expect("it listens");
            })
            .await;
        supervisor.stop(None);
        ended.await.expect("no panic");
    }

    async fn start_stop(n: usize) {
        let crowd = Crowd::new(n);
        let child_specs = (0..n)
            .map(|_| {
                let crowd = Arc::clone(&crowd);
                spec(SpawnFn::new(move |cell: ActorCell, id| {
                    let crowd = Arc::clone(&crowd);
                    async move {
                        Ok(Supervisor::spawn_linked(id, Waiting, crowd, cell)
                            .await?
                            .0
                            .get_cell())
                    }
                }))
            })
            .collect();
        let args = SupervisorArguments {
            child_specs,
            options: options(),
        };
        let (supervisor, ended) = Supervisor::spawn(name(), args).await.expect("it starts");
        crowd.full().await;
        supervisor.stop(None);
        ended.await.expect("no panic");
        crowd.empty().await;
    }
}
