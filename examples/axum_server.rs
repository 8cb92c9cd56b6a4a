//! A bulkhead per route of an axum server: the route that is full answers 503, the others notice
//! nothing.
//!
//! ```text
//! cargo run --example axum_server --features axum
//! ```

use axum::Router;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use backstop::policy::errors::{RejectionResponseLayer, WrapErrorsLayer};
use backstop::{Bulkhead, BulkheadConfig, BulkheadLayer, ConfigError, Timeout, TimeoutLayer};
use http::Request;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::{BoxError, ServiceBuilder};

/// A report is written when there is a permit for it.
static REPORTS: Semaphore = Semaphore::const_new(0);

async fn report() -> &'static str {
    REPORTS
        .acquire()
        .await
        .expect("it is never closed")
        .forget();
    "a long report\n"
}

/// A route with two slots and half a second; what it refuses becomes a response.
fn guarded(name: &'static str, route: axum::routing::MethodRouter) -> Result<Guarded, ConfigError> {
    let bulkhead = Bulkhead::new(name, BulkheadConfig::default().max_concurrent(2))?;
    let timeout = Timeout::new(name, Duration::from_millis(500))?;
    let layers = ServiceBuilder::new()
        .map_response(come_back_soon)
        .layer(RejectionResponseLayer::new())
        .layer(BulkheadLayer::new(bulkhead.clone()))
        .layer(TimeoutLayer::new(timeout))
        .layer(WrapErrorsLayer::new());
    Ok(Guarded {
        route: route.layer(layers),
        bulkhead,
    })
}

struct Guarded {
    route: axum::routing::MethodRouter,
    bulkhead: Bulkhead,
}

/// A bulkhead cannot know when a slot comes free; a second is a fair guess.
fn come_back_soon(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        let headers = response.headers_mut();
        headers
            .entry(RETRY_AFTER)
            .or_insert(HeaderValue::from_static("1"));
    }
    response
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let reports = guarded("reports", get(report))?;
    let prices = guarded("prices", get(async || "3.50\n"))?;
    let app = Router::new()
        .route("/report", reports.route)
        .route("/price", prices.route);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });

    // Two reports are under way, which is all that this route takes.
    let under_way = [(); 2].map(|()| tokio::spawn(fetch(format!("{url}/report"))));
    while reports.bulkhead.in_flight() < 2 {
        tokio::task::yield_now().await;
    }
    let (status, retry_after) = fetch(format!("{url}/report")).await?;
    println!("a third report: {status}, Retry-After: {retry_after:?}");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(retry_after.as_deref(), Some("1"));

    let (status, _) = fetch(format!("{url}/price")).await?;
    println!("a price meanwhile: {status}");
    assert_eq!(status, StatusCode::OK);

    // One of them ends by itself, the other by its timeout.
    REPORTS.add_permits(1);
    let mut ended = Vec::new();
    for report in under_way {
        ended.push(report.await??.0);
    }
    ended.sort();
    println!("the first two: {} and {}", ended[0], ended[1]);
    assert_eq!(ended, [StatusCode::OK, StatusCode::GATEWAY_TIMEOUT]);
    println!("{:?}", reports.bulkhead.totals());
    assert_eq!(reports.bulkhead.in_flight(), 0);
    Ok(())
}

/// Status and `Retry-After`.
async fn fetch(url: String) -> Result<(StatusCode, Option<String>), BoxError> {
    use http_body_util::Empty;
    use hyper_util::client::legacy::Client;
    let client = Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let response = client
        .request(Request::get(url).body(Empty::<bytes::Bytes>::new())?)
        .await?;
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.map(|value| value.to_str().map(str::to_owned));
    Ok((response.status(), retry_after.transpose()?))
}
