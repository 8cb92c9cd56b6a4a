//! Where time comes from.
//!
//! Everything here that depends on time asks a [`Clock`], a small value that is handed in: the
//! system's in production, tokio's under a paused test runtime, a manual one in tests of one step
//! at a time. Two clocks share no origin, so an [`Instant`] means something to the clock that gave
//! it and to no other.
//!
//! **`test-util` changes the default.** With that feature [`Clock::default`] is tokio's, so that a
//! plain `#[tokio::test(start_paused = true)]` moves every policy built without a word about
//! clocks. Tokio's own feature of that name does less. Leave it to dev-dependencies: a benchmark
//! or a service that has it on measures, and pays for, the wrong clock.

use crate::kernel::instant::{Instant, saturating_nanos};
use crate::kernel::sync::wake_all;
use parking_lot::{Condvar, Mutex};
use pin_project_lite::pin_project;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

mod outside;
mod park;

pub(crate) use outside::{OutsideAlarm, wake_apart};
pub(crate) use park::unparker;

/// A source of time. Cloning it is cheap.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    System,
    Tokio,
    Manual(Arc<Manual>),
}

/// Clocks that count from a point of our choosing begin here, so that a time before that point (a
/// paused runtime older than the first reading, a manual clock stepped back) is still a time.
const ORIGIN: u64 = 1 << 62;

/// The time of day at which a manual clock begins: 2020-01-01T00:00:00Z, in nanoseconds since 1970.
const MANUAL_WALL: u64 = 1_577_836_800 * 1_000_000_000;

impl Default for Clock {
    /// The system clock; tokio's with the feature `test-util`.
    fn default() -> Self {
        if cfg!(feature = "test-util") {
            Self::tokio()
        } else {
            Self::system()
        }
    }
}

impl Clock {
    /// The system's monotonic clock. [`sleep_until`](Self::sleep_until) uses tokio's timers.
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// Tokio's clock: the system's, unless the runtime is paused.
    pub const fn tokio() -> Self {
        Self(Kind::Tokio)
    }

    /// A clock that moves only when told to.
    ///
    /// ```
    /// use backstop::kernel::clock::Clock;
    /// use std::time::Duration;
    ///
    /// let manual = Clock::manual();
    /// let clock = manual.clock();
    /// let start = clock.now();
    /// manual.advance(Duration::from_secs(3600));
    /// assert_eq!(clock.now().saturating_duration_since(start), Duration::from_secs(3600));
    /// ```
    pub fn manual() -> ManualClock {
        Self::manual_with_grain(Duration::ZERO)
    }

    /// A manual clock whose coarse reading lags as a system's does: it shows multiples of `grain`.
    pub fn manual_with_grain(grain: Duration) -> ManualClock {
        ManualClock(Arc::new(Manual {
            grain,
            now: AtomicU64::new(ORIGIN),
            sleepers: Mutex::new(Sleepers::default()),
            advanced: Condvar::new(),
        }))
    }

