//! The experiment: what is compared, how it is run, and what is said of it.

mod arm;
mod audit;
mod cell;
pub(crate) mod cost;
mod detector;
mod drill;
mod exchange;
mod fault;
mod generator;
mod outcome;
mod plan;
mod predict;
mod report;
mod stats;
mod svg;

pub(crate) use plan::{Plan, run};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
