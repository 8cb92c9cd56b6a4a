//! The standard health service of gRPC.

use super::handle::{HealthTree, WeakHealthTree};
use super::shared::Health;
use super::watch::HealthWatch;
use crate::health::check::Status;
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_util::sync::ReusableBoxFuture;
use tonic::{Request, Response};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// A tree as the service `grpc.health.v1.Health` of tonic.
///
/// The service `""` is the whole tree, and each component, the root too, is a service of its name.
/// Name a component as the gRPC service it stands for (`"shop.v1.Orders"`), and clients that ask for
/// the health of that service find it.
///
/// | what is asked for | answer |
/// |---|---|
/// | is `Healthy`, `Degraded` | `SERVING` |
/// | is `Starting`, `Unknown`, `Unhealthy`, `OutOfService` | `NOT_SERVING` |
/// | no component of that name | `Check`: the status `NOT_FOUND`; `Watch`: `SERVICE_UNKNOWN`, and the call stays open |
/// | anything, once the tree is gone | `NOT_SERVING`; a `Watch` ends behind it |
///
/// `Check` reads from memory, and what has become stale is seen by it. `Watch` sends the status as it
/// is, then each change from serving to not serving and back, or the last of several, however slow the
/// client. It tells of staleness in time while the tree [runs](HealthTree::start).
///
/// # Cancel safety
///
/// No task belongs to it: a call that the client gives up leaves nothing behind.
///
/// # What surprises
///
/// * **It does not keep the tree alive.** Keep a handle as long as the server is to say `SERVING`.
/// * **An open `Watch` holds up a graceful shutdown**, as any open call does: tonic waits for it. Drop
///   the tree to end them all.
///
/// # Why not the obvious algorithm
///
/// The obvious service is tonic-health's own, with a task that copies each change of the tree into it.
/// Between a change and its copy it answers what is over; if the task ends, or the runtime hangs it,
/// for good. To a `Watch` of an unknown name it answers `NOT_FOUND`, where the protocol asks for
/// `SERVICE_UNKNOWN`.
///
/// ```no_run
/// use backstop::health::check::{Check, Level};
/// use backstop::health::tree::{Component, GrpcHealth, HealthTree};
///
/// # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tree = HealthTree::builder("shop")
///     .component(Component::new("shop.v1.Orders").check(Check::new("db", Level::Critical, ping)))
///     .build()?;
/// tree.start()?;
/// tonic::transport::Server::builder()
///     .add_service(GrpcHealth::new(&tree).into_service())
///     .serve("127.0.0.1:50051".parse()?)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GrpcHealth {
    tree: WeakHealthTree,
}

impl GrpcHealth {
    /// The service of `tree`, which it does not keep alive.
    pub fn new(tree: &HealthTree) -> Self {
        Self {
            tree: tree.downgrade(),
        }
    }

    /// As tonic's servers take it.
    pub fn into_service(self) -> HealthServer<Self> {
        HealthServer::new(self)
    }
}

#[tonic::async_trait]
impl health_server::Health for GrpcHealth {
    type WatchStream = GrpcHealthWatch;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, tonic::Status> {
        let serving = match self.tree.upgrade() {
            None => ServingStatus::NotServing,
            Some(tree) => health_of(&tree, &request.get_ref().service)
                .map(serving)
                .ok_or_else(|| tonic::Status::not_found("no component has this name"))?,
        };
        Ok(Response::new(response(serving)))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, tonic::Status> {
        let watch = self
            .tree
            .upgrade()
            .map(|tree| Watched::new(&tree, &request.get_ref().service));
        Ok(Response::new(GrpcHealthWatch {
            next: Some(ReusableBoxFuture::new(next(watch, None))),
        }))
    }
}

fn health_of(tree: &HealthTree, service: &str) -> Option<Health> {
    if service.is_empty() {
        return Some(tree.health());
    }
    tree.component(service).map(|component| component.health())
}

const fn serving(health: Health) -> ServingStatus {
    match health.status {
        Status::Healthy | Status::Degraded => ServingStatus::Serving,
        Status::Starting | Status::Unknown | Status::Unhealthy | Status::OutOfService => {
            ServingStatus::NotServing
        }
    }
}

const fn response(serving: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: serving as i32,
    }
}

/// What a call of `Watch` looks at.
struct Watched {
    watch: HealthWatch,
    /// What is answered for a health: the same for every one, if there is no such component.
    answer: fn(Health) -> ServingStatus,
}

impl Watched {
    fn new(tree: &HealthTree, service: &str) -> Self {
        let component = if service.is_empty() {
            Some(tree.root())
        } else {
            tree.component(service)
        };
        match component {
            Some(component) => Self {
                watch: component.watch(),
                answer: serving,
            },
            // Components do not come later; the tree's end does.
            None => Self {
                watch: tree.watch(),
                answer: |_| ServingStatus::ServiceUnknown,
            },
        }
    }
}

/// What to send next, and what to look at then; no message if the tree is gone and that was said.
type Next = (Option<ServingStatus>, Option<Watched>);

/// Waits until the answer is another one than was `sent`.
async fn next(watched: Option<Watched>, sent: Option<ServingStatus>) -> Next {
    if let Some(mut watched) = watched {
        let answer = watched.answer;
        let is_new = |health| Some(answer(health)) != sent;
        if let Some(health) = watched.watch.until(is_new).await {
            return (Some(answer(health)), Some(watched));
        }
    }
    let last = ServingStatus::NotServing;
    ((sent != Some(last)).then_some(last), None)
}

/// The messages of one `Watch` of a [`GrpcHealth`].
pub struct GrpcHealthWatch {
    /// `None` once the last message was sent.
    next: Option<ReusableBoxFuture<'static, Next>>,
}

impl Stream for GrpcHealthWatch {
    type Item = Result<HealthCheckResponse, tonic::Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(future) = &mut self.next else {
            return Poll::Ready(None);
        };
        let (message, watched) = ready!(future.poll(cx));
        match watched {
            Some(_) => future.set(next(watched, message)),
            None => self.next = None,
        }
        Poll::Ready(message.map(|serving| Ok(response(serving))))
    }
}

impl fmt::Debug for GrpcHealthWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcHealthWatch")
            .field("has_ended", &self.next.is_none())
            .finish()
    }
}
