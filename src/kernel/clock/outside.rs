//! Alarms that a blocked runtime does not hold up.
//!
//! A worker that is blocked while it looks after tokio's timers holds them all up: a timer of 200 ms
//! was measured to fire after 1.5 s. So what must end something that blocks is woken by a thread of
//! the library's own, one for all, which is started with the first alarm.
//!
//! That is half of it. A task that was woken by code on a worker, which then blocks, waits in that
//! worker's slot for the next task, which no other worker takes from; waking it again changes
//! nothing, from wherever. [`wake_apart`] is for wakers that are called by code that may block next.

use super::{Clock, Kind, NoRuntime, Sleep};
use crate::kernel::instant::Instant;
use crate::kernel::sync::{Condvar, Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};

/// An alarm that can be set again and again. Dropping it takes it back.
///
/// Under the system's clock it is kept by the library's timer thread; under the others, and if that
/// thread cannot be started, it is a [`Sleep`].
pub(crate) struct OutsideAlarm {
    clock: Clock,
    timer: Option<&'static Timer>,
    wanted: Option<Instant>,
    armed: Armed,
}

enum Armed {
    Not,
    Outside {
        at: Instant,
        id: u64,
        /// To tell whether the next one to wake is the same.
        waker: Waker,
    },
    Inside {
        at: Instant,
        sleep: Pin<Box<Sleep>>,
    },
}

impl Clock {
    /// An alarm that rings although workers of the runtime are blocked; not set yet.
    ///
    /// # Errors
    ///
    /// [`NoRuntime`] as [`sleep_until`](Self::sleep_until); never under the system's clock.
    pub(crate) fn outside_alarm(&self) -> Result<OutsideAlarm, NoRuntime> {
        let timer = matches!(self.0, Kind::System).then(|| &*TIMER);
        if timer.is_none() {
            drop(self.sleep_until(self.now())?);
        }
        Ok(OutsideAlarm::new(self.clone(), timer))
    }
}

impl OutsideAlarm {
    const fn new(clock: Clock, timer: Option<&'static Timer>) -> Self {
        Self {
            clock,
            timer,
            wanted: None,
            armed: Armed::Not,
        }
    }

    /// From now on it rings at `at`, or not at all. It is armed by the next
    /// [`poll_ring`](Self::poll_ring).
    pub(crate) const fn set(&mut self, at: Option<Instant>) {
        self.wanted = at;
    }

