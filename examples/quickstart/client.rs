//! The three clients. What a user of the crate writes is here, and it is short.

use backstop::kernel::backoff::{Backoff, Jitter};
use backstop::kernel::config::ConfigError;
use backstop::kernel::outcome::Outcome;
use backstop::policy::circuit_breaker::Window;
use backstop::policy::pipeline::ByVerdict;
use backstop::{
    BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, Error, Pipeline,
    PipelineConfig, RetryConfig,
};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};

/// How long a caller waits for an answer, with the breaker and without it.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) type Call = Request<Empty<Bytes>>;
pub(crate) type Answer = Result<Response<Incoming>, BoxError>;
pub(crate) type Client = BoxCloneService<Call, Response<Incoming>, BoxError>;

/// A pooled HTTP client.
fn http() -> legacy::Client<HttpConnector, Empty<Bytes>> {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// The same with a timeout: what many services have.
pub(crate) fn bare() -> Client {
    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::new(TIMEOUT))
        .service(http());
    BoxCloneService::new(client)
}

/// The same client behind a breaker. The timeout stands inside: from outside it would drop the call,
/// and a dropped call is neither a success nor a failure to the breaker.
pub(crate) fn protected(breaker: &CircuitBreaker) -> Client {
    let layer = CircuitBreakerLayer::new(breaker.clone()).with_classifier(classify::<BoxError>);
    BoxCloneService::new(layer.layer(bare()))
}

/// The HTTP client in a pipeline: two timeouts, a bulkhead, a retry and a breaker.
pub(crate) fn piped(pipeline: &Judged) -> Client {
    let (pipeline, http) = (pipeline.clone(), http());
    BoxCloneService::new(service_fn(move |request: Call| {
        let (pipeline, http) = (pipeline.clone(), http.clone());
        async move {
            let answer = pipeline.call(|_| http.clone().oneshot(request.clone()));
            match answer.await {
                Ok(response) => Ok(response),
                Err(Error::Inner(error)) => Err(error.into()),
                Err(Error::Rejected(rejection)) => Err(rejection.into()),
            }
        }
    }))
}

/// A pipeline whose parts judge answers by their status.
pub(crate) type Judged =
    Pipeline<ByVerdict<fn(Result<&Response<Incoming>, &legacy::Error>) -> Outcome>>;

/// Beside each setting is its default.
pub(crate) fn pipeline(with_breaker: bool) -> Result<Judged, ConfigError> {
    let config = PipelineConfig::default()
        // As long as the bare client waits (30 s), with all attempts.
        .total_timeout(TIMEOUT)
        // One attempt: a healthy answer takes 10 ms, a recovering one up to 150 ms (10 s).
        .attempt_timeout(Duration::from_millis(200))
        // 200 calls a second of up to half a second (25).
        .bulkhead(BulkheadConfig::default().max_concurrent(100))
        // Soon, because the callers do not wait for long (100 ms, doubling up to 10 s). How many of
        // the calls may be tried again is left at 20 %.
        .retry(RetryConfig::default().backoff(
            Backoff::exponential(Duration::from_millis(10)).jitter(Jitter::Full),
        ))
        .circuit_breaker(breaker_config());
    let config = if with_breaker {
        config
    } else {
        config.without_circuit_breaker()
    };
    Ok(Pipeline::new("upstream", config)?.with_classifier(ByVerdict(classify as _)))
}

pub(crate) fn breaker() -> Result<CircuitBreaker, ConfigError> {
    CircuitBreaker::new("upstream", breaker_config())
}

/// Times are shortened to fit the day into seconds; beside each is what suits a service.
fn breaker_config() -> CircuitBreakerConfig {
    CircuitBreakerConfig::default()
        // Judge the calls of the last second (10 s). Half of them failed: open (the default).
        .window(Window::time(Duration::from_secs(1), 10))
        // A call over 200 ms is slow; half of them slow: open.
        .slow_calls(Duration::from_millis(200), 0.5)
        // Open for 0.5 s, then 1 s, then 2 s at a time (5 s, doubling up to 60 s: the default).
        .open_wait(Duration::from_millis(500), 2.0, Duration::from_secs(2))
        // After each wait, let three calls through and judge by them (5: the default).
        .probes(3)
}

/// An answer in time may still be a failure: the server says so with a 5xx.
fn classify<E>(answer: Result<&Response<Incoming>, &E>) -> Outcome {
    match answer {
        Ok(response) if !response.status().is_server_error() => Outcome::Success,
        Ok(_) | Err(_) => Outcome::Failure,
    }
}
