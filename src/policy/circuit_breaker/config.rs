//! What a circuit breaker can be told.

#[cfg(feature = "serde")]
use super::config_text as text;
use crate::kernel::backoff::{Backoff, Jitter};
use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use crate::kernel::ratio::Ratio;
use crate::kernel::window::time::TimeShape;
use std::time::Duration;

/// The configuration of a [`CircuitBreaker`](super::CircuitBreaker): a small value with a default
/// for everything, checked when a breaker takes it.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`window`](Self::window) | the last 100 calls | reacts at the same speed at any rate of calls, and costs nothing while all is well |
/// | [`failure_rate`](Self::failure_rate) | 50 % | more than half lost: calling is worse than not calling |
/// | [`minimum_calls`](Self::minimum_calls) | 20 | 3 failures of 5 are chance; 10 of 20 hardly are |
/// | [`slow_calls`](Self::slow_calls) | off | only the caller knows what slow is; it costs two clock readings per call |
/// | [`open_wait`](Self::open_wait) | 5 s, doubled up to 60 s | a blip is over in seconds; an outage is asked about once a minute |
/// | [`open_wait_jitter`](Self::open_wait_jitter) | 10 % | breakers that opened together do not probe together |
/// | [`probes`](Self::probes) | 5 | one lucky answer proves little |
/// | [`dropped_calls`](Self::dropped_calls) | ignored | a caller that hangs up says nothing about the callee |
///
/// ```
/// use backstop::CircuitBreakerConfig;
/// use backstop::policy::circuit_breaker::Window;
/// use std::time::Duration;
///
/// let config = CircuitBreakerConfig::default()
///     .window(Window::time(Duration::from_secs(10), 10))
///     .failure_rate(0.3)
///     .slow_calls(Duration::from_secs(1), 0.8);
/// # let _ = config;
/// ```
///
/// With the feature `serde` it is read from text, in which unknown fields are refused:
///
/// ```
/// # #[cfg(feature = "serde")] {
/// let config: backstop::CircuitBreakerConfig = toml::from_str(r#"
///     window = { time = "10s", buckets = 10 }
///     failure_rate = "30%"
///     slow_call_limit = "1s"
///     slow_call_rate = "80%"
///     open_wait = { base = "2s", factor = 2.0, cap = "30s", jitter = "10%" }
/// "#).unwrap();
/// # backstop::CircuitBreaker::new("x", config).unwrap();
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings, set by name"
)]
pub struct CircuitBreakerConfig {
    window: Window,
    pub(super) consecutive_failures: Option<u32>,
    #[cfg_attr(feature = "serde", serde(with = "text::share"))]
    failure_rate: Option<f64>,
    #[cfg_attr(feature = "serde", serde(with = "duration_text::option"))]
    pub(super) slow_call_limit: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "text::share"))]
    slow_call_rate: Option<f64>,
    pub(super) minimum_calls: u32,
    pub(super) failures_only: bool,
    open_wait: OpenWait,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    pub(super) max_hint: Duration,
    pub(super) probes: u32,
    pub(super) probe_decision: ProbeDecision,
    #[cfg_attr(feature = "serde", serde(with = "duration_text::option"))]
    pub(super) probe_max_wait: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "duration_text::option"))]
    pub(super) half_open_limit: Option<Duration>,
    pub(super) dropped_calls: DroppedCalls,
    pub(super) auto_half_open: bool,
    pub(super) totals: bool,
    pub(super) durations: bool,
    pub(super) seed: Option<u64>,
}

/// Which calls the rates are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "text::Window", into = "text::Window")
)]
pub struct Window(pub(super) WindowKind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowKind {
    None,
    Count(u32),
    Time { span: Duration, buckets: u32 },
}

impl Window {
    /// The last `calls` calls (1 to 1,000,000). In text: `{ count = 100 }`.
    ///
    /// While it is full and holds nothing bad, a successful call writes nothing to it.
    pub const fn count(calls: u32) -> Self {
        Self(WindowKind::Count(calls))
    }

    /// The calls of the last `span`, in `buckets` equal parts: a call leaves with its bucket. In
    /// text: `{ time = "10s", buckets = 10 }`.
    ///
    /// The span is at least 10 ms and a whole number of milliseconds per bucket; there are 1 to
    /// 60 buckets. Buckets of 80 ms and more use the coarse clock on Linux.
    pub const fn time(span: Duration, buckets: u32) -> Self {
        Self(WindowKind::Time { span, buckets })
    }

    /// None: only [`consecutive_failures`](CircuitBreakerConfig::consecutive_failures) trips. In
    /// text: `{}`.
    pub const fn none() -> Self {
        Self(WindowKind::None)
    }
}

/// When the verdict on a half-open circuit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum ProbeDecision {
    /// As soon as the probes still out cannot change it, either way.
    #[default]
    Early,
    /// When all probes are in.
    All,
}

