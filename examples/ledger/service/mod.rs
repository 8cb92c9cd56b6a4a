//! The ledger, without its command line: what the example runs, and the kill tests too.

pub(crate) mod book;
pub(crate) mod client;
pub(crate) mod drill;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod server;
