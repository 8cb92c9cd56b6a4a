//! Parts of a service that are restarted when they fail.
//!
//! A *child* is a future that can be made again. A *supervisor* starts its children in order, sees
//! them end, restarts those that failed, and stops them in reverse; when restarting does not help
//! it gives up, and its own supervisor sees one failure. The semantics are those of OTP's
//! `supervisor`, on plain tokio.
//!
//! | room | does |
//! |---|---|
//! | [`budget`] | how many restarts, and how far apart |
//! | [`child`] | what is supervised: its specification, its context, how it ended |
//! | [`supervisor`] | the tree: strategies, restarts, stopping |
//! | `checkpointed` | children that are restarted with their state (feature `durable`) |
//! | [`supervised`] | a tower service whose worker is a child |
//! | [`microreboot`] | components that are rebooted, with their state, when restarts do not help |
//!
//! Rooms import along `budget < child < supervisor < checkpointed < supervised <
//! microreboot`.

pub mod budget;
#[cfg(feature = "durable")]
#[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
pub mod checkpointed;
pub mod child;
pub mod microreboot;
pub mod supervised;
pub mod supervisor;
