//! Is a part well, and what follows if it is not.
//!
//! | room | does |
//! |---|---|
//! | [`check`] | one check: how it is run, when its results make it pass or fail, what is done then |
//! | [`tree`] | components with their checks: what they come to together, and who is told |
//!
//! Rooms import along `check < tree`: a tree is made of checks.

pub mod check;
pub mod tree;
