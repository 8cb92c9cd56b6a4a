//! The upstream: a real HTTP server on the loopback that follows the script.

use crate::script::{Day, Phase};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::TcpListener;
use tower::BoxError;

pub(crate) struct Upstream {
    pub(crate) url: String,
    /// Calls that arrived, by phase: what the upstream had to carry, answered or not.
    reached: Arc<[AtomicU64; Phase::ALL.len()]>,
}

impl Upstream {
    /// Listens on a free port and serves until the program ends.
    pub(crate) async fn start(day: Day) -> Result<Self, BoxError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let reached = Arc::<[AtomicU64; Phase::ALL.len()]>::default();
        let counters = Arc::clone(&reached);
        let handler = move || answer(day.clone(), Arc::clone(&counters));
        let app = Router::new().route("/", get(handler));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, reached })
    }

    pub(crate) fn reached_in(&self, phases: &[Phase]) -> u64 {
        phases
            .iter()
            .map(|phase| self.reached[*phase as usize].load(Relaxed))
            .sum()
    }
}

async fn answer(day: Day, reached: Arc<[AtomicU64; Phase::ALL.len()]>) -> StatusCode {
    let arrived = day.now();
    let phase = Phase::at(arrived);
    // The script goes by the number of the call, so that no run is luckier than another.
    let nth = reached[phase as usize].fetch_add(1, Relaxed);
    let (latency, ok) = match phase {
        Phase::Healthy | Phase::HealthyAgain => (10, true),
        Phase::Slow => (350 + nth * 67 % 300, true),
        Phase::Erroring => (10, nth % 10 == 0),
        Phase::Dead => pending().await,
        Phase::Recovering => (50 + nth * 67 % 100, nth % 20 != 19),
    };
    day.wait_until(arrived + Duration::from_millis(latency))
        .await;
    if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
