//! Components with their checks: how well a system is, and who is told.
//!
//! A system is a tree of components. Each has checks, and may be made of, or depend on, others. A
//! failing check means what its [`Level`](super::check::Level) says; a component is as well as the
//! worst of its checks and of the components beneath it.
//!
//! | level | a failing check means | the component |
//! |---|---|---|
//! | `Critical` | it cannot function | `Unhealthy` |
//! | `Degraded` | it functions in part | `Degraded` |
//! | `Maintenance` | somebody should look at it | stays as it is, and [needs attention](Health::needs_attention) |
//!
//! # Example
//!
//! ```
//! use backstop::health::check::{Check, Level, Status};
//! use backstop::health::tree::{Component, HealthTree};
//!
//! # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tree = HealthTree::builder("shop")
//!     .component(
//!         Component::new("db")
//!             .dependency()
//!             .check(Check::new("ping", Level::Critical, ping)),
//!     )
//!     .component(
//!         Component::new("cache")
//!             .dependency()
//!             .optional()
//!             .check(Check::new("ping", Level::Critical, ping)),
//!     )
//!     .build()?;
//! tree.start()?;
//!
//! let mut watch = tree.watch();
//! watch.until(|health| health.status == Status::Healthy).await;
//! assert!(tree.is_ready());
//! # Ok(())
//! # }
//! ```
//!
//! # What the statuses come to
//!
//! | probe | it says no |
//! |---|---|
//! | [`is_alive`](HealthTree::is_alive) | while a critical liveness check fails |
//! | [`is_ready`](HealthTree::is_ready) | for `Starting`, `Unknown`, `Unhealthy`, `OutOfService` |
//! | [`has_started`](HealthTree::has_started) | until all start-up checks of what is not optional have passed, and the first results are in |
//!
//! # What surprises
//!
//! * **Nothing runs before [`start`](HealthTree::start)**, and it stops with the last handle.
//! * **A status is read from memory**, and so it knows of an outage no earlier than three periods
//!   after it. Its age is looked at by each reading: what is older than two periods is stale, though
//!   the runtime that should have refreshed it hangs.
//! * **The settings of a check can be changed while it runs**, through its
//!   [`CheckHandle`]. What it has come to stays, and so do its counts, until its next result.
//! * **Not to know is never worse than to know of a failure.** A stale check whose failure would
//!   degrade, or an optional component that is `Unknown`, counts as `Degraded` beside what is known,
//!   and as `Unknown` only if nothing is known. Else a silent reporter of something unimportant
//!   would take a service out of rotation that its failure would not.
//! * **Liveness is about this process.** A liveness check of a
//!   [dependency](Component::dependency) is refused: restarting all callers of a dead database
//!   mends nothing, and takes down what still worked.
//! * **Nothing set by hand touches liveness.**
//!
//! # Recovery
//!
//! A check's [`RecoveryAction`](super::check::RecoveryAction) is taken once per episode: from when
//! the check fails until it was clean twice in a row. Those of more severe checks go first: a milder
//! one waits while a more severe one is due or runs. In
//! [maintenance mode](HealthTree::maintenance) none begins.
//!
//! # Events and metrics
//!
//! [`subscribe`](HealthTree::subscribe) gives each change of a check or a component, and each
//! beginning and end of a recovery, once, in order; the same goes to `tracing` at level info, target
//! `backstop::health`. [`watch`](HealthTree::watch) gives the newest health only, however slow its
//! reader. Statuses, results and durations are exported by
//! [`Exporter`](crate::observe::metrics::Exporter).
//!
//! # Why not the obvious algorithm
//!
//! The obvious tree asks all its checks when it is asked. Then a probe takes as long as the slowest
//! dependency, many probes are many times the load, and a hung check hangs the answer. The obvious
//! roll-up keeps the last status that came in, so that a mild failure hides the worse one before it.
//! Here each component counts its checks and children by status: a result changes one count on each
//! level up to the first whose worst stays what it was, and a reading is two loads.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod check_handle;
mod component;
mod drive;
mod event;
mod figures;
#[cfg(feature = "grpc")]
mod grpc;
mod handle;
#[cfg(feature = "serde")]
mod json;
mod machine;
mod order;
mod recovery;
mod reporter;
mod rollup;
#[cfg(feature = "axum")]
mod routes;
mod shared;
mod snapshot;
mod trace;
mod watch;

pub use check_handle::CheckHandle;
pub use component::{Component, HealthTreeBuilder};
pub use event::{HealthEvent, HealthEventKind, RecoveryOutcome};
pub(crate) use figures::Figures;
#[cfg(feature = "grpc")]
#[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
pub use grpc::{GrpcHealth, GrpcHealthWatch};
pub(crate) use handle::WeakHealthTree;
pub use handle::{ComponentHandle, HealthTree};
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
pub use json::{Detail, HealthJson};
pub use order::StatusOrder;
pub use reporter::Reporter;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub use routes::HealthRoutes;
pub use shared::Health;
pub use snapshot::{CheckSnapshot, ComponentSnapshot, HealthSnapshot};
pub use watch::HealthWatch;
