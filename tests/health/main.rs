//! The health wing as its users meet it.

#[cfg(feature = "test-util")]
mod calls;
#[cfg(feature = "test-util")]
mod checks;
#[cfg(feature = "checks")]
mod ready_made;
