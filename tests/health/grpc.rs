//! Health as the standard service of gRPC, asked by tonic-health's own client.

use super::rig::{SECOND, build, reported, reporter, with_checks};
use backstop::health::check::{Level, Status};
use backstop::health::tree::{GrpcHealth, HealthTree};
use backstop::kernel::clock::Clock;
use futures::{FutureExt, StreamExt};
use std::net::Ipv4Addr;
use tokio::runtime::Handle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::Health as _;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use ServingStatus::{NotServing, ServiceUnknown, Serving};

fn tree() -> HealthTree {
    let db = with_checks("shop.v1.Db", [reported("ping", Level::Critical)]);
    build(
        HealthTree::builder("shop")
            .clock(Clock::manual())
            .check(reported("loop", Level::Degraded))
            .component(db),
    )
}

/// A client of a server on loopback, which ends with the test's runtime.
async fn client(tree: &HealthTree) -> HealthClient<Channel> {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let address = incoming.local_addr().expect("it is bound");
    let server = Server::builder()
        .add_service(GrpcHealth::new(tree).into_service())
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
    HealthClient::new(endpoint.connect().await.expect("a server"))
}

fn asks(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn check(client: &mut HealthClient<Channel>, service: &str) -> Result<ServingStatus, Code> {
    let answer = client.check(asks(service)).await;
    answer
        .map(|answer| answer.into_inner().status())
        .map_err(|status| status.code())
}

type Messages = tonic::Streaming<HealthCheckResponse>;

async fn watch(client: &mut HealthClient<Channel>, service: &str) -> Messages {
    let answer = client.watch(asks(service)).await;
    answer.expect("a watch is not refused").into_inner()
}

async fn next(messages: &mut Messages) -> Option<ServingStatus> {
    let message = messages.message().await.expect("no error");
    message.map(|message| message.status())
}

#[tokio::test]
async fn hc6g_a_check_over_grpc_answers_whether_it_is_ready() {
    let tree = tree();
    let mut client = client(&tree).await;
    let root = tree.root();
    let all = [
        (Status::Healthy, Serving),
        (Status::Degraded, Serving),
        (Status::Unknown, NotServing),
        (Status::Starting, NotServing),
        (Status::Unhealthy, NotServing),
        (Status::OutOfService, NotServing),
    ];
    for (status, serving) in all {
        root.set_status(status);
        for service in ["", "shop"] {
            assert_eq!(check(&mut client, service).await, Ok(serving), "{status:?}");
        }
    }
    root.set_status(None);

    // A component is asked for by its own name, and the whole is another thing.
    reporter(&tree, "shop", "loop").passed();
    let ping = reporter(&tree, "shop.v1.Db", "ping");
    ping.passed();
    assert_eq!(check(&mut client, "").await, Ok(Serving));
    assert_eq!(check(&mut client, "shop.v1.Db").await, Ok(Serving));
    root.set_status(Status::OutOfService);
    assert_eq!(check(&mut client, "").await, Ok(NotServing));
    assert_eq!(check(&mut client, "shop.v1.Db").await, Ok(Serving));
    ping.failed("no route");
    assert_eq!(check(&mut client, "shop.v1.Db").await, Ok(NotServing));

    assert_eq!(check(&mut client, "shop.v1").await, Err(Code::NotFound));
    drop((root, ping, tree));
    assert_eq!(check(&mut client, "").await, Ok(NotServing));
    assert_eq!(check(&mut client, "shop.v1.Db").await, Ok(NotServing));
}

#[tokio::test]
async fn hc6g_a_check_over_grpc_sees_what_is_stale() {
    let clock = Clock::manual();
    let db = with_checks("db", [reported("ping", Level::Critical)]);
    let tree = build(HealthTree::builder("shop").clock(&clock).component(db));
    let mut client = client(&tree).await;
    reporter(&tree, "db", "ping").passed();
    assert_eq!(check(&mut client, "db").await, Ok(Serving));
    // Nothing runs that could have told the service.
    clock.advance(30 * SECOND);
    assert_eq!(check(&mut client, "db").await, Ok(NotServing));
}

#[tokio::test]
async fn hc6g_a_watch_over_grpc_tells_of_each_change_and_of_the_end() {
    let tree = tree();
    let mut client = client(&tree).await;
    let mut whole = watch(&mut client, "").await;
    let mut db = watch(&mut client, "shop.v1.Db").await;
    assert_eq!(next(&mut whole).await, Some(NotServing));
    assert_eq!(next(&mut db).await, Some(NotServing));

    let (busy, ping) = (
        reporter(&tree, "shop", "loop"),
        reporter(&tree, "shop.v1.Db", "ping"),
    );
    busy.passed();
    ping.passed();
    assert_eq!(next(&mut whole).await, Some(Serving));
    assert_eq!(next(&mut db).await, Some(Serving));

    // Degraded serves still: the next message is of what comes behind it.
    busy.failed("slow");
    assert_eq!(tree.status(), Status::Degraded);
    assert_eq!(check(&mut client, "").await, Ok(Serving));
    ping.failed("no route");
    assert_eq!(next(&mut whole).await, Some(NotServing));
    assert_eq!(next(&mut db).await, Some(NotServing));
    ping.passed();
    assert_eq!(next(&mut whole).await, Some(Serving));
    assert_eq!(next(&mut db).await, Some(Serving));
    tree.root().set_status(Status::OutOfService);
    assert_eq!(next(&mut whole).await, Some(NotServing));

    // What has said so already only ends.
    drop((busy, ping, tree));
    assert_eq!(next(&mut db).await, Some(NotServing));
    assert_eq!(next(&mut db).await, None);
    assert_eq!(next(&mut whole).await, None);
    let mut late = watch(&mut client, "").await;
    assert_eq!(next(&mut late).await, Some(NotServing));
    assert_eq!(next(&mut late).await, None);
}

#[tokio::test]
async fn hc6g_a_watch_of_an_unknown_name_over_grpc_stays_open() {
    let tree = tree();
    let mut client = client(&tree).await;
    let mut nobody = watch(&mut client, "nobody").await;
    assert_eq!(next(&mut nobody).await, Some(ServiceUnknown));
    // Changes of others are none of it.
    tree.root().set_status(Status::Healthy);
    tree.root().set_status(Status::Unhealthy);
    assert_eq!(check(&mut client, "").await, Ok(NotServing));
    drop(tree);
    assert_eq!(next(&mut nobody).await, Some(NotServing));
    assert_eq!(next(&mut nobody).await, None);
}

#[tokio::test]
async fn hc6g_a_watch_over_grpc_has_no_task_and_a_slow_reader_gets_the_last() {
    let tree = tree();
    let service = GrpcHealth::new(&tree);
    let root = tree.root();
    let answer = service.watch(Request::new(asks(""))).await;
    let mut messages = answer.expect("a watch is not refused").into_inner();
    let mut now = || {
        let message = messages.next().now_or_never();
        message.map(|it| it.map(|it| it.expect("no error").status()))
    };
    // The first message is of when it is read, not of when it was asked for.
    root.set_status(Status::Healthy);
    assert_eq!(now(), Some(Some(Serving)));
    assert_eq!(now(), None);
    root.set_status(Status::Unhealthy);
    root.set_status(Status::Degraded);
    assert_eq!(now(), None, "it is where it was");
    for status in [Status::Unhealthy, Status::Healthy, Status::OutOfService] {
        root.set_status(status);
    }
    assert_eq!(now(), Some(Some(NotServing)));
    assert_eq!(now(), None);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    drop((root, tree));
    assert_eq!((now(), now()), (Some(None), Some(None)));
}
