//! The ledger, without its command line: what the example runs, and the kill tests too.

pub mod book;
pub mod client;
pub mod drill;
pub mod load;
pub mod process;
pub mod server;
