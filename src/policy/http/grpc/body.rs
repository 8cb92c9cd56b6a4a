//! A gRPC call that ends with its trailers.

use super::code::Code;
use super::judge::{head, pushback_of, status, verdict};
use crate::kernel::outcome::Verdict;
use crate::policy::circuit_breaker::OwnedPermit;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// A response's body that says to a circuit breaker how its gRPC call went.
    ///
    /// | what happens | the call |
    /// |---|---|
    /// | the head has a status | is recorded by it, at once |
    /// | the trailers have one | is recorded by it |
    /// | the body ends without a status | is a failure: gRPC calls that [`Code::Unknown`] |
    /// | the body fails | is a failure |
    /// | it is dropped before that | is a dropped call |
    ///
    /// ```
    /// use backstop::policy::http::grpc::GrpcBody;
    /// use backstop::{CircuitBreaker, CircuitBreakerConfig};
    /// use http::Response;
    /// use http_body_util::{BodyExt, Empty};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let breaker = CircuitBreaker::new("ledger", CircuitBreakerConfig::default())?;
    /// let permit = breaker.try_acquire_owned()?;
    /// // What a client's call came to; its error would be `permit.failure()`.
    /// let response = Response::builder().header("grpc-status", "14").body(Empty::<&[u8]>::new())?;
    /// let response = GrpcBody::judge(response, permit);
    /// let _ = response.into_body().collect().await?;
    /// assert_eq!(breaker.totals().failure, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub struct GrpcBody<B> {
        #[pin]
        body: B,
        // Until the call is recorded.
        permit: Option<OwnedPermit>,
        polling: bool,
    }

    impl<B> PinnedDrop for GrpcBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if *this.polling {
                // It panicked.
                settle(this.permit, Verdict::failure());
            }
        }
    }
}

impl<B: Body> GrpcBody<B> {
    /// Records the call on `permit` when its status is known.
    pub fn judge(response: Response<B>, permit: OwnedPermit) -> Response<Self> {
        let mut permit = Some(permit);
        if let Some(code) = head(&response) {
            settle(&mut permit, verdict(code, pushback_of(response.headers())));
        }
        response.map(|body| Self {
            body,
            permit,
            polling: false,
        })
    }
}

fn settle(permit: &mut Option<OwnedPermit>, verdict: Verdict) {
    if let Some(permit) = permit.take() {
        permit.record(verdict);
    }
}

/// A call that ends with this frame; none if it is not the last.
fn end<D>(frame: &Frame<D>) -> Option<Verdict> {
    let trailers = frame.trailers_ref()?;
    let code = status(trailers).unwrap_or(Code::Unknown);
    Some(verdict(code, pushback_of(trailers)))
}

impl<B: Body> Body for GrpcBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        *this.polling = true;
        let polled = this.body.poll_frame(cx);
        *this.polling = false;
        let ended = match &polled {
            Poll::Pending => None,
            Poll::Ready(Some(Ok(frame))) => end(frame),
            // Without a status, or without an end.
            Poll::Ready(Some(Err(_)) | None) => Some(Verdict::failure()),
        };
        if let Some(verdict) = ended {
            settle(this.permit, verdict);
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

impl<B> fmt::Debug for GrpcBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcBody")
            .field("recorded", &self.permit.is_none())
            .finish_non_exhaustive()
    }
}
