//! A connection as bytes, whatever it is made of: TCP, a Unix socket, TLS over either.

use tokio::io::{AsyncRead, AsyncWrite};

/// What HTTP/2 runs over.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub type Stream = Box<dyn Io>;
