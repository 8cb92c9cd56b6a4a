//! Probes over HTTP, as routes of axum.

use super::handle::HealthTree;
use super::json::{Detail, HealthJson};
use crate::health::check::Status;
use crate::kernel::config::ConfigError;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// The probes of a tree as routes of axum.
///
/// | route | answers |
/// |---|---|
/// | `/livez` | 503 while a critical liveness check fails, else 200 |
/// | `/readyz` | by the status: 503 for `Starting`, `Unknown`, `Unhealthy`, `OutOfService`, else 200 |
/// | `/startupz` | 503 until it has come up, 200 from then on |
/// | `/health` | as `/readyz`, with as much detail as was [asked for](Self::detail) |
///
/// All answers are `application/health+json` and not to be cached. They come from memory: no
/// request runs a check.
///
/// ```
/// use axum::{Router, body::Body, extract::Request};
/// use backstop::health::check::{Check, Level};
/// use backstop::health::tree::{Component, HealthRoutes, HealthTree};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tree = HealthTree::builder("shop")
///     .component(Component::new("db").check(Check::reported("ping", Level::Critical)))
///     .build()?;
/// let app: Router = Router::new().merge(HealthRoutes::new(&tree).into_router());
///
/// let ready = || Request::get("/readyz").body(Body::empty());
/// assert_eq!(app.clone().oneshot(ready()?).await?.status(), 503); // it is starting
/// tree.reporter("db", "ping").expect("it was just made").passed();
/// assert_eq!(app.clone().oneshot(ready()?).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HealthRoutes {
    tree: HealthTree,
    detail: Detail,
    codes: [StatusCode; 6],
}

impl HealthRoutes {
    /// The routes of `tree`, which they keep alive.
    pub fn new(tree: &HealthTree) -> Self {
        let code = |status| match status {
            Status::Healthy | Status::Degraded => StatusCode::OK,
            Status::Starting | Status::Unknown | Status::Unhealthy | Status::OutOfService => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self {
            tree: tree.clone(),
            detail: Detail::default(),
            codes: Status::ALL.map(code),
        }
    }

    /// How much `/health` shows. Default: the status alone, since who can reach the probes may be
    /// anybody. Where it is the operators' own port, [`Detail::Full`] helps them.
    pub const fn detail(mut self, detail: Detail) -> Self {
        self.detail = detail;
        self
    }

    /// What `/readyz` and `/health` answer for a status.
    ///
    /// # Errors
    ///
    /// A code that is not from 200 to 599.
    pub fn code(mut self, status: Status, code: u16) -> Result<Self, ConfigError> {
        let allowed = (200..=599).contains(&code);
        let code = StatusCode::from_u16(code)
            .ok()
            .filter(|_| allowed)
            .ok_or_else(|| ConfigError::new("code", code, "from 200 to 599"))?;
        self.codes[usize::from(status.code())] = code;
        Ok(self)
    }

    /// The routes.
    pub fn into_router<S>(self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let shared = Arc::new(self);
        let route = |answer: fn(&Self) -> Response| {
            let shared = shared.clone();
            get(move || std::future::ready(answer(&shared)))
        };
        Router::new()
            .route("/livez", route(|it| probe(it.tree.is_alive())))
            .route("/startupz", route(|it| probe(it.tree.has_started())))
            .route("/readyz", route(Self::ready))
            .route("/health", route(Self::health))
    }

    fn ready(&self) -> Response {
        let health = self.tree.health();
        answer(self.code_of(health.status), &HealthJson::of(health))
    }

    fn health(&self) -> Response {
        if self.detail == Detail::Status {
            return self.ready();
        }
        let snapshot = self.tree.snapshot();
        let json = HealthJson::new(&snapshot, self.detail);
        // Of the same moment as the body.
        answer(self.code_of(snapshot.health().status), &json)
    }

    const fn code_of(&self, status: Status) -> StatusCode {
        self.codes[status.code() as usize]
    }
}

fn probe(says_yes: bool) -> Response {
    let code = if says_yes {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    answer(code, &HealthJson::of_probe(says_yes))
}

fn answer(code: StatusCode, json: &HealthJson) -> Response {
    // There is nothing in it that could fail to be written; an answer without a body is one too.
    let body = serde_json::to_string(json).unwrap_or_default();
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/health+json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (code, headers, body).into_response()
}
