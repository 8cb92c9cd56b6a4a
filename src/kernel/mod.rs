//! Floor 0: what every room stands on. The kernel knows no policy, no tower and no web framework.
//!
//! | room | holds |
//! |---|---|
//! | [`clock`], [`instant`] | time as an argument: system, tokio's and manual clocks |
//! | [`outcome`] | what a finished call means: success, failure, ignored; classifiers |
//! | [`rejection`] | one error for a whole stack of policies |
//! | [`ratio`], [`config`] | quantities that cannot hold bad values, and the error for bad ones |
//! | [`backoff`], [`rng`] | growing waits, and the randomness that spreads them |
//! | [`budget`] | how much of the load on a target may be retries and hedges |
//! | [`event`] | typed events with bounded subscribers |
//! | [`name`], [`managed`], [`keyed`] | how policies are named, administered, and held per key |
//! | [`priority`] | how much a call matters |
//! | [`histogram`] | latencies recorded with one relaxed add |
//! | [`window`] | what a window of outcomes counts |
//!
//! Rooms import along `config, instant, name, priority, shared, sync < clock, ratio, rejection,
//! rng, stripe, told < backoff, histogram, outcome, outlet < event, window < budget, managed <
//! keyed`.

pub mod backoff;
pub mod budget;
pub mod clock;
pub mod config;
pub mod event;
pub mod histogram;
pub mod instant;
pub mod keyed;
pub mod managed;
pub mod name;
pub mod outcome;
pub(crate) mod outlet;
pub mod priority;
pub mod ratio;
pub mod rejection;
pub mod rng;
pub(crate) mod shared;
pub(crate) mod stripe;
pub(crate) mod sync;
pub(crate) mod told;
pub mod window;
