//! The experiment: what is compared, how it is run, and what is said of it.

pub(crate) mod arm;
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
pub(crate) mod predict;
pub(crate) mod recoveries;
mod report;
pub(crate) mod stats;
mod svg;

pub(crate) use plan::{Plan, run};
pub(crate) use svg::plot;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
