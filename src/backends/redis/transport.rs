//! The stream to a server: TCP or TLS, and a limit on what the server may send.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use crate::{metadata::values::HostPort, network::Network};

/// What a server may send beyond the bytes of the requests. The client library keeps a response of
/// any size, and a short element of an array takes some 14 times its bytes; ours are some 256 KiB at
/// most, but for keys and entries that are huge themselves.
const LARGEST_RESPONSE: usize = 4 << 20;
/// What a server may send for each member or entry that was requested, which are as large as their
/// producers made them.
const LARGEST_PAYLOAD: usize = 256 << 10;
/// The most that requests add up to: the replies to many are shorter than they are.
const MOST_ALLOWED: usize = 256 << 20;

/// An open stream.
pub type ServerStream = Bounded<Box<dyn AsyncStream>>;

/// Bytes in both directions.
pub trait AsyncStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for S {}

/// TLS to a server: the configuration, and the name that its certificate carries.
pub type TlsTo = (Arc<ClientConfig>, ServerName<'static>);

/// Connects to a server, where the network allows it.
pub async fn connect(
    address: &HostPort,
    tls: Option<TlsTo>,
    network: &Network,
) -> io::Result<ServerStream> {
    let stream = network.connect(address).await?;
    Ok(Bounded::new(match tls {
        None => Box::new(stream),
        Some((config, name)) => Box::new(TlsConnector::from(config).connect(name, stream).await?),
    }))
}

/// A stream that ends with an error when the server sends far more than was requested.
pub struct Bounded<S> {
    stream: S,
    allowance: Allowance,
}

/// How many bytes the server may still send.
#[derive(Clone)]
pub struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// What the server sent is processed, though nothing was requested: it may send as much again.
    pub fn renew(&self) {
        self.0.fetch_max(LARGEST_RESPONSE, Relaxed);
    }

    /// Members or entries are about to be requested.
    pub fn expect(&self, payloads: usize) {
        let more = payloads * LARGEST_PAYLOAD;
        self.change(|allowed| Some((allowed + more).min(MOST_ALLOWED)));
    }

    /// Changes what is allowed, unless the result is `None`. Requests and responses do so at once.
    fn change(&self, change: impl FnMut(usize) -> Option<usize>) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, change).is_ok()
    }
}

impl<S> Bounded<S> {
    fn new(stream: S) -> Self {
        Bounded {
            stream,
            allowance: Allowance(Arc::new(AtomicUsize::new(LARGEST_RESPONSE))),
        }
    }

    /// For who receives what was not requested.
    pub fn allowance(&self) -> Allowance {
        self.allowance.clone()
    }

    fn requested(&mut self, bytes: usize) {
        let add = |allowed: usize| (allowed + bytes).clamp(LARGEST_RESPONSE, MOST_ALLOWED);
        self.allowance.change(|allowed| Some(add(allowed)));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let received = buffer.filled().len() - before;
        if !self
            .allowance
            .change(|allowed| allowed.checked_sub(received))
        {
            let what = format!(
                "the server sent more than {} MiB beyond what was requested",
                LARGEST_RESPONSE >> 20
            );
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.requested(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_server_may_send_a_large_response_to_each_request_and_no_more() {
        let (ours, mut server) = duplex(1 << 20);
        let mut stream = Bounded::new(ours);
        tokio::spawn(async move { while server.write_all(&[0; 1 << 20]).await.is_ok() {} });
        let mut response = vec![0; LARGEST_RESPONSE];
        stream.read_exact(&mut response).await.expect("a response");
        stream.write_all(b"next").await.expect("another request");
        stream.read_exact(&mut response).await.expect("a response");
        // As much again, as 16 payloads of 256 KiB.
        stream.allowance().expect(16);
        stream.read_exact(&mut response).await.expect("payloads");
        let error = stream.read_exact(&mut response).await;
        let error = error.expect_err("nothing was requested");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
