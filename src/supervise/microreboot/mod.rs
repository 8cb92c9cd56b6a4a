//! Microreboot: restarts the failing component, not the process.
//!
//! Most failures that a restart cures are cured by restarting the part that failed, in the time that
//! part takes, while the rest goes on serving. A *component* is a supervised child that can give its
//! state, stop, clean up, start from a state, and show that it works. Its crashes are restarted by its
//! supervisor; when that does not help, or when somebody reports that it does not do its work, the
//! [`MicrorebootManager`] reboots it: one reboot at a time, not too often, not while most of the
//! service fails, wider if narrow does not help, and in the end it tells a human.
//!
//! ```text
//!   supervisor (budget spent) --+
//!   health check ---------------+--> report --> waits for its turn --> charged --> checkpoint
//!   circuit breaker, prober ----+      |         (overlaps, storm)                  stop
//!                                      |                                            cleanup
//!        stale / refused / joined <----+         next rung <---- failed ----------- start
//!                                                   |                               verify --> cured
//!                                  component, group, subtree, process, human
//! ```
//!
//! # Example
//!
//! See [`Component`] for a component with state, and [`Gate`] for what callers notice of a reboot.
//!
//! ```
//! use backstop::supervise::microreboot::{Component, MicrorebootManager, RebootOutcome, Report};
//! use backstop::supervise::supervisor::Supervisor;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let supervisor = Supervisor::builder("root").start().await?;
//! let manager = MicrorebootManager::builder("shop").start().await?;
//! let search = Component::stateless("search", |cx| async move {
//!     cx.cancelled().await;
//!     Ok::<_, std::io::Error>(())
//! });
//! manager.add(search, &supervisor).await?;
//!
//! // Two report the same failure; there is one reboot.
//! let one = manager.report(Report::new("search", "no_reply").seen(1).by("prober"));
//! let other = manager.report(Report::new("search", "no_reply").seen(1).by("breaker"));
//! assert!(matches!(one.await, RebootOutcome::Cured { incarnation: 2, .. }));
//! assert!(other.await.is_cured());
//! # supervisor.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # When not to use it
//!
//! * For what shares memory with others in ways that a restart of one side breaks: rebooting it alone
//!   corrupts the other. Make it one component, or declare the dependency.
//! * For faults that live outside the process: a database that is down is not cured by restarting its
//!   client. That is what the storm gate and the cap are for, and they make it bearable, not useful.
//! * Where the process starts in less time than it takes to notice that it failed.
//!
//! # What surprises
//!
//! * **The last rung holds.** After the notice reports of that component are refused until
//!   [`acknowledge`](MicrorebootManager::acknowledge), in the next process too. A reboot
//!   [by hand](MicrorebootManager::reboot) is possible all the time, and opens its gate.
//! * **A refusal because of the cap is a notice, too**, if no wider rung is left: nothing else would
//!   ever tell anybody.
//! * **Without a verify, started is cured.** A component that starts and does not work is then rebooted
//!   until its cap is full.
//! * **Wall time is counted by the clock from the manager's start**, so that a wall clock that jumps
//!   neither lifts nor extends a cap; a suspended machine extends it by the time it slept.
//! * **Few components make a coarse storm gate**: with two, one may fail; with one, it always may.
//! * **Nothing is kept across processes by default.** Give it a `CheckpointHistory` (feature
//!   `durable`), or a [`RebootHistory`] of your own; without one a component that takes the process
//!   down is rebooted anew in each.
//!
//! # Defaults
//!
//! [`MicrorebootConfig`], [`PhaseLimits`], [`RebootCap`], [`Ladder`] and [`StormGate`] give each with
//! its reason.
//!
//! # Events and records
//!
//! [`subscribe`](MicrorebootManager::subscribe) gives reports, beginnings, phases, ends, rungs left
//! out, storms and notices, in order; the same goes to `tracing`, target `backstop::supervise`.
//! [`records`](MicrorebootManager::records) are what figures such as the mean time to recover are
//! computed from.
//!
//! # Why not the obvious algorithm
//!
//! A counter that is reset after a success, or per tumbling hour, lets a component be rebooted without
//! end that fails a little slower than the counter forgets. A lock per component deadlocks as soon as
//! groups overlap; here a reboot takes all its components at once or waits, and lets go of them before
//! it becomes wider. And a reboot is never awaited by whoever reported it: a reporter that hangs up
//! changes nothing.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
//!
#![doc = include_str!("gate/RULES.md")]
//!
#![doc = include_str!("rejuvenation/RULES.md")]
//!
#![doc = include_str!("reporters/RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod cap;
mod component;
mod config;
mod core;
mod event;
mod flight;
mod flights;
mod gate;
mod groups;
mod history;
#[cfg(feature = "durable")]
mod history_store;
mod hooks;
mod inner;
mod ladder;
mod landing;
#[cfg(all(test, backstop_loom))]
mod loom_tests;
mod manager;
mod outcome;
mod part;
mod phases;
mod record;
mod rejuvenation;
mod reporters;
mod resume;
mod rung;
mod snapshot;
mod storm;
#[cfg(all(test, feature = "test-util", not(any(backstop_loom, backstop_shuttle))))]
mod tests;
mod trace;

pub use cap::RebootCap;
pub use component::{AddError, Component};
pub use config::{MicrorebootConfig, PhaseLimits};
pub use event::{MicrorebootEvent, MicrorebootEventKind, Notice, Skip};
pub use gate::{
    Drain, Drained, Gate, GateConfig, GateFuture, GateLayer, GateService, GateState, Idempotence,
    IsIdempotent, NoneIdempotent, Pass, Reboot,
};
pub use history::{HistoryError, HistoryState, MemoryHistory, RebootHistory};
#[cfg(feature = "durable")]
#[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
pub use history_store::CheckpointHistory;
pub use ladder::Ladder;
pub(crate) use manager::WeakManager;
pub use manager::{ManagerError, MicrorebootManager, MicrorebootManagerBuilder};
pub use outcome::{RebootOutcome, Refusal, Report, Reported};
pub use record::{
    CallsSeen, Phase, PhaseRecord, PhaseResult, RebootRecord, RecordOutcome, Rung, StartedFrom,
    Trigger,
};
pub use rejuvenation::{Rejuvenation, RejuvenationConfig, RejuvenationSnapshot};
pub use reporters::Reporting;
pub use snapshot::{ComponentSnapshot, MicrorebootSnapshot};
pub use storm::{StormGate, StormRule};

/// The code with which the process rung ends the process: `EX_TEMPFAIL`, try again.
pub const EXIT_CODE: i32 = 75;
