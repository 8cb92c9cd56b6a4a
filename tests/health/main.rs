//! The health wing as its users meet it.

#[cfg(feature = "test-util")]
mod checks;
