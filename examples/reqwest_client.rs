//! Handles around reqwest's client, without tower: a retry that does as the server asks, and a
//! breaker that hears of each attempt.
//!
//! ```text
//! cargo run --example reqwest_client --features http
//! ```

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use backstop::kernel::backoff::Backoff;
use backstop::kernel::clock::Clock;
use backstop::policy::http::{HttpClassifier, HttpRetry};
use backstop::{CircuitBreaker, CircuitBreakerConfig, Error, Retry, RetryConfig, Timeout};
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tower::BoxError;

type Answer = Result<http::Response<reqwest::Body>, Error<reqwest::Error>>;

/// What a service keeps for one of those it calls.
struct Stock {
    http: reqwest::Client,
    retry: Retry,
    breaker: CircuitBreaker,
    attempt: Timeout,
}

impl Stock {
    fn new() -> Result<Self, BoxError> {
        let backoff = Backoff::constant(Duration::from_millis(50));
        Ok(Self {
            http: reqwest::Client::new(),
            retry: Retry::new("stock", RetryConfig::default().backoff(backoff))?,
            breaker: CircuitBreaker::new("stock", CircuitBreakerConfig::default())?,
            attempt: Timeout::new("stock_attempt", Duration::from_secs(1))?,
        })
    }

    /// A GET is idempotent, so nothing has to be asked before it is sent again. The rules read an
    /// `http::Response`, and reqwest's becomes one.
    async fn get(&self, url: &str) -> Answer {
        let send = || async {
            let response = self.http.get(url).send().await?;
            Ok(http::Response::from(response))
        };
        let attempt = || self.attempt.call(send);
        // Each policy's call passes the error of the one inside on, so that there is one type.
        let answer = self.retry.call_in_with(HttpRetry::new(), |_| {
            self.breaker.call_in_with(HttpClassifier::new(), attempt)
        });
        answer.await
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = start_server().await?;
    let stock = Stock::new()?;

    let clock = Clock::default();
    let start = clock.now();
    let answer = stock.get(&format!("{url}/busy")).await?;
    let took = clock.now().saturating_duration_since(start);
    println!(
        "/busy: {} after {took:.1?}; the server asked for a second",
        answer.status()
    );
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(took >= Duration::from_secs(1));

    let answer = stock.get(&format!("{url}/gone")).await?;
    println!(
        "/gone: {}, which is no failure and not tried again",
        answer.status()
    );
    assert_eq!(answer.status(), StatusCode::GONE);

    println!("the breaker counted {:?}", stock.breaker.totals());
    println!("the retry counted {:?}", stock.retry.totals());
    assert_eq!(stock.breaker.totals().failure, 1);
    assert_eq!(stock.breaker.totals().success, 2);
    Ok(())
}

/// Starts the server that the client talks to; returns its URL.
async fn start_server() -> Result<String, BoxError> {
    static REACHED: AtomicUsize = AtomicUsize::new(0);
    let busy = async || {
        let status = match REACHED.fetch_add(1, SeqCst) {
            0 => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::OK,
        };
        (status, [("retry-after", "1")])
    };
    let app = Router::new()
        .route("/busy", get(busy))
        .route("/gone", get(async || StatusCode::GONE));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}
