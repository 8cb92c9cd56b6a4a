//! Pipeline: the call path in one handle, in the order that serves most calls.
mod attempt;
mod call;
mod classifier;
mod config;
mod handle;
mod parts;

pub use classifier::{ByVerdict, Stacked, Standard};
pub use config::PipelineConfig;
pub use handle::Pipeline;
pub use parts::PipelineParts;
