//! Connections as they come in: counted, with TLS done in time, and ended when they are silent or
//! too old.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::{listeners::GrpcListener, stream::Stream, tls::TlsAcceptor};
use crate::telemetry::LogLimit;

/// What bounds the connections of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// How many may be open at once.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// A connection that sends nothing for this long is closed. A live HTTP/2 client replies to the
    /// server's pings more often.
    pub silence: Duration,
    /// A connection is closed after this, whatever is in flight.
    pub age: Duration,
}

/// Connections that wait for the gRPC server to take them.
const ACCEPTED: usize = 64;
/// After an error of `accept`: mostly too many open files, which takes a while to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connections of a listener, ready for HTTP/2. Ends with its receiver.
pub fn incoming(
    listener: GrpcListener,
    tls: Option<TlsAcceptor>,
    limits: ConnectionLimits,
) -> ReceiverStream<io::Result<Accepted>> {
    let (accepted, incoming) = mpsc::channel(ACCEPTED);
    tokio::spawn(accept(listener, tls, limits, accepted));
    ReceiverStream::new(incoming)
}

async fn accept(
    listener: GrpcListener,
    tls: Option<TlsAcceptor>,
    limits: ConnectionLimits,
    accepted: mpsc::Sender<io::Result<Accepted>>,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let refusals = LogLimit::default();
    // Dropped with this task: no handshake outlives the listener.
    let mut handshakes = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = listener.accept() => stream,
            Some(_) = handshakes.join_next() => continue,
            () = accepted.closed() => return,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                refusals.warn(|suppressed| warn!(suppressed, "cannot accept: {error}"));
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            let limit = limits.connections;
            refusals.warn(|suppressed| {
                warn!(
                    limit,
                    suppressed, "connection refused: listen.maxConnections are open already"
                );
            });
            continue;
        };
        let (tls, accepted) = (tls.clone(), accepted.clone());
        handshakes.spawn(async move {
            match timeout(limits.handshake, handshake(stream, tls)).await {
                Ok(Ok(stream)) => {
                    // An error means that the server has stopped.
                    let _ = accepted
                        .send(Ok(Accepted::new(stream, limits, permit)))
                        .await;
                }
                Ok(Err(error)) => debug!("TLS handshake failed: {error}"),
                Err(_) => debug!("TLS handshake took longer than {:?}", limits.handshake),
            }
        });
    }
}

async fn handshake(stream: Stream, tls: Option<TlsAcceptor>) -> io::Result<Stream> {
    match tls {
        None => Ok(stream),
        Some(tls) => tls.accept(stream).await,
    }
}

/// An accepted connection, with its limits.
pub struct Accepted {
    stream: Stream,
    silence: Duration,
    last_read: Instant,
    /// Fires when the connection may have been silent for too long.
    check: Pin<Box<Sleep>>,
    too_old: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Accepted {
    fn new(stream: Stream, limits: ConnectionLimits, permit: OwnedSemaphorePermit) -> Self {
        let now = Instant::now();
        Accepted {
            stream,
            silence: limits.silence,
            last_read: now,
            check: Box::pin(sleep_until(now + limits.silence)),
            too_old: Box::pin(sleep(limits.age)),
            _permit: permit,
        }
    }

    /// Ready when the connection must end.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.too_old.as_mut().poll(cx).is_ready() {
            let what = "the connection has reached its age and grace";
            return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        loop {
            ready!(self.check.as_mut().poll(cx));
            // Reads do not reset the timer, which would cost each of them: it looks when it fires.
            let due = self.last_read + self.silence;
            if due <= Instant::now() {
                let what = "the client has sent nothing for too long";
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            self.check.as_mut().reset(due);
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.last_read = Instant::now();
            return read;
        }
        let error = ready!(self.poll_end(cx));
        Poll::Ready(Err(error))
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn accepted(age: u64) -> (Accepted, DuplexStream) {
        let (ours, theirs) = duplex(1024);
        let limits = ConnectionLimits {
            connections: 1,
            handshake: Duration::from_secs(1),
            silence: Duration::from_secs(80),
            age: Duration::from_secs(age),
        };
        let permits = Arc::new(Semaphore::new(1));
        let permit = permits.try_acquire_owned().expect("is free");
        (Accepted::new(Box::new(ours), limits, permit), theirs)
    }

    /// After how many seconds reading ends with an error, while the client sends every minute.
    async fn ends_after(mut connection: Accepted, mut client: DuplexStream, sends: u32) -> u64 {
        let started = Instant::now();
        let sending = async {
            for _ in 0..sends {
                sleep(Duration::from_secs(60)).await;
                client.write_all(b"x").await.expect("is read");
            }
            std::future::pending::<()>().await
        };
        let reading = async { while connection.read_u8().await.is_ok() {} };
        tokio::select! {
            () = sending => unreachable!("never ends"),
            () = reading => started.elapsed().as_secs(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_ends_and_one_that_sends_does_not() {
        let (connection, client) = accepted(100_000);
        assert_eq!(ends_after(connection, client, 0).await, 80);
        let (connection, client) = accepted(100_000);
        assert_eq!(ends_after(connection, client, 10).await, 600 + 80);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_at_its_age_whatever_it_sends() {
        let (connection, client) = accepted(200);
        assert_eq!(ends_after(connection, client, 100).await, 200);
    }
}
