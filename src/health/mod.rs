//! Is a part well, and what follows if it is not.
//!
//! | room | does |
//! |---|---|
//! | [`check`] | one check: how it is run, when its results make it pass or fail, what is done then |
//! | [`tree`] | components with their checks: what they come to together, and who is told |
//! | [`calls`] | a check that is fed by calls, and a layer that sheds them |
//! | [`failure_detector`] | from the silence of what sends heartbeats to a suspicion |
//! | [`checks`] | ready-made ones: connections, disk, memory, breakers, heartbeats |
//!
//! Rooms import along `check < tree < calls, failure_detector < checks`: a tree is made of checks.

pub mod calls;
pub mod check;
pub mod checks;
pub mod failure_detector;
pub mod tree;