/// What a call counts as whose future is dropped before it finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum DroppedCalls {
    /// Nothing: callers hang up for reasons of their own.
    #[default]
    Ignored,
    /// A failure. Right where the only reason to drop a call is a timeout outside the breaker,
    /// which the breaker would otherwise never hear of.
    Failure,
    /// A failure, and a slow one, if it had already run longer than the slow-call limit; else
    /// nothing.
    FailureIfSlow,
}

impl DroppedCalls {
    pub(super) const fn code(self) -> u8 {
        self as u8
    }

    pub(super) const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Ignored,
            1 => Self::Failure,
            _ => Self::FailureIfSlow,
        }
    }
}

/// How long a circuit stays open the n-th time in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
struct OpenWait {
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    base: Duration,
    factor: f64,
    #[cfg_attr(feature = "serde", serde(with = "duration_text"))]
    cap: Duration,
    #[cfg_attr(feature = "serde", serde(with = "text::plain_share"))]
    jitter: f64,
}

impl Default for OpenWait {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(5),
            factor: 2.0,
            cap: Duration::from_secs(60),
            jitter: 0.1,
        }
    }
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self {
            window: Window::count(100),
            consecutive_failures: None,
            failure_rate: Some(0.5),
            slow_call_limit: None,
            slow_call_rate: None,
            minimum_calls: 20,
            failures_only: false,
            open_wait: OpenWait::default(),
            max_hint: Duration::from_secs(60),
            probes: 5,
            probe_decision: ProbeDecision::Early,
            probe_max_wait: None,
            half_open_limit: None,
            dropped_calls: DroppedCalls::Ignored,
            auto_half_open: false,
            totals: true,
            durations: false,
            seed: None,
        }
    }
}

impl CircuitBreakerConfig {
    /// The plain textbook breaker: `failures` in a row (from 1) open it for exactly 60 s; then one
    /// probe closes it or opens it again.
    pub fn consecutive(failures: u32) -> Self {
        let minute = Duration::from_secs(60);
        Self::default()
            .window(Window::none())
            .consecutive_failures(failures)
            .open_wait(minute, 1.0, minute)
            .open_wait_jitter(0.0)
            .probes(1)
    }

