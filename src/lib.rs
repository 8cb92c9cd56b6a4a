//! backstop
#![forbid(unsafe_code)]
