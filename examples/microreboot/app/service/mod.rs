//! An auction: nine components, what they are made of, and what can go wrong in them.

pub(crate) mod book;
pub(crate) mod fail;
pub(crate) mod fees;
pub(crate) mod hazard;
pub(crate) mod process;
pub(crate) mod reads;
pub(crate) mod server;
pub(crate) mod sessions;
pub(crate) mod site;
pub(crate) mod slot;
pub(crate) mod store;
pub(crate) mod supervised;
pub(crate) mod world;
