//! Parts that are restarted when they fail.
//!
//! | room | does |
//! |---|---|
//! | [`budget`] | how often and how soon something may be restarted |
//!
//! Rooms import along `budget < child < supervisor < checkpointed < microreboot`.

pub mod budget;
