//! A call that ends with its response's body.

use crate::kernel::outcome::{Outcome, Verdict};
use crate::policy::circuit_breaker::OwnedPermit;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// A body that holds something until it has ended, failed or was dropped: a permit of a bulkhead,
    /// so that its slot is taken for as long as the response is under way.
    ///
    /// ```
    /// use backstop::policy::http::HoldingBody;
    /// use backstop::{Bulkhead, BulkheadConfig};
    /// use http::Response;
    /// use http_body_util::{BodyExt, Full};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bulkhead = Bulkhead::new("reports", BulkheadConfig::default())?;
    /// let permit = bulkhead.try_acquire_owned()?;
    /// let response = Response::new(Full::<&[u8]>::from(&b"a long report"[..]));
    /// let response = response.map(|body| HoldingBody::new(body, permit));
    /// assert_eq!(bulkhead.in_flight(), 1);
    /// let report = response.into_body().collect().await?.to_bytes();
    /// assert_eq!((&*report, bulkhead.in_flight()), (&b"a long report"[..], 0));
    /// # Ok(())
    /// # }
    /// ```
    pub struct HoldingBody<B, P> {
        #[pin]
        body: B,
        held: Option<P>,
    }
}

impl<B: Body, P> HoldingBody<B, P> {
    /// Holds `held` until `body` has ended: not at all, if it has ended already.
    pub fn new(body: B, held: P) -> Self {
        let held = (!body.is_end_stream()).then_some(held);
        Self { body, held }
    }
}

impl<B: Body, P> Body for HoldingBody<B, P> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let polled = this.body.as_mut().poll_frame(cx);
        let has_ended = match &polled {
            Poll::Pending => false,
            // A reader that asks whether the body has ended does not poll it once more.
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream(),
            Poll::Ready(Some(Err(_)) | None) => true,
        };
        if has_ended {
            *this.held = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B, P> fmt::Debug for HoldingBody<B, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldingBody")
            .field("holds", &self.held.is_some())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A body that says to a circuit breaker how its call went, when it has ended.
    ///
    /// | what happens | the call |
    /// |---|---|
    /// | the head was no success | is recorded as the head says, at once |
    /// | the body ends | is recorded as the head says |
    /// | the body fails | is a failure |
    /// | it is dropped before that | is a dropped call: neutral, unless [`DroppedCalls`](crate::policy::circuit_breaker::DroppedCalls) says otherwise |
    ///
    /// The duration of the call is that until then. A client that wants no more than the head drops
    /// the body of a success unread: let such calls end with their head, with
    /// [`HttpClassifier`](super::HttpClassifier) alone, or the breaker hears of failures only.
    ///
    /// ```
    /// use backstop::kernel::outcome::Classifier;
    /// use backstop::policy::http::{HttpClassifier, JudgedBody};
    /// use backstop::{CircuitBreaker, CircuitBreakerConfig};
    /// use http::Response;
    /// use http_body_util::{BodyExt, Full};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let breaker = CircuitBreaker::new("reports", CircuitBreakerConfig::default())?;
    /// let permit = breaker.try_acquire_owned()?;
    /// // A client's error before the head: `permit.failure()`.
    /// let response = Response::new(Full::<&[u8]>::from(&b"a long report"[..]));
    /// let verdict = HttpClassifier::any_error().classify(Ok::<_, &()>(&response));
    /// let response = response.map(|body| JudgedBody::new(body, permit, verdict));
    /// assert_eq!(breaker.totals().success, 0);
    /// let _ = response.into_body().collect().await?;
    /// assert_eq!(breaker.totals().success, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub struct JudgedBody<B>
    where
        B: Body,
    {
        #[pin]
        body: B,
        // Until the call is recorded.
        permit: Option<OwnedPermit>,
        polling: bool,
    }

    impl<B> PinnedDrop for JudgedBody<B>
    where
        B: Body,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.permit.is_none() {
                return;
            }
            if *this.polling {
                // It panicked.
                settle(this.permit, Verdict::failure());
            } else if this.body.is_end_stream() {
                // Not every reader polls a body that says it has ended.
                settle(this.permit, Verdict::success());
            }
        }
    }
}

impl<B: Body> JudgedBody<B> {
    /// Records the call on `permit` when `body` has ended; `head` is the verdict on its head.
    pub fn new(body: B, permit: OwnedPermit, head: Verdict) -> Self {
        let mut permit = Some(permit);
        if head.outcome() != Outcome::Success || body.is_end_stream() {
            settle(&mut permit, head);
        }
        Self {
            body,
            permit,
            polling: false,
        }
    }
}

fn settle(permit: &mut Option<OwnedPermit>, verdict: Verdict) {
    if let Some(permit) = permit.take() {
        permit.record(verdict);
    }
}

impl<B: Body> Body for JudgedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        *this.polling = true;
        let polled = this.body.as_mut().poll_frame(cx);
        *this.polling = false;
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(_))) if !this.body.is_end_stream() => {}
            Poll::Ready(Some(Ok(_)) | None) => settle(this.permit, Verdict::success()),
            Poll::Ready(Some(Err(_))) => settle(this.permit, Verdict::failure()),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> fmt::Debug for JudgedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JudgedBody")
            .field("recorded", &self.permit.is_none())
            .finish_non_exhaustive()
    }
}