    /// Which calls the rates are taken over. Default: the last 100.
    pub const fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Opens after this many failures in a row (from 1), whatever the window says. Default: off.
    pub const fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }

    /// Opens when this share of the window failed: above 0, at most 1. Default: 0.5.
    pub const fn failure_rate(mut self, share: f64) -> Self {
        self.failure_rate = Some(share);
        self
    }

    /// Never opens because of a failure rate. A half-open circuit is still judged, by 50 %.
    pub const fn without_failure_rate(mut self) -> Self {
        self.failure_rate = None;
        self
    }

    /// Opens when `share` (above 0, at most 1) of the window took longer than `limit`. Independent
    /// of the failure rate: a call can be slow, failed, both or neither. Default: off.
    pub const fn slow_calls(mut self, limit: Duration, share: f64) -> Self {
        self.slow_call_limit = Some(limit);
        self.slow_call_rate = Some(share);
        self
    }

    /// No rate is judged on fewer calls than this (from 1; at most the size of a count window).
    /// Default: 20.
    pub const fn minimum_calls(mut self, calls: u32) -> Self {
        self.minimum_calls = calls;
        self
    }

    /// Judges only after failed or slow calls, so that a good call never opens the circuit, not
    /// even the one that completes the minimum. Default: off.
    pub const fn failures_only(mut self, failures_only: bool) -> Self {
        self.failures_only = failures_only;
        self
    }

    /// Stays open `base * factor^(n-1)`, at most `cap`, the n-th time in a row: base above zero,
    /// factor from 1, cap at least the base. Default: 5 s, 2, 60 s.
    pub const fn open_wait(mut self, base: Duration, factor: f64, cap: Duration) -> Self {
        self.open_wait = OpenWait {
            base,
            factor,
            cap,
            jitter: self.open_wait.jitter,
        };
        self
    }

    /// Spreads that wait by this share (0 to 1) either way. Default: 0.1.
    pub const fn open_wait_jitter(mut self, share: f64) -> Self {
        self.open_wait.jitter = share;
        self
    }

    /// The longest wait a callee can ask for by a hint. Default: 60 s.
    pub const fn max_hint(mut self, longest: Duration) -> Self {
        self.max_hint = longest;
        self
    }

    /// How many calls a half-open circuit lets through to judge by (1 to 10,000). Default: 5.
    pub const fn probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }

    /// When they are judged. Default: as soon as the verdict is certain.
    pub const fn probe_decision(mut self, decision: ProbeDecision) -> Self {
        self.probe_decision = decision;
        self
    }

    /// A probe that is silent for this long counts as failed. Default: the wait that preceded it, at
    /// least the base of [`open_wait`](Self::open_wait).
    pub const fn probe_max_wait(mut self, wait: Duration) -> Self {
        self.probe_max_wait = Some(wait);
        self
    }

    /// A circuit that is half-open for this long opens again. Default: no limit, because a
    /// half-open circuit decides by answers, and a slow trickle of them is enough.
    pub const fn half_open_limit(mut self, limit: Duration) -> Self {
        self.half_open_limit = Some(limit);
        self
    }

    /// What a dropped call counts as. Default: nothing.
    pub const fn dropped_calls(mut self, dropped: DroppedCalls) -> Self {
        self.dropped_calls = dropped;
        self
    }

    /// Whether reading the state of an open circuit whose wait is over makes it half-open, as a
    /// call would. No task is needed for it. Default: off.
    pub const fn auto_half_open(mut self, auto: bool) -> Self {
        self.auto_half_open = auto;
        self
    }

    /// Whether successful calls are counted: one uncontended add each. Failures, rejections and
    /// the like are counted in any case; so are successes in a time window. Default: on.
    pub const fn totals(mut self, totals: bool) -> Self {
        self.totals = totals;
        self
    }

    /// Whether durations are kept in a histogram: two clock readings and one add per call.
    /// Default: off.
    pub const fn durations(mut self, durations: bool) -> Self {
        self.durations = durations;
        self
    }

    /// Seeds the jitter. Default: differs from breaker to breaker.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks everything and puts it into the form that the machine works with.
    pub(super) fn rules(self) -> Result<Rules, ConfigError> {
        let window = self.checked_window()?;
        let failure_rate = checked_rate("failure_rate", self.failure_rate)?;
        let slow_rate = self.checked_slow_rate()?;
        if let Some(0) = self.consecutive_failures {
            return Err(ConfigError::new("consecutive_failures", 0, "at least 1"));
        }
        let judges_rates = !matches!(window, Shape::None) && (failure_rate.or(slow_rate)).is_some();
        if !judges_rates && self.consecutive_failures.is_none() {
            return Err(ConfigError::new(
                "window",
                "nothing that trips",
                "a window with a rate, or consecutive_failures",
            ));
        }
        if self.dropped_calls == DroppedCalls::FailureIfSlow && self.slow_call_limit.is_none() {
            return Err(ConfigError::new(
                "dropped_calls",
                "failure_if_slow",
                "used together with slow_call_limit",
            ));
        }
        if !(1..=10_000).contains(&self.probes) {
            return Err(ConfigError::new("probes", self.probes, "from 1 to 10000"));
        }
        nonzero("max_hint", Some(self.max_hint))?;
        nonzero("probe_max_wait", self.probe_max_wait)?;
        nonzero("half_open_limit", self.half_open_limit)?;
        Ok(Rules {
            window,
            failure_rate,
            slow_rate,
            wait: self.open_wait.checked()?,
            given: self,
        })
    }

    /// The span of a time window.
    pub(crate) const fn time_span(&self) -> Option<Duration> {
        match self.window.0 {
            WindowKind::Time { span, .. } => Some(span),
            WindowKind::None | WindowKind::Count(_) => None,
        }
    }

    fn checked_window(&self) -> Result<Shape, ConfigError> {
        let minimum = self.minimum_calls;
        if minimum == 0 {
            return Err(ConfigError::new("minimum_calls", 0, "at least 1"));
        }
        match self.window.0 {
            WindowKind::None => Ok(Shape::None),
            WindowKind::Count(size) if !(1..=MAX_COUNT).contains(&size) => Err(ConfigError::new(
                "window.count",
                size,
                format!("from 1 to {MAX_COUNT}"),
            )),
            WindowKind::Count(size) if minimum > size => Err(ConfigError::new(
                "minimum_calls",
                minimum,
                format!("at most the size of the window ({size})"),
            )),
            WindowKind::Count(size) => Ok(Shape::Count(size)),
            WindowKind::Time { span, buckets } => checked_time(span, buckets).map(Shape::Time),
        }
    }

    fn checked_slow_rate(&self) -> Result<Option<Ratio>, ConfigError> {
        nonzero("slow_call_limit", self.slow_call_limit)?;
        let rate = checked_rate("slow_call_rate", self.slow_call_rate)?;
        if rate.is_some() && self.slow_call_limit.is_none() {
            let together = "used together with slow_call_limit";
            return Err(ConfigError::new(
                "slow_call_rate",
                rate_text(rate),
                together,
            ));
        }
        Ok(rate)
    }
}

