//! A child that waits, and gives signs of life meanwhile.

use super::context::ChildContext;
use super::incarnation::Incarnation;
use crate::kernel::clock::OutsideAlarm;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Signs of life in each period that was promised: two may be lost or late.
const PER_PERIOD: u32 = 3;

impl ChildContext {
    /// Waits for `work`, and gives [heartbeats](Self::heartbeat) while that is pending: at each poll, and by
    /// a timer of its own three times in each period of the child's
    /// [`watchdog`](super::ChildSpec::watchdog). A worker that waits for work need not wake itself.
    ///
    /// What it says is that *the child's task is polled*. The watchdog so still sees a child that blocks or
    /// spins, also inside `work`. It does not see that `work` never ends: what may hang gets a time limit
    /// of its own, or is awaited without this. In a task apart from the child's future
    /// ([`spawn`](Self::spawn)) it would speak for a child that it knows nothing of.
    ///
    /// Without a watchdog it is `work`, and has no timer. The timer is kept as the supervisor's deadlines
    /// are, so that other children which block hold up neither.
    ///
    /// # Cancel safety
    ///
    /// That of `work`.
    ///
    /// ```
    /// use backstop::supervise::child::ChildSpec;
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use tokio::sync::mpsc;
    ///
    /// let (_orders, receiver) = mpsc::channel::<String>(16);
    /// let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    /// let worker = ChildSpec::new("worker", move |cx| {
    ///     let receiver = receiver.clone();
    ///     async move {
    ///         let mut receiver = receiver.lock().await;
    ///         // An empty queue is no reason to be taken for hung.
    ///         loop {
    ///             let order = tokio::select! {
    ///                 () = cx.cancelled() => return Ok::<_, std::io::Error>(()),
    ///                 order = cx.heartbeating(receiver.recv()) => order,
    ///             };
    ///             println!("{order:?}"); // That this comes to an end, the watchdog holds it to.
    ///         }
    ///     }
    /// })
    /// .watchdog(Duration::from_secs(10));
    /// # let _ = worker;
    /// ```
    pub fn heartbeating<F: Future>(&self, work: F) -> Heartbeating<F> {
        Heartbeating {
            work,
            incarnation: self.inner().clone(),
            timer: None,
        }
    }
}

pin_project! {
    /// The future of [`ChildContext::heartbeating`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Heartbeating<F> {
        #[pin]
        work: F,
        incarnation: Arc<Incarnation>,
        // Made when it is first waited for.
        timer: Option<OutsideAlarm>,
    }
}

impl<F: Future> Future for Heartbeating<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.work.poll(cx);
        let Some(period) = this.incarnation.watchdog() else {
            return polled;
        };
        // After it, and not before: a poll that blocks says nothing of what comes then.
        this.incarnation.beat();
        if polled.is_pending() {
            keep_beating(this.incarnation, period, this.timer, cx);
        }
        polled
    }
}

/// Sees to it that the task is woken for the next sign of life.
fn keep_beating(
    incarnation: &Incarnation,
    period: Duration,
    timer: &mut Option<OutsideAlarm>,
    cx: &mut Context<'_>,
) {
    let clock = &incarnation.link.clock;
    if timer.is_none() {
        // Where its supervisor has one, there is one for the child.
        *timer = clock.outside_alarm().ok();
    }
    let Some(timer) = timer else { return };
    loop {
        timer.set(Some(clock.now() + period / PER_PERIOD));
        match timer.poll_ring(cx) {
            Poll::Pending => return,
            // The clock went on so far since it was read.
            Poll::Ready(()) => incarnation.beat(),
        }
    }
}

impl<F> fmt::Debug for Heartbeating<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeating")
            .field("child", &self.incarnation)
            .finish_non_exhaustive()
    }
}