    /// Now, as precisely as the clock can tell (about 25 ns on Linux).
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => system::now(),
            Kind::Tokio => tokio_now(),
            Kind::Manual(manual) => manual.now(),
        }
    }

    /// Now, or up to one [`grain`](Self::grain) earlier, never later; about 6 ns on Linux.
    ///
    /// Where the system's tick is late, as on a busy virtual machine, it lags by that much more.
    pub fn coarse(&self) -> Instant {
        match &self.0 {
            Kind::System => system::coarse(),
            Kind::Tokio => tokio_now(),
            Kind::Manual(manual) => manual.coarse(),
        }
    }

    /// How far [`coarse`](Self::coarse) may lag; zero where it does not.
    pub fn grain(&self) -> Duration {
        match &self.0 {
            Kind::System => system::grain(),
            Kind::Tokio => Duration::ZERO,
            Kind::Manual(manual) => manual.grain,
        }
    }

    /// Whether the coarse reading is good enough to measure `limit`: at least 20 grains.
    pub(crate) fn is_coarse_enough_for(&self, limit: Duration) -> bool {
        limit >= self.grain().saturating_mul(20)
    }

    /// The time `limit` from now. Read off the coarse clock where that is good enough, and one grain
    /// later then, so that it is never early.
    pub(crate) fn deadline(&self, limit: Duration) -> Instant {
        let (start, lag) = self.start_of(limit);
        start + lag + limit
    }

    /// The same, and a sleep until then for one reading of the clock less than
    /// [`sleep_until`](Self::sleep_until) takes.
    pub(crate) fn alarm(&self, limit: Duration) -> Result<(Instant, Sleep), NoRuntime> {
        let (start, lag) = self.start_of(limit);
        let deadline = start + lag + limit;
        Ok((
            deadline,
            self.sleep(deadline, || limit.saturating_add(lag))?,
        ))
    }

    /// A start from which `limit` is to be measured, and how far it may lag.
    fn start_of(&self, limit: Duration) -> (Instant, Duration) {
        if self.is_coarse_enough_for(limit) {
            (self.coarse(), self.grain())
        } else {
            (self.now(), Duration::ZERO)
        }
    }

    /// Whether times of the other clock mean the same to this one.
    pub(crate) fn is_one_with(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::System, Kind::System) | (Kind::Tokio, Kind::Tokio) => true,
            (Kind::Manual(one), Kind::Manual(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Whether it is tokio's, which may be paused.
    pub(crate) const fn is_tokios(&self) -> bool {
        matches!(self.0, Kind::Tokio)
    }

    /// The time of day, for what is shown or stored. It may jump. That of a manual clock begins with the
    /// year 2020 and moves with it.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the library reads the time"
    )]
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Kind::Manual(manual) => {
                SystemTime::UNIX_EPOCH + Duration::from_nanos(manual.wall_nanos())
            }
            _ => SystemTime::now(),
        }
    }

    /// The same in nanoseconds since 1970; 0 before.
    #[cfg(feature = "durable")]
    pub(crate) fn wall_nanos(&self) -> u64 {
        match &self.0 {
            Kind::Manual(manual) => manual.wall_nanos(),
            _ => system::wall_nanos(),
        }
    }

    /// Waits until the clock shows `deadline` or later.
    ///
    /// # Errors
    ///
    /// [`NoRuntime`] if the clock needs a tokio runtime with timers and there is none here. A
    /// manual clock needs none. A runtime without timers says so by a panic and not otherwise; it is
    /// caught here, but a panic hook hears of it, and under `panic = "abort"` it ends the process.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub fn sleep_until(&self, deadline: Instant) -> Result<Sleep, NoRuntime> {
        self.sleep(deadline, || deadline.saturating_duration_since(self.now()))
    }

    /// `left` is what is left until `deadline`, for clocks whose timers want to know.
    fn sleep(
        &self,
        deadline: Instant,
        left: impl FnOnce() -> Duration,
    ) -> Result<Sleep, NoRuntime> {
        let inner = match &self.0 {
            Kind::System | Kind::Tokio => SleepKind::Tokio {
                sleep: tokio_sleep(left())?,
            },
            Kind::Manual(manual) => SleepKind::Manual {
                sleeper: Sleeper {
                    manual: manual.clone(),
                    deadline: deadline.as_nanos(),
                    id: None,
                },
            },
        };
        Ok(Sleep { inner })
    }

    /// Blocks this thread until the clock shows `deadline` or later.
    ///
    /// Under tokio's clock it looks again each millisecond, because a paused clock wakes nobody.
    pub fn park_until(&self, deadline: Instant) {
        if let Kind::Manual(manual) = &self.0 {
            return manual.park_until(deadline.as_nanos());
        }
        loop {
            let left = deadline.saturating_duration_since(self.now());
            if left.is_zero() {
                return;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "this is where the library sleeps"
            )]
            std::thread::sleep(self.longest_park(left));
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::System => "Clock::system()",
            Kind::Tokio => "Clock::tokio()",
            Kind::Manual(_) => "Clock::manual()",
        })
    }
}

