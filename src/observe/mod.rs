//! What the policies show of themselves to those who watch a service.
//!
//! | room | does |
//! |---|---|
//! | [`names`] | lists all metrics: name, kind, unit, labels, what it tells |
//! | [`metrics`] | publishes the policies' figures to the `metrics` facade |
//! | [`report`] | computes the figures of recovery: MTTR, availability, automation |
//!
//! The order of the rooms is `names` < `metrics`, `report`.
//!
//! # Tracing
//!
//! The policies trace on their own, with the target `backstop::policy`:
//!
//! | event | level | fields |
//! |---|---|---|
//! | a circuit breaker changed state | info | `name`, `seq`, `from`, `to`, `reason`, `wait` |
//! | one in metrics-only mode would have opened | info | `name`, `seq`, `reason` |
//! | a probe was silent for too long | info | `name`, `seq` |
//! | one was reset or reconfigured | info | `name`, `seq`, `what` |
//! | one rejects calls | debug | `name`, `reason` of the call at hand, `rejected` since the last such event |
//! | a timeout ends calls | debug | `name`, `reason` of the call at hand, `rejected` since the last such event |
//!
//! A [health tree](crate::health::tree) tells each of its events at level info, with the target
//! `backstop::health`.
//!
//! Rejections come in thousands, so a breaker tells of them at most once a second: at the first one,
//! and then at the first one after each second. What it does not tell it counts into the next event.
//! Where nobody listens at this level, that costs a rejection one relaxed load.

pub mod metrics;
pub mod names;
pub mod report;
