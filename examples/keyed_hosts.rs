//! A breaker per host: one sick host among three is cut off, the others notice nothing.
//!
//! ```text
//! cargo run --example keyed_hosts
//! ```

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use backstop::kernel::keyed::Keyed;
use backstop::kernel::outcome::Outcome;
use backstop::policy::circuit_breaker::State;
use backstop::{CircuitBreaker, CircuitBreakerConfig, Error};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use std::net::Ipv4Addr;
use tower::BoxError;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let hosts = [
        start_host(StatusCode::OK).await?,
        start_host(StatusCode::BAD_GATEWAY).await?,
        start_host(StatusCode::OK).await?,
    ];
    let sick = 1;

    let http = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    // A breaker comes into being at the first call to its host. There are never more than a
    // thousand: idle ones make room.
    let breakers =
        Keyed::<String, CircuitBreaker>::new("hosts", 1_000, CircuitBreakerConfig::default())?;

    // Fifty rounds of a call to each host; what each host's callers got.
    let mut answers = [0; 3];
    let mut failures = [0; 3];
    let mut rejections = [0; 3];
    for _ in 0..50 {
        for (n, host) in hosts.iter().enumerate() {
            let request = Request::get(format!("http://{host}/")).body(Empty::new())?;
            match breakers
                .get(host)
                .call_with(classify, || http.request(request))
                .await
            {
                Ok(answer) if answer.status().is_success() => answers[n] += 1,
                Ok(_) | Err(Error::Inner(_)) => failures[n] += 1,
                Err(Error::Rejected(_)) => rejections[n] += 1,
            }
        }
    }

    for (n, host) in hosts.iter().enumerate() {
        let state = breakers.get(host).state();
        println!(
            "{host}: {} answers, {} failures, {} rejections; {state}",
            answers[n], failures[n], rejections[n]
        );
        // 20 calls are the least that a failure rate is judged by (`minimum_calls`).
        let expected = if n == sick {
            (0, 20, 30, State::Open)
        } else {
            (50, 0, 0, State::Closed)
        };
        assert_eq!((answers[n], failures[n], rejections[n], state), expected);
    }
    Ok(())
}

fn classify(answer: Result<&Response<Incoming>, &legacy::Error>) -> Outcome {
    match answer {
        Ok(response) if !response.status().is_server_error() => Outcome::Success,
        Ok(_) | Err(_) => Outcome::Failure,
    }
}

/// Starts a host that answers every request with this status; returns `address:port`.
async fn start_host(status: StatusCode) -> Result<String, BoxError> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let host = listener.local_addr()?.to_string();
    let app = Router::new().route("/", get(move || async move { status }));
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(host)
}