/// There is no tokio runtime with timers here, and the clock needs one to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRuntime;

impl fmt::Display for NoRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no tokio runtime with timers here: run inside one built with `enable_time`, \
             or use the blocking call",
        )
    }
}

impl std::error::Error for NoRuntime {}

/// Linux and Android: both monotonic clocks through the vDSO, in one time domain.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use super::{Duration, Instant, OnceLock};
    use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

    #[expect(
        clippy::cast_sign_loss,
        reason = "monotonic clocks count from the start of the system"
    )]
    const fn nanos(time: Timespec) -> u64 {
        (time.tv_sec as u64)
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec as u64)
    }

    pub(super) fn now() -> Instant {
        Instant::from_nanos(nanos(clock_gettime(ClockId::Monotonic)))
    }

    pub(super) fn coarse() -> Instant {
        Instant::from_nanos(nanos(clock_gettime(ClockId::MonotonicCoarse)))
    }

    /// Half of what `SystemTime` takes to be read and made into a number.
    #[cfg(feature = "durable")]
    pub(super) fn wall_nanos() -> u64 {
        let time = clock_gettime(ClockId::Realtime);
        if time.tv_sec < 0 { 0 } else { nanos(time) }
    }

    pub(super) fn grain() -> Duration {
        static GRAIN: OnceLock<Duration> = OnceLock::new();
        *GRAIN.get_or_init(|| Duration::from_nanos(nanos(clock_getres(ClockId::MonotonicCoarse))))
    }
}

/// Elsewhere `std` has one monotonic clock, so the coarse reading is the precise one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use super::{Duration, Instant, since_base};

    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the library reads the time"
    )]
    pub(super) fn now() -> Instant {
        since_base(std::time::Instant::now())
    }

    pub(super) fn coarse() -> Instant {
        now()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the library reads the time"
    )]
    #[cfg(feature = "durable")]
    pub(super) fn wall_nanos() -> u64 {
        let time = std::time::SystemTime::now();
        time.duration_since(std::time::SystemTime::UNIX_EPOCH)
            .map_or(0, super::saturating_nanos)
    }

    pub(super) fn grain() -> Duration {
        Duration::ZERO
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is where the library reads the time"
)]
fn tokio_now() -> Instant {
    since_base(tokio::time::Instant::now().into_std())
}

/// Nanoseconds from the first reading of this process, which stands at [`ORIGIN`].
fn since_base(time: std::time::Instant) -> Instant {
    static BASE: OnceLock<std::time::Instant> = OnceLock::new();
    let base = *BASE.get_or_init(|| time);
    Instant::from_nanos(match time.checked_duration_since(base) {
        Some(after) => ORIGIN.saturating_add(saturating_nanos(after)),
        None => ORIGIN.saturating_sub(saturating_nanos(base.duration_since(time))),
    })
}

fn tokio_sleep(left: Duration) -> Result<tokio::time::Sleep, NoRuntime> {
    tokio::runtime::Handle::try_current().map_err(|_| NoRuntime)?;
    // A runtime without timers says so only by a panic.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the library sleeps"
    )]
    std::panic::catch_unwind(|| tokio::time::sleep(left)).map_err(|_| NoRuntime)
}

/// The clock of a test: it stands still until it is advanced, and wakes its sleepers then.
#[derive(Clone)]
pub struct ManualClock(Arc<Manual>);

struct Manual {
    grain: Duration,
    now: AtomicU64,
    sleepers: Mutex<Sleepers>,
    advanced: Condvar,
}

#[derive(Default)]
struct Sleepers {
    next_id: u64,
    /// By deadline, then by arrival: the order in which they are woken.
    waiting: BTreeMap<(u64, u64), Waker>,
}

impl ManualClock {
    /// A clock that shows this time.
    pub fn clock(&self) -> Clock {
        Clock(Kind::Manual(self.0.clone()))
    }

    /// Moves time on and wakes who was waiting for it, in order of deadline.
    pub fn advance(&self, by: Duration) {
        let by = saturating_nanos(by);
        self.0.change(|now| now.saturating_add(by));
    }