    /// Ready while the clock shows the set time or later; else the task is woken then, or earlier.
    ///
    /// To set a later time, or none, costs nothing here: an alarm that is armed for an earlier one is
    /// left as it is, and armed again when that one has rung.
    pub(crate) fn poll_ring(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wanted) = self.wanted else {
            // To set an alarm outside and take it back, each time that something is told to stop
            // and does, costs more than to be woken by it once for nothing.
            if !matches!(self.armed, Armed::Outside { .. }) {
                self.disarm();
            }
            return Poll::Pending;
        };
        let now = self.clock.now();
        if now >= wanted {
            self.disarm();
            return Poll::Ready(());
        }
        let stays = match &self.armed {
            Armed::Not => false,
            Armed::Outside { at, waker, .. } => {
                now < *at && *at <= wanted && waker.will_wake(cx.waker())
            }
            Armed::Inside { at, .. } => now < *at && *at <= wanted,
        };
        if !stays {
            self.arm(wanted, cx);
        }
        if let Armed::Inside { sleep, .. } = &mut self.armed {
            if sleep.as_mut().poll(cx).is_ready() {
                // The clock moved on since it was read.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// Waits until it rings.
    #[cfg(test)]
    pub(crate) async fn ring(&mut self) {
        std::future::poll_fn(|cx| self.poll_ring(cx)).await;
    }

    fn arm(&mut self, at: Instant, cx: &Context<'_>) {
        self.disarm();
        let outside = self.timer.and_then(|timer| {
            let waker = cx.waker().clone();
            let id = timer.insert(at, waker.clone())?;
            Some(Armed::Outside { at, id, waker })
        });
        self.armed = match outside {
            Some(armed) => armed,
            None => match self.clock.sleep_until(at) {
                Ok(sleep) => Armed::Inside {
                    at,
                    sleep: Box::pin(sleep),
                },
                // There was a runtime when the alarm was made, or the timer's thread failed and there
                // is none: nothing is left to keep time with.
                Err(error) => {
                    tracing::error!(target: TARGET, %error, "an alarm cannot be kept");
                    Armed::Not
                }
            },
        };
    }

    fn disarm(&mut self) {
        let armed = std::mem::replace(&mut self.armed, Armed::Not);
        if let (Armed::Outside { at, id, .. }, Some(timer)) = (&armed, self.timer) {
            timer.remove(*at, *id);
        }
    }
}

impl Drop for OutsideAlarm {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for OutsideAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideAlarm")
            .field("clock", &self.clock)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

const TARGET: &str = "backstop::kernel";

static TIMER: LazyLock<Timer> = LazyLock::new(|| Timer::new(start_thread));

/// What the alarms and their thread share.
struct Timer {
    alarms: Mutex<Alarms>,
    /// There is an alarm before all that were there.
    changed: Condvar,
    start: fn(&'static Timer) -> io::Result<()>,
}

struct Alarms {
    is_running: bool,
    next_id: u64,
    /// By time, then by arrival: the order in which they ring.
    waiting: BTreeMap<(Instant, u64), Waker>,
}

impl Timer {
    fn new(start: fn(&'static Self) -> io::Result<()>) -> Self {
        Self {
            alarms: Mutex::new(Alarms {
                is_running: false,
                next_id: 0,
                waiting: BTreeMap::new(),
            }),
            changed: Condvar::new(),
            start,
        }
    }

    /// None if there is no thread and none can be started.
    fn insert(&'static self, at: Instant, waker: Waker) -> Option<u64> {
        let mut alarms = self.alarms.lock();
        if !alarms.is_running {
            // Under the lock, so that nobody counts on a thread that did not start.
            if let Err(error) = (self.start)(self) {
                drop(alarms);
                tracing::warn!(
                    target: TARGET,
                    %error,
                    "the timer thread could not be started: tokio's timers stand in for it"
                );
                return None;
            }
            alarms.is_running = true;
        }
        let id = alarms.next_id;
        alarms.next_id += 1;
        let is_first = alarms
            .waiting
            .first_key_value()
            .is_none_or(|(first, _)| (at, id) < *first);
        alarms.waiting.insert((at, id), waker);
        drop(alarms);
        if is_first {
            self.changed.notify_one();
        }
        Some(id)
    }

    fn remove(&self, at: Instant, id: u64) {
        let removed = self.alarms.lock().waiting.remove(&(at, id));
        // Its drop is the executor's code.
        drop(removed);
    }

    fn run(&self) {
        let clock = Clock::system();
        let mut alarms = self.alarms.lock();
        loop {
            alarms = self.turn(&clock, alarms);
        }
    }

    /// Rings what is due; or, if nothing is, waits for the first, or for one before it.
    fn turn<'a>(
        &'a self,
        clock: &Clock,
        mut alarms: MutexGuard<'a, Alarms>,
    ) -> MutexGuard<'a, Alarms> {
        let now = clock.now();
        let due = alarms.take_due(now);
        if !due.is_empty() {
            drop(alarms);
            due.into_iter().for_each(ring);
            return self.alarms.lock();
        }
        match alarms.left(now) {
            Some(left) => self.changed.wait_for(alarms, left),
            None => self.changed.wait(alarms),
        }
    }
}

impl Alarms {
    fn take_due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.push(first.remove());
        }
        due
    }

    /// How long until the first rings.
    fn left(&self, now: Instant) -> Option<Duration> {
        let ((first, _), _) = self.waiting.first_key_value()?;
        Some(first.saturating_duration_since(now))
    }
}

fn start_thread(timer: &'static Timer) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("backstop-timer".into());
    thread.spawn(|| timer.run()).map(drop)
}

/// A waker that panics takes nobody else's alarm with it.
fn ring(waker: Waker) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        // So may the drop of what it panicked with.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    }
}

