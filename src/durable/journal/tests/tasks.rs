//! Appending from tasks.