    /// Moves time back, as no monotonic clock should and some have.
    pub fn step_back(&self, by: Duration) {
        let by = saturating_nanos(by);
        self.0.change(|now| now.saturating_sub(by));
    }

    /// How many wait for it to be advanced.
    #[cfg(all(test, feature = "durable"))]
    pub(crate) fn sleepers(&self) -> usize {
        self.0.sleepers.lock().waiting.len()
    }
}

impl From<ManualClock> for Clock {
    fn from(manual: ManualClock) -> Self {
        manual.clock()
    }
}

impl From<&ManualClock> for Clock {
    fn from(manual: &ManualClock) -> Self {
        manual.clock()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock")
            .field("now", &self.0.now())
            .finish()
    }
}

impl Manual {
    fn wall_nanos(&self) -> u64 {
        let now = self.now.load(Ordering::Acquire);
        MANUAL_WALL
            .saturating_add(now.saturating_sub(ORIGIN))
            .saturating_sub(ORIGIN.saturating_sub(now))
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now.load(Ordering::Acquire))
    }

    fn coarse(&self) -> Instant {
        let now = self.now().as_nanos();
        let into_grain = now.checked_rem(saturating_nanos(self.grain)).unwrap_or(0);
        Instant::from_nanos(now - into_grain)
    }

    fn change(&self, to: impl Fn(u64) -> u64) {
        let due = {
            let mut sleepers = self.sleepers.lock();
            let now = to(self.now.load(Ordering::Acquire));
            self.now.store(now, Ordering::Release);
            let later = sleepers.waiting.split_off(&(now.saturating_add(1), 0));
            std::mem::replace(&mut sleepers.waiting, later)
        };
        self.advanced.notify_all();
        // Wakers are the executor's code, so they run after the unlock.
        wake_all(due.into_values().collect());
    }

    fn park_until(&self, deadline: u64) {
        let mut sleepers = self.sleepers.lock();
        while self.now.load(Ordering::Acquire) < deadline {
            self.advanced.wait(&mut sleepers);
        }
    }
}

pin_project! {
    /// The future of [`Clock::sleep_until`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Sleep {
        #[pin]
        inner: SleepKind,
    }
}