/// A count window keeps two bits per call.
const MAX_COUNT: u32 = 1_000_000;
const MAX_BUCKETS: u32 = 60;
const LONGEST_SPAN: Duration = Duration::from_secs(24 * 60 * 60);

fn checked_time(span: Duration, buckets: u32) -> Result<TimeShape, ConfigError> {
    if !(1..=MAX_BUCKETS).contains(&buckets) {
        let allowed = format!("from 1 to {MAX_BUCKETS}");
        return Err(ConfigError::new("window.buckets", buckets, allowed));
    }
    let millis = span.as_millis();
    let is_whole = span == Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    if !(Duration::from_millis(10)..=LONGEST_SPAN).contains(&span)
        || !is_whole
        || millis % u128::from(buckets) != 0
    {
        return Err(ConfigError::new(
            "window.time",
            format_args!("{span:?}"),
            format!(
                "from 10ms to 24h, and a whole number of milliseconds for each of {buckets} buckets"
            ),
        ));
    }
    Ok(TimeShape {
        width: span / buckets,
        buckets,
    })
}

fn checked_rate(field: &'static str, share: Option<f64>) -> Result<Option<Ratio>, ConfigError> {
    let Some(share) = share else { return Ok(None) };
    match Ratio::new(share) {
        Ok(ratio) if ratio.parts_per_million() > 0 => Ok(Some(ratio)),
        _ => Err(ConfigError::new(field, share, "above 0 and at most 1")),
    }
}

fn rate_text(rate: Option<Ratio>) -> String {
    rate.map_or_else(|| String::from("off"), |rate| rate.to_string())
}

fn nonzero(field: &'static str, duration: Option<Duration>) -> Result<(), ConfigError> {
    match duration {
        Some(Duration::ZERO) => Err(ConfigError::new(field, "0s", "above 0s")),
        _ => Ok(()),
    }
}

impl OpenWait {
    fn checked(&self) -> Result<Backoff, ConfigError> {
        let jitter = Ratio::new(self.jitter)
            .map_err(|error| ConfigError::new("open_wait.jitter", error.value(), "from 0 to 1"))?;
        let backoff = Backoff::exponential(self.base)
            .factor(self.factor)
            .cap(self.cap);
        backoff.validate().map_err(|error| {
            let field = match error.field() {
                "base" => "open_wait.base",
                "factor" => "open_wait.factor",
                _ => "open_wait.cap",
            };
            ConfigError::new(field, error.value(), error.allowed())
        })?;
        Ok(match jitter.parts_per_million() {
            0 => backoff,
            _ => backoff.jitter(Jitter::Proportional(jitter)),
        })
    }
}

/// A configuration after it was checked, with what has another form in use. The circuits of a
/// keyed set share one.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) window: Shape,
    pub(super) failure_rate: Option<Ratio>,
    pub(super) slow_rate: Option<Ratio>,
    pub(super) wait: Backoff,
    pub(super) given: CircuitBreakerConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    None,
    Count(u32),
    Time(TimeShape),
}
