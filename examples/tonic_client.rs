//! A tonic client whose calls are tried again within a budget, and as the server asks.
//!
//! ```text
//! cargo run --example tonic_client --features http
//! ```
//!
//! Tonic is no dependency of the library: its statuses are judged by their number. The messages are
//! plain bytes here, so that no generated code is needed.

use backstop::kernel::backoff::Backoff;
use backstop::kernel::budget::BudgetConfig;
use backstop::policy::http::grpc::{Code, CodeSet, decide, pushback};
use backstop::policy::retry::Decision;
use backstop::{Error, Retry, RetryConfig};
use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tower::{BoxError, Service};

/// What a call that ended with this is worth: the code says whether, the server's pushback when.
fn by_status(result: Result<&Response<Vec<u8>>, &Status>) -> Decision {
    let Err(status) = result else {
        return Decision::Accept;
    };
    let pushback = status
        .metadata()
        .get("grpc-retry-pushback-ms")
        .map(|value| pushback(value.as_encoded_bytes()));
    let code = Code::from_number(status.code() as i32);
    decide(CodeSet::TRANSIENT, code, pushback)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let channel = start_server().await?;
    // gRPC's own throttle: retries end when failures outweigh successes.
    let config = RetryConfig::default()
        .backoff(Backoff::constant(Duration::from_millis(10)))
        .budget(BudgetConfig::tokens(10, 0.5));
    let retry = Retry::new("ledger", config)?;
    let get = async |what: &'static str| {
        let reached = REACHED.load(SeqCst);
        let reply = retry
            .call_with(by_status, |_| unary(channel.clone(), what))
            .await;
        (reply, REACHED.load(SeqCst) - reached)
    };

    let (reply, attempts) = get("flaky").await;
    let reply = reply?.into_inner();
    println!(
        "flaky: {:?} at attempt {attempts}",
        String::from_utf8_lossy(&reply)
    );
    assert_eq!(attempts, 2);

    for (what, code) in [
        ("missing", tonic::Code::NotFound),
        ("stop", tonic::Code::Unavailable),
    ] {
        let (reply, attempts) = get(what).await;
        let Err(Error::Inner(status)) = reply else {
            panic!("{what} went well")
        };
        println!("{what}: {:?} after attempt {attempts}", status.code());
        assert_eq!((status.code(), attempts), (code, 1));
    }

    // An outage: the first calls are tried again, until half of the tokens are used up.
    let mut attempts = Vec::new();
    for _ in 0..5 {
        attempts.push(get("down").await.1);
    }
    println!("down: attempts of five calls: {attempts:?}");
    assert_eq!(attempts.last(), Some(&1), "the budget is empty");
    println!("{:?}", retry.totals());
    assert!(retry.totals().budget_empty >= 3);
    Ok(())
}

static REACHED: AtomicUsize = AtomicUsize::new(0);

/// What a generated client would do.
async fn unary(channel: Channel, what: &'static str) -> Result<Response<Vec<u8>>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/demo.Ledger/Get");
    client.unary(Request::new(what.into()), path, Bytes).await
}

/// What a server answers.
struct Answer;

impl tonic::server::UnaryService<Vec<u8>> for Answer {
    type Response = Vec<u8>;
    type Future = Ready<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        let reached = REACHED.fetch_add(1, SeqCst);
        let pushed_back = |millis| {
            let mut status = Status::unavailable("later");
            let value = tonic::metadata::MetadataValue::from_static(millis);
            status
                .metadata_mut()
                .insert("grpc-retry-pushback-ms", value);
            Err(status)
        };
        ready(match &request.into_inner()[..] {
            b"flaky" if reached == 0 => pushed_back("50"),
            b"missing" => Err(Status::not_found("there is no such entry")),
            b"stop" => pushed_back("-1"),
            b"down" => Err(Status::unavailable("an outage")),
            _ => Ok(Response::new(b"an entry".to_vec())),
        })
    }
}

/// What a generated server would be.
#[derive(Clone)]
struct Ledger;

impl tonic::server::NamedService for Ledger {
    const NAME: &'static str = "demo.Ledger";
}

impl Service<http::Request<Body>> for Ledger {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = async { tonic::server::Grpc::new(Bytes).unary(Answer, request).await };
        Box::pin(async { Ok(answer.await) })
    }
}

async fn start_server() -> Result<Channel, BoxError> {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = incoming.local_addr()?;
    let server = Server::builder().add_service(Ledger);
    tokio::spawn(async move { server.serve_with_incoming(incoming).await });
    Ok(Endpoint::try_from(format!("http://{address}"))?
        .connect()
        .await?)
}

/// A codec that leaves messages as they are.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}