/// Wakes a task of `runtime` so that it runs even if this thread now blocks; not for hot paths.
///
/// A task woken on a worker goes into that worker's slot for the next task, from which no other
/// worker takes (measured with tokio 1.54: a supervisor woken by a child that then blocked for 1 s ran
/// 1 s late on 2, 4 and 8 workers, also if it was woken again and an empty task spawned from outside).
/// One more task, an empty one, moves it into the queue that others do take from, and wakes one of
/// them (0.13 ms late).
pub(crate) fn wake_apart(waker: Waker, runtime: &Handle) {
    waker.wake();
    if runtime.runtime_flavor() == RuntimeFlavor::MultiThread && Handle::try_current().is_ok() {
        drop(runtime.spawn(std::future::ready(())));
    }
}

/// The timer's thread, and those who set alarms and take them back. Under loom no time passes, so an
/// alarm is due when it is set, or never; a wait for one that is never due ends by a word alone.
#[cfg(all(test, backstop_loom))]
mod loom_tests {
    use super::*;
    use crate::kernel::sync::{AtomicBool, Ordering, explore};
    use loom::thread;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Rung(AtomicBool);

    impl Wake for Rung {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    fn timer() -> &'static Timer {
        // The model is its thread.
        Box::leak(Box::new(Timer::new(|_| Ok(()))))
    }

    /// Turns until all of these have rung: one that is forgotten leaves it waiting, a deadlock.
    fn turns_until(timer: &'static Timer, clock: &Clock, all: &[Arc<Rung>]) {
        let mut alarms = timer.alarms.lock();
        while !all.iter().all(|rung| rung.0.load(Ordering::Acquire)) {
            alarms = timer.turn(clock, alarms);
        }
    }

    #[test]
    fn loom_an_alarm_rings_whenever_it_comes() {
        explore(None, || {
            let (timer, clock) = (timer(), Clock::manual().clock());
            let rung: Vec<Arc<Rung>> = vec![Arc::default(), Arc::default()];
            let sets: Vec<_> = rung
                .iter()
                .map(|rung| {
                    let (at, waker) = (clock.now(), Waker::from(rung.clone()));
                    thread::spawn(move || timer.insert(at, waker).expect("a thread"))
                })
                .collect();
            turns_until(timer, &clock, &rung);
            let ids: Vec<_> = sets.into_iter().map(|set| set.join().unwrap()).collect();
            assert_ne!(ids[0], ids[1]);
            assert!(timer.alarms.lock().waiting.is_empty());
        });
    }

    #[test]
    fn loom_an_earlier_alarm_is_not_kept_waiting_by_a_later_one() {
        explore(None, || {
            let (timer, clock) = (timer(), Clock::manual().clock());
            let (now, later): (Arc<Rung>, Arc<Rung>) = Default::default();
            let at = clock.now() + Duration::from_secs(1);
            let id = timer
                .insert(at, Waker::from(later.clone()))
                .expect("a thread");
            let sets = {
                let (at, waker) = (clock.now(), Waker::from(now.clone()));
                thread::spawn(move || drop(timer.insert(at, waker)))
            };
            turns_until(timer, &clock, &[now]);
            sets.join().unwrap();
            assert!(!later.0.load(Ordering::Acquire), "it rings too early");
            timer.remove(at, id);
            assert!(timer.alarms.lock().waiting.is_empty());
        });
    }

