//! tmp
mod machine;
pub use machine::Origin;
#[cfg(test)]
mod tests;
