//! What bounds the requests that are not complete: a client may open many streams, and each could
//! hold a message of `listen.maxMessageBytes` but for its last byte.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_util::sync::PollSemaphore;
use tonic::Status;

/// A request up to this size needs no permit. KEDA's have some 1,000 bytes, with certificates some
/// 5,000; one frame of HTTP/2 carries them.
const SMALL: usize = 16 * 1024;
/// How many larger requests may be received at once, of all connections.
const LARGE_AT_ONCE: usize = 32;
/// A request that is not complete after this is an error. KEDA sends a request at once.
const RECEIVED_WITHIN: Duration = Duration::from_secs(10);

/// Bounds the requests that are being received.
#[derive(Clone)]
pub struct RequestLimits(Arc<Semaphore>);

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits(Arc::new(Semaphore::new(LARGE_AT_ONCE)))
    }
}

impl RequestLimits {
    /// The same request within the limits.
    pub fn apply(
        &self,
        request: http::Request<tonic::body::Body>,
    ) -> http::Request<tonic::body::Body> {
        request.map(|body| tonic::body::Body::new(self.body(body)))
    }

    fn body<B>(&self, body: B) -> BoundedBody<B> {
        BoundedBody {
            body,
            received: 0,
            permits: PollSemaphore::new(self.0.clone()),
            permit: None,
            late: None,
        }
    }
}

/// The body of a request within the limits.
struct BoundedBody<B> {
    body: B,
    received: usize,
    permits: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
    /// Set when the body is waited for, which most are not.
    late: Option<Pin<Box<Sleep>>>,
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> BoundedBody<B> {
    /// Without a permit the body is not read: HTTP/2's flow control then stops the client.
    fn poll_within_size(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.received > SMALL && self.permit.is_none() {
            self.permit = ready!(self.permits.poll_acquire(cx));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.received += frame.data_ref().map_or(0, Buf::remaining);
        }
        Poll::Ready(frame)
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for BoundedBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = self.poll_within_size(cx) {
            return Poll::Ready(frame);
        }
        let late = self
            .late
            .get_or_insert_with(|| Box::pin(sleep(RECEIVED_WITHIN)));
        ready!(late.as_mut().poll(cx));
        Poll::Ready(Some(Err(Status::deadline_exceeded(format!(
            "the request was not complete within {RECEIVED_WITHIN:?}"
        )))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, future::poll_fn};

    use super::*;

    /// Frames of these sizes, after which the client sends nothing more and does not end.
    struct Unfinished(VecDeque<usize>);

    impl Body for Unfinished {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            match self.0.pop_front() {
                Some(size) => Poll::Ready(Some(Ok(Frame::data(vec![0; size].into())))),
                None => Poll::Pending,
            }
        }
    }

    async fn next(body: &mut BoundedBody<Unfinished>) -> Result<usize, Status> {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        let frame = frame.expect("no end")?;
        Ok(frame.data_ref().expect("data").len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_complete_is_an_error() {
        let mut body = RequestLimits::default().body(Unfinished([5, 7].into()));
        assert_eq!(next(&mut body).await.expect("data"), 5);
        assert_eq!(next(&mut body).await.expect("data"), 7);
        let error = next(&mut body).await.expect_err("is late");
        assert_eq!(error.code(), tonic::Code::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn large_requests_wait_for_each_other_and_small_ones_do_not() {
        let limits = RequestLimits::default();
        let mut held = Vec::new();
        for _ in 0..LARGE_AT_ONCE {
            let mut body = limits.body(Unfinished([SMALL + 1, 1].into()));
            next(&mut body).await.expect("data");
            next(&mut body).await.expect("a permit");
            held.push(body);
        }
        let mut small = limits.body(Unfinished([SMALL - 1, 1].into()));
        next(&mut small).await.expect("data");
        next(&mut small).await.expect("needs no permit");
        let mut large = limits.body(Unfinished([SMALL + 1, 1].into()));
        next(&mut large)
            .await
            .expect("what came with the first frame");
        held.pop();
        next(&mut large).await.expect("the permit of the other");
        let mut late = limits.body(Unfinished([SMALL + 1, 1].into()));
        next(&mut late)
            .await
            .expect("what came with the first frame");
        next(&mut late).await.expect_err("no permit in time");
    }
}
