//! Publishes the figures of policies to the `metrics` facade (0.24).
//!
//! The hot paths count in striped counters of their own, and know nothing of the facade: a
//! `counter!` there would cost each call a look-up in the recorder. An [`Exporter`] *pulls*
//! instead. It reads what it was given, on an interval or when asked, and passes on what came in
//! since the last time.
//!
//! ```
//! use backstop::kernel::keyed::Keyed;
//! use backstop::observe::metrics::Exporter;
//! use backstop::{CircuitBreaker, CircuitBreakerConfig};
//! use metrics_util::debugging::{DebugValue, DebuggingRecorder};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let recorder = DebuggingRecorder::new(); // or one for Prometheus, or for any other system
//! let snapshotter = recorder.snapshotter();
//! recorder.install()?;
//!
//! let payments = CircuitBreaker::new("payments", CircuitBreakerConfig::default())?;
//! let hosts = Keyed::<String, CircuitBreaker>::new("hosts", 100, CircuitBreakerConfig::default())?;
//!
//! let exporter = Exporter::new();
//! exporter.add(&payments);
//! exporter.add(&hosts);
//! // In a service: `tokio::spawn(async move { exporter.run(Duration::from_secs(5)).await })`.
//! let _ = payments.call_blocking(|| Err::<(), _>("down"));
//! exporter.publish();
//!
//! let failures = snapshotter.snapshot().into_vec().into_iter().find(|(key, ..)| {
//!     let key = key.key();
//!     let labels: Vec<_> = key.labels().map(|label| label.value()).collect();
//!     key.name() == "policy_calls_total" && labels == ["circuit_breaker", "payments", "failure"]
//! });
//! assert_eq!(failures.unwrap().3, DebugValue::Counter(1));
//! # Ok(())
//! # }
//! ```
//!
//! # What is published
//!
//! The metrics are listed in [`names`](super::names).
//!
//! * **Counters** grow by what came in since the last publish: nothing twice, nothing lost, not even
//!   what a policy counted between the last publish and its end. `reset()` does not touch them.
//! * **State gauges** come from one reading of the policy; in between, and while another thread
//!   scrapes, at most one of the six is 1.
//! * **Durations** are put in by the histogram's buckets, each call as the longest duration of its
//!   bucket (3 % wide). A recorder that keeps single samples gets that many of them at once.
//! * **A keyed set** is one series per metric and not one per key: entries by state, calls and
//!   rejections summed over the set. Its entries' durations and failure ratios are not published.
//! * **A retry's attempts** are its first ones that are over, and the retries that were begun.
//! * **Supervisors and managers of microreboots** are counted by their events: a supervisor's from when
//!   it was added, a manager's with the records that it still had then; of more than 4,096 events
//!   between two publishes the oldest are missing. A supervisor is held until it has ended.
//! * When a policy **is gone**, its gauges go to 0 and its counters stay.
//!
//! # What to mind
//!
//! * **Install the recorder first.** A metric is registered with the recorder that is installed
//!   when it is first published, and stays with it. That is one look-up per series; the handles are
//!   kept.
//! * **Names are labels**, so two policies of one name share their series: their calls add up, and
//!   the gauges show the one that was added last. Add a keyed set or an entry of it, not both.
//! * **One exporter per recorder.** Each exporter publishes all that a policy has counted since it
//!   was made, so that two exporters count everything twice in one recorder. Adding a policy twice
//!   to one exporter, or several clones of it, is adding it once.
//! * An exporter keeps no policy alive. It keeps the figures of one that is gone until they are
//!   published.

mod bulkhead;
#[cfg(feature = "durable")]
mod checkpoints;
mod circuit_breaker;
mod exporter;
mod figures;
mod health;
#[cfg(feature = "durable")]
mod journal;
mod meters;
mod microreboot;
mod pipeline;
mod retry;
mod supervisor;
mod timeout;

pub use exporter::{Exported, Exporter, RunError};
