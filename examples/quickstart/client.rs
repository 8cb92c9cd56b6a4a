//! The two clients. What a user of the crate writes is here, and it is short.

use backstop::kernel::config::ConfigError;
use backstop::kernel::outcome::Outcome;
use backstop::policy::circuit_breaker::Window;
use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer, ServiceBuilder};

/// How long a caller waits for an answer, with the breaker and without it.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) type Call = Request<Empty<Bytes>>;
pub(crate) type Answer = Result<Response<Incoming>, BoxError>;
pub(crate) type Client = BoxCloneService<Call, Response<Incoming>, BoxError>;

/// A pooled HTTP client with a timeout: what many services have.
pub(crate) fn bare() -> Client {
    let http = legacy::Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::new(TIMEOUT))
        .service(http);
    BoxCloneService::new(client)
}

/// The same client behind a breaker. The timeout stands inside: from outside it would drop the call,
/// and a dropped call is neither a success nor a failure to the breaker.
pub(crate) fn protected(breaker: &CircuitBreaker) -> Client {
    let layer = CircuitBreakerLayer::new(breaker.clone()).with_classifier(classify);
    BoxCloneService::new(layer.layer(bare()))
}

/// Times are shortened to fit the day into seconds; beside each is what suits a service.
pub(crate) fn breaker() -> Result<CircuitBreaker, ConfigError> {
    let config = CircuitBreakerConfig::default()
        // Judge the calls of the last second (10 s). Half of them failed: open (the default).
        .window(Window::time(Duration::from_secs(1), 10))
        // A call over 200 ms is slow; half of them slow: open.
        .slow_calls(Duration::from_millis(200), 0.5)
        // Open for 0.5 s, then 1 s, then 2 s at a time (5 s, doubling up to 60 s: the default).
        .open_wait(Duration::from_millis(500), 2.0, Duration::from_secs(2))
        // After each wait, let three calls through and judge by them (5: the default).
        .probes(3);
    CircuitBreaker::new("upstream", config)
}

/// An answer in time may still be a failure: the server says so with a 5xx.
fn classify(answer: Result<&Response<Incoming>, &BoxError>) -> Outcome {
    match answer {
        Ok(response) if !response.status().is_server_error() => Outcome::Success,
        Ok(_) | Err(_) => Outcome::Failure,
    }
}
