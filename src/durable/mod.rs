//! What survives a crash.
//!
//! *Starting is recovering*: nothing here depends on a clean shutdown, and a start always assumes
//! that there was none.
//!
//! | room | does |
//! |---|---|
//! | [`storage`] | files and directories behind a small blocking trait |
//! | [`journal`] | a log that is appended to, synced in groups, and recovered after a crash |
//!
//! Rooms import along `storage < journal`.

pub mod journal;
pub mod storage;
