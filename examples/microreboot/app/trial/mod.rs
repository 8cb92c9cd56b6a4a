//! The experiment: what is compared, how it is run, and what is said of it.

mod arm;
pub(crate) mod audit;
mod cell;
pub(crate) mod cost;
pub(crate) mod detector;
mod drill;
mod exchange;
pub(crate) mod fault;
pub(crate) mod generator;
pub(crate) mod outcome;
mod plan;
mod predict;
mod report;
pub(crate) mod stats;
mod svg;

pub(crate) use plan::{Plan, run};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
