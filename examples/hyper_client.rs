//! A stack of layers around hyper-util's HTTP client: what fails is tried again, if it may be.
//!
//! ```text
//! cargo run --example hyper_client --features http
//! ```
//!
//! From the outside in: all attempts together have 5 s; a retry by HTTP's rules; a breaker that
//! hears of each attempt; 300 ms for one attempt.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use backstop::kernel::backoff::Backoff;
use backstop::policy::errors::WrapErrorsLayer;
use backstop::policy::http::{HttpClassifier, HttpRetry, RepeatHttp};
use backstop::{
    CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, Retry, RetryConfig, RetryLayer,
    Timeout, TimeoutLayer,
};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Method, Request};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = start_server().await?;

    let total = Timeout::new("stock", Duration::from_secs(5))?;
    let attempt = Timeout::new("stock_attempt", Duration::from_millis(300))?;
    let breaker = CircuitBreaker::new("stock", CircuitBreakerConfig::default())?;
    let backoff = Backoff::constant(Duration::from_millis(50));
    let retry = Retry::new("stock", RetryConfig::default().backoff(backoff))?;
    let mut client = ServiceBuilder::new()
        .layer(TimeoutLayer::new(total))
        .layer(
            RetryLayer::new(retry.clone())
                .when(HttpRetry::new())
                .repeat(RepeatHttp::new()),
        )
        .layer(CircuitBreakerLayer::new(breaker.clone()).with_classifier(HttpClassifier::new()))
        .layer(TimeoutLayer::new(attempt.clone()))
        .layer(WrapErrorsLayer::new())
        .service(legacy::Client::builder(TokioExecutor::new()).build_http());

    let mut send = async |method: Method, path: &str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("{url}{path}"));
        let request = request.body(Empty::<Bytes>::new())?;
        let reached = REACHED.load(SeqCst);
        let response = client.ready().await?.call(request).await?;
        Ok::<_, BoxError>((response.status(), REACHED.load(SeqCst) - reached))
    };

    // The first answer is a 503, the second is fine.
    let (status, attempts) = send(Method::GET, "/flaky").await?;
    println!("GET /flaky: {status} at attempt {attempts}");
    assert_eq!((status, attempts), (StatusCode::OK, 2));

    // Nobody knows whether a POST was carried out, so it is sent once.
    let (status, attempts) = send(Method::POST, "/flaky").await?;
    println!("POST /flaky: {status} at attempt {attempts}");
    assert_eq!((status, attempts), (StatusCode::SERVICE_UNAVAILABLE, 1));

    // The first attempt hangs: it is ended after 300 ms, and the next one answers.
    let (status, attempts) = send(Method::GET, "/slow").await?;
    println!("GET /slow: {status} at attempt {attempts}");
    assert_eq!((status, attempts), (StatusCode::OK, 2));
    assert_eq!(attempt.totals().timed_out, 1);

    println!("{:?}", retry.totals());
    println!(
        "the breaker is {}, and counted {:?}",
        breaker.state(),
        breaker.totals()
    );
    assert_eq!(breaker.totals().failure, 3);
    Ok(())
}

static REACHED: AtomicUsize = AtomicUsize::new(0);

/// Starts the server that the client talks to; returns its URL.
async fn start_server() -> Result<String, BoxError> {
    // Every other request is answered well.
    let is_bad = || REACHED.fetch_add(1, SeqCst) % 2 == 0;
    let flaky = async move || {
        if is_bad() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        }
    };
    let slow = async || {
        if SLOW.fetch_add(1, SeqCst) == 0 {
            REACHED.fetch_add(1, SeqCst);
            std::future::pending::<()>().await;
        }
        REACHED.fetch_add(1, SeqCst);
        StatusCode::OK
    };
    let app = Router::new()
        .route("/flaky", any(flaky))
        .route("/slow", any(slow));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

static SLOW: AtomicUsize = AtomicUsize::new(0);
