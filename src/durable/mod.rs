//! What survives a crash.
//!
//! *Starting is recovering*: nothing here depends on a clean shutdown, and a start always assumes
//! that there was none.
//!
//! | room | does |
//! |---|---|
//! | [`storage`] | files and directories behind a small blocking trait |
//! | [`journal`] | a log that is appended to, synced in groups, and recovered after a crash |
//! | [`replay`] | the state of a stream of events as it was at a point in time |
//!
//! Rooms import along `storage < journal < replay`.

pub mod journal;
pub mod replay;
pub mod storage;
