//! The service as a process: HTTP on top of the components.

use super::fail::Fail;
use super::site::Site;
use super::world::{Bid, SEEDED};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use backstop::supervise::microreboot::RebootRecord;
use std::fmt::Write;
use std::sync::Arc;

pub(crate) type Shared = State<Arc<Site>>;

pub(crate) fn routes(site: Arc<Site>) -> Router {
    Router::new()
        .route("/items/{item}", get(item))
        .route("/items/{item}/bids", get(bids_of_item))
        .route("/categories/{category}", get(category))
        .route("/search/{word}", get(search))
        .route("/users/{user}/rating", get(rating))
        .route("/fees/{amount}", get(fee))
        .route("/users/{user}/login", post(login))
        .route("/sessions/{token}", get(who))
        .route("/sessions/{token}/me", get(me))
        .route("/bids/{key}", put(bid).get(bid_of_key))
        .route("/health", get(health))
        .route("/audit", get(audit))
        .route("/records", get(records))
        .route("/faults/{component}/{kind}", post(hurt))
        .route("/reboots/{component}", post(reboot))
        .with_state(site)
}

impl IntoResponse for Fail {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            // In whole seconds, as HTTP has it.
            Self::Down(Some(millis)) => {
                let seconds = millis.div_ceil(1_000).to_string();
                (self.status(), [(RETRY_AFTER, seconds)], text).into_response()
            }
            _ => (self.status(), text).into_response(),
        }
    }
}

type Answer = Result<String, Fail>;

async fn item(State(site): Shared, Path(item): Path<u32>) -> Answer {
    site.item(item).await
}

async fn bids_of_item(State(site): Shared, Path(item): Path<u32>) -> Answer {
    site.bids_of_item(item).await
}

async fn category(State(site): Shared, Path(category): Path<u32>) -> Answer {
    site.catalogue
        .call(|catalogue| async move { catalogue.category(category) })
        .await
}

async fn search(State(site): Shared, Path(word): Path<String>) -> Answer {
    site.search
        .call(|search| async move { Ok(search.find(&word)) })
        .await
}

async fn rating(State(site): Shared, Path(user): Path<u32>) -> Answer {
    site.ratings
        .call(|ratings| async move { ratings.of(user) })
        .await
}

async fn fee(State(site): Shared, Path(amount): Path<u64>) -> Answer {
    site.fee(amount).await.map(|fee| fee.to_string())
}

async fn login(State(site): Shared, Path(user): Path<u32>) -> Answer {
    site.sessions
        .call(|sessions| async move { Ok(sessions.login(user).to_string()) })
        .await
}

async fn who(State(site): Shared, Path(token): Path<u64>) -> Answer {
    site.who(token).await.map(|user| user.to_string())
}

async fn me(State(site): Shared, Path(token): Path<u64>) -> Answer {
    site.me(token).await
}

async fn bid_of_key(State(site): Shared, Path(key): Path<u64>) -> Answer {
    site.bid_of_key(key).await
}

/// A bid, as `{"item": 7, "amount": 100, "token": 5}`.
#[derive(serde::Deserialize)]
struct Order {
    item: u32,
    amount: u64,
    token: u64,
}

async fn bid(State(site): Shared, Path(key): Path<u64>, body: Bytes) -> Answer {
    let order: Result<Order, _> = serde_json::from_slice(&body);
    let order = order.map_err(|_| Fail::Refused("a bid has an item, an amount and a token"))?;
    let bid = Bid {
        key,
        item: order.item,
        user: 0,
        amount: order.amount,
    };
    site.bid(order.token, bid).await
}

async fn health(State(site): Shared) -> String {
    site.health().await
}

/// The bids of visitors, in the store's order.
async fn audit(State(site): Shared) -> Answer {
    let bids = site.store.part()?.bids_behind(0);
    let mut lines = String::new();
    for bid in bids.iter().filter(|bid| bid.key & SEEDED == 0) {
        let _ = writeln!(lines, "{} {} {}", bid.key, bid.item, bid.amount);
    }
    Ok(lines)
}

/// What the manager did, as JSON.
async fn records(State(site): Shared) -> Answer {
    let manager = site.manager.get().ok_or(Fail::Missing("manager"))?;
    let records = manager.records();
    let records: Vec<&RebootRecord> = records.iter().map(AsRef::as_ref).collect();
    serde_json::to_string(&records).map_err(Fail::broken)
}

async fn reboot(State(site): Shared, Path(component): Path<String>) -> Result<(), Fail> {
    site.report(&component)
}

async fn hurt(
    State(site): Shared,
    Path((component, kind)): Path<(String, String)>,
) -> Result<(), Fail> {
    site.hurt(&component, &kind)
}
