//! A check that is fed by the calls themselves, and a layer that refuses calls to what is not ready.
//!
//! Where there are calls, they are the best probe: they ask what users ask, as often as users do. A
//! [`HealthLayer`] counts what they come to; [`CallHealth::check`] makes a [`Check`](super::check::Check) of
//! that, which fails in a period in which too large a share of the calls failed. The same layer, told
//! to [shed](HealthLayer::shed), refuses calls while a component of the tree is not ready.
//!
//! ```
//! use backstop::health::calls::{CallHealth, CallHealthConfig, HealthLayer};
//! use backstop::health::check::Level;
//! use backstop::health::tree::{Component, HealthTree};
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let calls = CallHealth::new("payments", CallHealthConfig::default())?;
//! let tree = HealthTree::builder("shop")
//!     .component(Component::new("payments").check(calls.check(Level::Degraded)))
//!     .build()?;
//! tree.start()?;
//!
//! let mut client = ServiceBuilder::new()
//!     .layer(HealthLayer::new(&calls))
//!     .service(service_fn(|_order: u32| async { Ok::<_, BoxError>("paid") }));
//! assert_eq!(client.ready().await?.call(7).await?, "paid");
//! assert_eq!(calls.totals().success, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What surprises
//!
//! * **A period with few calls passes.** Nothing speaks against the callee then. It must be so: once calls
//!   are shed there are none, and a check that went on failing for want of calls would never let them in again.
//! * **Shedding by the check that the same calls feed** therefore lets calls through again after a
//!   period or two, all at once. Where that hurts, put a circuit breaker there: it probes with a few.
//! * **A dropped call counts as nothing**, and so does a rejection by a policy inside, as everywhere.
//! * It is one uncontended add per call. A call that is shed adds one, too, and allocates nothing.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod config;
mod handle;
mod service;

pub use config::CallHealthConfig;
pub use handle::{CallHealth, CallTotals};
pub use service::{HealthFuture, HealthLayer, HealthService};
