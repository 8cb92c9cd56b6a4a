//! The tree: starts children, restarts those that fail, stops them, and gives up when restarting
//! does not help.
//!
//! # Example
//!
//! ```
//! use backstop::supervise::child::ChildSpec;
//! use backstop::supervise::supervisor::{StartError, Supervisor};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StartError> {
//! let worker = ChildSpec::new("worker", |cx| async move {
//!     cx.cancelled().await;
//!     Ok::<_, std::io::Error>(())
//! });
//! let supervisor = Supervisor::builder("root").child(worker).start().await?;
//! assert_eq!(supervisor.snapshot().children.len(), 1);
//! supervisor.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # How a child lives
//!
//! ```text
//!              ready           fails              its turn, its wait
//!   Starting ---------> Running -----> (back-off) ------------------> Starting
//!      |                   |
//!      | told to stop      | told to stop, or its future ended and left work behind
//!      v                   v
//!   Stopping --------------------> Stopped
//!      |  its time is over: aborted        ^
//!      v                                   | what is left of it has ended
//!   100 ms later: Orphaned ----------------+
//! ```
//!
//! # What a command answers
//!
//! Restarting is a state and no call that others wait for: during a back-off and a slow start every
//! command is heard at once. (`add` and `restart` resolve when *their own* child is ready or has
//! failed to be, `terminate` when its child has ended.)
//!
//! | the child | `add` with its id | `terminate` | `restart` | `delete` |
//! |---|---|---|---|---|
//! | runs | `Duplicate` | stops it | `Running` | `Running` |
//! | starts, or waits for its restart | `Duplicate` | calls it off | `Restarting` | `Restarting` |
//! | is being stopped | `Duplicate` | waits for the same end | `Stopping`; `Restarting` if it will be | the same |
//! | is stopped | `Duplicate` | its last exit | starts it | done |
//! | is an orphan | `Duplicate` | `Ok(Orphaned)`, and calls a restart off | `Orphaned`, unless overlap is allowed | `Orphaned` |
//! | is unknown | starts it | `NotFound` | `NotFound` | `NotFound` |
//! | any, while the supervisor stops | `Over` | `Over` | `Over` | `Over` |
//!
//! What is added, or restarted by hand, while a group is being restarted starts in its turn there.
//!
//! # What surprises
//!
//! * **A group restart starts its stopped members, too**, as OTP does: those that ended normally
//!   and those that an operator had stopped before. Who is stopped while the group is being
//!   restarted stays stopped.
//! * **A group waits stopped.** When a member fails, the others are stopped at once, then comes the
//!   back-off, then all start: nothing runs for the time of the back-off without what it needs.
//! * **The first restart waits too**, 100 ms by default: [`RestartBackoff::none`] restarts at once,
//!   and gives a crash loop the whole budget within a few microseconds.
//! * **Dropping handles stops nothing.** See [`Supervisor`].
//! * **A factory runs in the supervisor's task**, and so do hooks: they must not block. What takes
//!   time belongs into the future, behind [`Readiness::Explicit`].
//! * **[`Ended::Stopped`] does not say that all is gone**: an orphan cannot be waited for. The
//!   snapshot, which stays readable, shows it.
//! * **A panicking waker** of one who awaits [`Supervisor::ended`] may cost others theirs.
//! * **A caller that floods it waits.** 1,024 children may be on their way to be added, and as many other
//!   commands to be heard; one more waits for room, and costs its caller's future and nothing here. The
//!   queue of notes of children is bounded by their number: three per incarnation.
//! * **A child reaches its supervisor** by [`ChildContext::supervisor`](super::child::ChildContext::supervisor),
//!   and must not await its own end there.
//!
//! # Its place, and its costs
//!
//! A supervisor is one task. A restart is five allocations with the error that caused it, whatever
//! the number of siblings; an idle child costs about 0.9 KiB with its task. Deadlines are in one
//! heap with one alarm for the nearest, which rings although children block the runtime.
//!
//! # Why not the obvious design
//!
//! A supervisor that awaits the stop, the back-off or the start of a child hears nothing
//! meanwhile; one that spawns a task for each of them has no order. Here a pure state machine takes
//! what happens one by one and answers with what to do, and a task carries that out.
//!
//! [`RestartBackoff::none`]: crate::supervise::budget::RestartBackoff::none
//! [`Readiness::Explicit`]: crate::supervise::child::Readiness::Explicit
//!
//! # Children that block
//!
//! A child that blocks its thread cannot be aborted, and it can hold up more than itself: the worker
//! that it blocks may be the one that looks after tokio's timers, and what it woke there waits in a
//! slot that no other worker takes from. So under [`Clock::system`](crate::kernel::clock::Clock::system)
//! the deadlines of supervisors (stops, starts, watchdogs, back-offs) are kept by one thread of the
//! library's, `backstop-timer`, which is started with the first of them; and `ready()` and commands
//! wake a supervisor apart from the worker that they run on. Such a child then is an
//! [orphan](ChildState::Orphaned) when its time is over: told of, and not started a second time
//! beside itself. This holds while one worker is free.
//!
//! A child that is known to block says so: [`ChildSpec::blocking`](super::child::ChildSpec::blocking).
//! Under tokio's clock, which the feature `test-util` makes the default, there is no such thread.
//!
//! # Pausing instead of giving up
//!
//! At the top of a tree there is nobody to give up to. [`SupervisorBuilder::pausing`] holds on: each
//! failure raises a score that time halves; above a threshold what failed waits, what runs goes on,
//! and after the pause all of it tries again.
//!
//! # What one sees
//!
//! [`Supervisor::snapshot`] is the tree as it is, nested supervisors included: text by `Display`, and
//! JSON with the feature `serde`.
//!
//! ```text
//! root: running, 1 restart in its window
//! |- a     running #1, up 2m 5s
//! |- slow  backoff #1, restarts in 750ms, ended with an error: told to fail
//! `- pool  running #1, up 2m 5s, supervisor pool: running, 1 restart in its window
//!    `- worker  running #2, up 250ms
//! ```
//!
//! A child that failed is told by how it failed, and not by how it was stopped after that: one that hung
//! `gave no sign of life for 2s`, and was not merely killed.
//!
//! [`Supervisor::subscribe`] gives each event once, numbered, in order; the same goes to `tracing`,
//! target `backstop::supervise`. [`Supervisor::subscribe_tree`] gives those of the supervisors below it too,
//! each with its path. [`Supervisor::health_check`] makes a health check of it.
//!
//! # Rules
//!
#![doc = include_str!("RULES.md")]
#![allow(clippy::doc_markdown, reason = "a rule's id is no identifier")]

mod branch;
mod builder;
mod config;
mod core;
mod driver;
mod dynamic;
mod error;
mod event;
mod handle;
mod health;
mod machine;
mod snapshot;
mod snapshot_text;
mod trace;

pub use branch::{TreeEvent, TreePath};
pub use builder::SupervisorBuilder;
pub use config::{AutoShutdown, Strategy};
pub use dynamic::{DynamicSupervisor, DynamicSupervisorBuilder};
pub use error::{CommandError, Ended, StartError, Terminated};
pub use event::{SupervisorEvent, SupervisorEventKind};
pub use handle::Supervisor;
pub use snapshot::{ChildSnapshot, ChildState, Phase, TreeSnapshot};
