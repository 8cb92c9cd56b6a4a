//! A breaker around hyper-util's HTTP client, as a tower layer.
//!
//! ```text
//! cargo run --example http_client
//! ```
//!
//! A 5xx answer is a failure to the breaker, and the server's `Retry-After` says how long the
//! breaker stays open.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use backstop::kernel::clock::Clock;
use backstop::kernel::outcome::Verdict;
use backstop::policy::circuit_breaker::State;
use backstop::policy::errors::WrapErrorsLayer;
use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, Error};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::{Request, Response};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;
use tower::{BoxError, Service, ServiceBuilder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = start_server().await?;

    // The five lines, and a classifier. hyper-util's error type has no place for a rejection, so
    // `WrapErrorsLayer` makes it an `Error<legacy::Error>`.
    let http = legacy::Client::builder(TokioExecutor::new()).build_http();
    let config = CircuitBreakerConfig::default().consecutive_failures(3);
    let breaker = CircuitBreaker::new("stock", config)?;
    let layer = CircuitBreakerLayer::new(breaker.clone()).with_classifier(
        |answer: Result<&Response<Incoming>, &Error<legacy::Error>>| match answer {
            Ok(response) if response.status().is_server_error() => {
                Verdict::failure().with_hint(retry_after(response))
            }
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::failure(),
        },
    );
    let mut client = ServiceBuilder::new()
        .layer(layer)
        .layer(WrapErrorsLayer::new())
        .service(http);

    let mut get = async || {
        let request = Request::get(&url)
            .body(Empty::<Bytes>::new())
            .expect("the url is one");
        std::future::poll_fn(|cx| client.poll_ready(cx)).await?;
        client.call(request).await
    };

    assert_eq!(get().await?.status(), StatusCode::OK);
    println!("healthy: {}", breaker.state());

    // Answers pass through unchanged, also those that count as failures. The third opens the
    // breaker.
    SICK.store(true, SeqCst);
    for _ in 0..3 {
        assert_eq!(get().await?.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    println!(
        "after three answers of 503, Retry-After: 1: {}",
        breaker.state()
    );

    // Now a call ends at once and does not reach the server.
    let reached = REACHED.load(SeqCst);
    let Err(Error::Rejected(rejection)) = get().await else {
        panic!("an open breaker let a call through")
    };
    let retry_after = rejection
        .retry_after()
        .expect("an open breaker knows when it will try again");
    println!("the next call: {rejection}");
    assert_eq!(REACHED.load(SeqCst), reached);
    assert!(
        retry_after < Duration::from_secs(2),
        "the server's word goes before the default of 5 s"
    );

    // The server heals. The first calls after the wait are probes; five good ones: closed.
    SICK.store(false, SeqCst);
    let clock = Clock::default();
    clock.sleep_until(clock.now() + retry_after)?.await;
    for _ in 0..5 {
        assert_eq!(get().await?.status(), StatusCode::OK);
    }
    println!("after five good probes: {}", breaker.state());
    assert_eq!(breaker.state(), State::Closed);
    Ok(())
}

/// When the server asks to be called again. Zero if it does not say: the breaker ignores that.
fn retry_after(response: &Response<Incoming>) -> Duration {
    let header = response.headers().get(RETRY_AFTER);
    let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

static SICK: AtomicBool = AtomicBool::new(false);
static REACHED: AtomicUsize = AtomicUsize::new(0);

/// Starts the server that the client talks to; returns its URL.
async fn start_server() -> Result<String, BoxError> {
    let answer = || async {
        REACHED.fetch_add(1, SeqCst);
        let status = if SICK.load(SeqCst) {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        (status, [(RETRY_AFTER, "1")])
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(answer))).await });
    Ok(url)
}
