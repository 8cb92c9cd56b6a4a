//! Parts that are restarted when they fail.
//!
//! | room | does |
//! |---|---|
//! | [`budget`] | how often and how soon something may be restarted |
//! | `checkpointed` | children that are restarted with their state (feature `durable`) |
//!
//! Rooms import along `budget < child < supervisor < checkpointed < microreboot`.

pub mod budget;
#[cfg(feature = "durable")]
#[cfg_attr(docsrs, doc(cfg(feature = "durable")))]
pub mod checkpointed;