pin_project! {
    #[project = SleepProjection]
    enum SleepKind {
        Tokio { #[pin] sleep: tokio::time::Sleep },
        Manual { sleeper: Sleeper },
    }
}

/// One waiter of a manual clock.
struct Sleeper {
    manual: Arc<Manual>,
    deadline: u64,
    id: Option<u64>,
}

impl Sleeper {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut sleepers = self.manual.sleepers.lock();
        if self.manual.now.load(Ordering::Acquire) >= self.deadline {
            drop(sleepers);
            return Poll::Ready(());
        }
        let id = *self.id.get_or_insert(sleepers.next_id);
        sleepers.next_id = sleepers.next_id.max(id + 1);
        let replaced = sleepers.waiting.insert((self.deadline, id), waker);
        drop(sleepers);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let removed = self
                .manual
                .sleepers
                .lock()
                .waiting
                .remove(&(self.deadline, id));
            drop(removed);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project().inner.project() {
            SleepProjection::Tokio { sleep } => sleep.poll(cx),
            SleepProjection::Manual { sleeper } => sleeper.poll(cx),
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_manual_clock_has_a_time_of_day_of_its_own() {
        let manual = Clock::manual();
        let begun = manual.clock().wall();
        let since = begun.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 1_577_836_800);
        manual.advance(Duration::from_secs(3));
        assert_eq!(manual.clock().wall(), begun + Duration::from_secs(3));
        manual.step_back(Duration::from_secs(5));
        assert_eq!(manual.clock().wall(), begun - Duration::from_secs(2));
    }

    #[test]
    fn the_coarse_reading_never_runs_ahead() {
        let clock = Clock::system();
        for _ in 0..10_000 {
            let before = clock.now();
            let coarse = clock.coarse();
            let after = clock.now();
            assert!(coarse <= after);
            // A reading taken between two grains lags by at most one, measured from its start.
            assert!(before.saturating_duration_since(coarse) <= clock.grain() + SECOND / 10);
        }
        assert!(clock.grain() < SECOND);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert!(!clock.grain().is_zero(), "a tick is not nothing");
        assert!(clock.is_coarse_enough_for(20 * clock.grain()));
    }

    #[test]
    fn parking_on_a_manual_clock_ends_at_the_deadline() {
        let manual = Clock::manual();
        std::thread::scope(|scope| {
            let parked = scope.spawn(|| {
                let clock = manual.clock();
                for _ in 0..1_000 {
                    let deadline = clock.now() + SECOND;
                    clock.park_until(deadline);
                    assert!(clock.now() >= deadline);
                }
            });
            while !parked.is_finished() {
                manual.advance(SECOND / 10);
            }
        });
        // What has passed is not waited for.
        manual.clock().park_until(manual.clock().now());
    }

    #[test]
    fn sleeping_without_a_runtime_is_an_error() {
        for clock in [Clock::system(), Clock::tokio()] {
            assert_eq!(clock.sleep_until(clock.now()).err(), Some(NoRuntime));
        }
        let no_timers = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let clock = Clock::system();
        no_timers.block_on(async {
            assert_eq!(
                clock.sleep_until(clock.now() + SECOND).err(),
                Some(NoRuntime)
            );
        });
        assert!(NoRuntime.to_string().contains("enable_time"));
    }

    #[test]
    fn a_manual_clock_wakes_in_order_of_deadline() {
        let manual = Clock::manual();
        let clock = manual.clock();
        let start = clock.now();
        let mut late = Box::pin(clock.sleep_until(start + 2 * SECOND).unwrap());
        let mut soon = Box::pin(clock.sleep_until(start + SECOND).unwrap());
        assert!((&mut late).now_or_never().is_none());
        assert!((&mut soon).now_or_never().is_none());
        manual.advance(SECOND - Duration::from_nanos(1));
        assert!((&mut soon).now_or_never().is_none());
        manual.advance(Duration::from_nanos(1));
        assert!((&mut soon).now_or_never().is_some());
        assert!((&mut late).now_or_never().is_none());
        drop(late);
        assert!(
            manual.0.sleepers.lock().waiting.is_empty(),
            "a dropped sleeper leaves nothing"
        );
        manual.step_back(SECOND);
        assert_eq!(clock.now(), start);
        manual.step_back(Duration::MAX);
        assert_eq!(clock.now(), Instant::from_nanos(0));
    }

    #[test]
    fn a_manual_clock_wakes_a_parked_thread() {
        let manual = Clock::manual();
        let clock = manual.clock();
        let deadline = clock.now() + SECOND;
        std::thread::scope(|scope| {
            let parked = scope.spawn(|| {
                clock.park_until(deadline);
                clock.now()
            });
            manual.advance(SECOND);
            assert_eq!(parked.join().unwrap(), deadline);
        });
    }

    #[test]
    fn a_time_before_the_first_reading_is_still_a_time() {
        #[expect(clippy::disallowed_methods, reason = "a reading to compare with")]
        let now = std::time::Instant::now();
        let first = since_base(now);
        if let Some(earlier) = now.checked_sub(SECOND) {
            assert_eq!(first.saturating_duration_since(since_base(earlier)), SECOND);
        }
        assert_eq!(
            since_base(now + SECOND).saturating_duration_since(first),
            SECOND
        );
    }

    #[cfg(feature = "test-util")]
    #[tokio::test(start_paused = true)]
    async fn with_test_util_the_default_clock_is_tokios() {
        let clock = Clock::default();
        let start = clock.now();
        clock.sleep_until(start + 3600 * SECOND).unwrap().await;
        assert!(clock.now() >= start + 3600 * SECOND);
        let parked = {
            let clock = clock.clone();
            tokio::task::spawn_blocking(move || clock.park_until(start + 7200 * SECOND))
        };
        tokio::time::advance(3600 * SECOND).await;
        parked.await.unwrap();
    }
}
