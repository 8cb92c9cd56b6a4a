//! The future of a call under way.

use super::permit::Settle;
use crate::kernel::outcome::Classifier;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// Drives a call and tells its permit how it ended.
    ///
    /// A panic is told from a drop by whether the call was being polled, not by whether the thread
    /// unwinds: a neighbour's panic drops this future too, and is no failure of this call.
    pub(super) struct Observed<F, P, C>
    where
        P: Settle,
    {
        #[pin]
        future: F,
        permit: Option<P>,
        classifier: C,
        polling: bool,
    }

    impl<F, P: Settle, C> PinnedDrop for Observed<F, P, C> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            match this.permit.take() {
                Some(permit) if *this.polling => permit.panicked(),
                Some(permit) => permit.abandoned(),
                None => {}
            }
        }
    }
}

impl<F, P: Settle, C> Observed<F, P, C> {
    #[inline]
    pub(super) fn new(future: F, permit: P, classifier: C) -> Self {
        Self {
            future,
            permit: Some(permit),
            classifier,
            polling: false,
        }
    }
}

impl<F, P, C, T, E> Future for Observed<F, P, C>
where
    F: Future<Output = Result<T, E>>,
    P: Settle,
    C: Classifier<T, E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        *this.polling = true;
        let polled = this.future.poll(cx);
        if polled.is_pending() {
            *this.polling = false;
        }
        let result = ready!(polled);
        // Still marked as polling: a classifier that panics makes the call a failure.
        let verdict = this.classifier.classify(result.as_ref());
        *this.polling = false;
        if let Some(permit) = this.permit.take() {
            permit.settle(verdict);
        }
        Poll::Ready(result)
    }
}