    /// Taken back while it rings: either way nothing is left, and the thread goes on.
    #[test]
    fn loom_one_that_is_taken_back_leaves_nothing_and_takes_no_other() {
        explore(Some(3), || {
            let (timer, clock) = (timer(), Clock::manual().clock());
            let (taken, stays): (Arc<Rung>, Arc<Rung>) = Default::default();
            let at = clock.now();
            let takes = thread::spawn({
                let waker = Waker::from(taken);
                move || {
                    let id = timer.insert(at, waker).expect("a thread");
                    timer.remove(at, id);
                }
            });
            let sets = thread::spawn({
                let waker = Waker::from(stays.clone());
                move || drop(timer.insert(at, waker))
            });
            turns_until(timer, &clock, &[stays]);
            takes.join().unwrap();
            sets.join().unwrap();
            assert!(timer.alarms.lock().waiting.is_empty());
        });
    }
}

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::executor::block_on;
    use futures::task::{ArcWake, noop_waker, waker};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn system_alarm() -> OutsideAlarm {
        Clock::system().outside_alarm().unwrap()
    }

    fn is_waiting(at: Instant, id: u64) -> bool {
        TIMER.alarms.lock().waiting.contains_key(&(at, id))
    }

    fn armed(alarm: &OutsideAlarm) -> (Instant, u64) {
        match &alarm.armed {
            Armed::Outside { at, id, .. } => (*at, *id),
            Armed::Inside { .. } | Armed::Not => panic!("it is not armed outside"),
        }
    }

    fn poll(alarm: &mut OutsideAlarm) -> Poll<()> {
        alarm.poll_ring(&mut Context::from_waker(&noop_waker()))
    }

    #[test]
    fn it_rings_without_a_runtime_and_never_early() {
        let clock = Clock::system();
        let mut alarm = system_alarm();
        for wait in [3 * MS, Duration::ZERO, MS] {
            let at = clock.now() + wait;
            alarm.set(Some(at));
            block_on(alarm.ring());
            assert!(clock.now() >= at);
            // Until it is set anew it goes on ringing.
            assert!(alarm.ring().now_or_never().is_some());
        }
        alarm.set(None);
        assert!(alarm.ring().now_or_never().is_none());
    }

    #[test]
    fn a_later_time_leaves_it_armed_and_an_earlier_one_does_not() {
        let start = Clock::system().now();
        let mut alarm = system_alarm();
        alarm.set(Some(start + 1_000 * SECOND));
        assert!(poll(&mut alarm).is_pending());
        let first = armed(&alarm);
        assert!(is_waiting(first.0, first.1));
        alarm.set(Some(start + 2_000 * SECOND));
        assert!(poll(&mut alarm).is_pending());
        assert_eq!(armed(&alarm), first, "an earlier ring does no harm");
        alarm.set(Some(start + 500 * SECOND));
        assert!(poll(&mut alarm).is_pending());
        let second = armed(&alarm);
        assert_eq!(second.0, start + 500 * SECOND);
        assert!(!is_waiting(first.0, first.1) && is_waiting(second.0, second.1));
        // Nothing is wanted any more: it is left to ring once for nothing, unless it is set anew.
        alarm.set(None);
        assert!(poll(&mut alarm).is_pending());
        assert_eq!(armed(&alarm), second);
        alarm.set(Some(start + 700 * SECOND));
        assert!(poll(&mut alarm).is_pending());
        assert_eq!(armed(&alarm), second);
        drop(alarm);
        assert!(!is_waiting(second.0, second.1), "nothing is left of it");
    }

    #[test]
    fn an_early_ring_arms_it_for_the_rest() {
        let clock = Clock::system();
        let mut alarm = system_alarm();
        let (early, late) = (clock.now() + 2 * MS, clock.now() + 6 * MS);
        alarm.set(Some(early));
        assert!(alarm.ring().now_or_never().is_none());
        alarm.set(Some(late));
        block_on(alarm.ring());
        assert!(clock.now() >= late);
    }

    #[test]
    fn one_that_rang_for_nothing_can_be_set_again() {
        let clock = Clock::system();
        let mut alarm = system_alarm();
        alarm.set(Some(clock.now() + MS));
        assert!(poll(&mut alarm).is_pending());
        let first = armed(&alarm);
        alarm.set(None);
        while is_waiting(first.0, first.1) {
            std::thread::yield_now();
        }
        assert!(poll(&mut alarm).is_pending());
        let at = clock.now() + 2 * MS;
        alarm.set(Some(at));
        block_on(alarm.ring());
        assert!(clock.now() >= at);
    }

    #[test]
    fn those_that_are_due_ring_in_order_and_others_stay() {
        let mut timer = Timer::new(|_| Ok(()));
        let alarms = timer.alarms.get_mut();
        let at = Instant::from_nanos;
        assert_eq!(alarms.left(at(0)), None);
        for (id, time) in [(0, 30), (1, 10), (2, 20), (3, 10)] {
            alarms.waiting.insert((at(time), id), noop_waker());
        }
        assert_eq!(alarms.left(at(4)), Some(Duration::from_nanos(6)));
        assert!(alarms.take_due(at(9)).is_empty());
        assert_eq!(alarms.take_due(at(20)).len(), 3);
        assert_eq!(alarms.left(at(50)), Some(Duration::ZERO));
    }

    /// A waker that arms another alarm wherever it is run, and may panic.
    struct Reentrant {
        rung: AtomicUsize,
        panics: bool,
    }

    impl Reentrant {
        fn arms_another() {
            let mut other = system_alarm();
            other.set(Some(Clock::system().now() + SECOND));
            assert!(poll(&mut other).is_pending());
        }
    }

    impl ArcWake for Reentrant {
        fn wake_by_ref(this: &Arc<Self>) {
            Self::arms_another();
            this.rung.fetch_add(1, Ordering::Release);
            assert!(!this.panics, "a waker that panics");
        }
    }

    impl Drop for Reentrant {
        fn drop(&mut self) {
            Self::arms_another();
        }
    }

    #[test]
    fn wakers_run_outside_the_lock_and_one_that_panics_ends_no_other() {
        for panics in [false, true, true] {
            let reentrant = Arc::new(Reentrant {
                rung: AtomicUsize::new(0),
                panics,
            });
            let mut alarm = system_alarm();
            alarm.set(Some(Clock::system().now() + MS));
            let waker = waker(reentrant.clone());
            assert!(
                alarm
                    .poll_ring(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            // The thread lives on, whatever the waker did.
            let mut next = system_alarm();
            next.set(Some(Clock::system().now() + 3 * MS));
            block_on(next.ring());
            while reentrant.rung.load(Ordering::Acquire) == 0 {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_manual_clock_rings_it_without_a_thread() {
        let manual = Clock::manual();
        let mut alarm = manual.clock().outside_alarm().unwrap();
        assert!(alarm.timer.is_none());
        alarm.set(Some(manual.clock().now() + SECOND));
        assert!(alarm.ring().now_or_never().is_none());
        assert!(matches!(alarm.armed, Armed::Inside { .. }));
        alarm.set(Some(manual.clock().now() + 2 * SECOND));
        manual.advance(SECOND);
        assert!(alarm.ring().now_or_never().is_none());
        manual.advance(SECOND);
        assert!(alarm.ring().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_runtime_rings_it_without_a_thread() {
        let clock = Clock::tokio();
        let mut alarm = clock.outside_alarm().unwrap();
        assert!(alarm.timer.is_none());
        let at = clock.now() + 3_600 * SECOND;
        alarm.set(Some(at));
        alarm.ring().await;
        assert!(clock.now() >= at);
    }

    #[test]
    fn without_a_runtime_a_clock_that_needs_one_gives_none() {
        assert_eq!(Clock::tokio().outside_alarm().err(), Some(NoRuntime));
    }

    #[tokio::test]
    async fn without_a_thread_tokios_timers_stand_in() {
        static NO_THREADS: LazyLock<Timer> =
            LazyLock::new(|| Timer::new(|_| Err(io::ErrorKind::WouldBlock.into())));
        let clock = Clock::system();
        let mut alarm = OutsideAlarm::new(clock.clone(), Some(&NO_THREADS));
        let at = clock.now() + 2 * MS;
        alarm.set(Some(at));
        assert!(alarm.ring().now_or_never().is_none());
        assert!(matches!(alarm.armed, Armed::Inside { .. }));
        alarm.ring().await;
        assert!(clock.now() >= at);
    }

    /// In real time: what is tested is that a blocked thread holds nothing up.
    #[test]
    fn a_task_that_is_woken_apart_runs_although_its_waker_blocks() {
        for workers in [2, 4] {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(workers)
                .build()
                .unwrap();
            let place = Arc::new(Mutex::new(None::<Waker>));
            let (ran, has_run) = std::sync::mpsc::channel();
            let (armed, is_armed) = std::sync::mpsc::channel();
            let mut polls = 0;
            let its_place = place.clone();
            drop(runtime.spawn(std::future::poll_fn(move |cx| {
                polls += 1;
                *its_place.lock() = Some(cx.waker().clone());
                let _ = armed.send(());
                if polls > 1 {
                    let _ = ran.send(());
                    return Poll::Ready(());
                }
                Poll::Pending
            })));
            is_armed.recv().unwrap();
            let handle = runtime.handle().clone();
            let (blocked, outcome) = std::sync::mpsc::channel();
            drop(runtime.spawn(async move {
                let waker = place.lock().take().unwrap();
                wake_apart(waker, &handle);
                // Blocks its worker until the other has run.
                let _ = blocked.send(has_run.recv_timeout(20 * SECOND).is_ok());
            }));
            assert!(outcome.recv().unwrap(), "{workers} workers");
        }
    }
}
