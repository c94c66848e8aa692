//! Sockets to listen on.

use std::{
    fmt,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::FileTypeExt,
    path::PathBuf,
};

use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::stream::Stream;
use crate::{
    error::{Error, Kind, Result},
    settings::{Address, Listen},
};

/// The bound sockets of a server.
pub struct Listeners {
    /// For KEDA.
    pub grpc: GrpcListener,
    /// For metrics and health, if wanted.
    pub admin: Option<TcpListener>,
}

/// TCP, or a Unix socket that is removed at the end.
pub enum GrpcListener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl GrpcListener {
    /// The next connection.
    pub async fn accept(&self) -> io::Result<Stream> {
        match self {
            GrpcListener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Responses are small, and each is waited for.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            GrpcListener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl Listeners {
    /// Binds what the settings name.
    pub async fn bind(listen: &Listen) -> Result<Self> {
        let grpc = match &listen.grpc {
            Address::Tcp(address) => {
                GrpcListener::Tcp(bound("listen.grpc", address, bind_tcp(address).await)?)
            }
            Address::Unix(path) => {
                clear_stale(path).await?;
                let listener = bound("listen.grpc", &listen.grpc, UnixListener::bind(path))?;
                GrpcListener::Unix(listener, SocketFile(path.clone()))
            }
        };
        let admin = match listen.admin.0 {
            Some(address) => Some(bound("listen.admin", &address, bind_tcp(&address).await)?),
            None => None,
        };
        Ok(Listeners { grpc, admin })
    }
}

/// `[::]` is every address of both families; where IPv6 is off, every one of IPv4.
async fn bind_tcp(address: &SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) => match without_ipv6(address, error.kind()) {
            Some(instead) => {
                tracing::info!("{address}: {error}; listening on {instead} instead");
                TcpListener::bind(instead).await
            }
            None => Err(error),
        },
        bound => bound,
    }
}

/// The address of IPv4 in place of `[::]`. A port that is taken or not allowed stays an error.
fn without_ipv6(address: &SocketAddr, error: ErrorKind) -> Option<SocketAddr> {
    let every = address.is_ipv6() && address.ip().is_unspecified();
    let other = matches!(error, ErrorKind::AddrInUse | ErrorKind::PermissionDenied);
    (every && !other).then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

fn bound<T>(key: &str, address: &impl fmt::Display, result: io::Result<T>) -> Result<T> {
    result.map_err(|error| {
        Error::new(
            Kind::Unreachable,
            format!("{key}: cannot listen on {address}: {error}"),
            "Choose another address, or stop what holds this one.",
        )
    })
}

/// Removes the socket of a server that is gone, and no other file.
async fn clear_stale(path: &PathBuf) -> Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket && UnixStream::connect(path).await.is_err() {
        let removed = std::fs::remove_file(path);
        return bound("listen.grpc", &path.display(), removed);
    }
    Ok(())
}

impl fmt::Display for GrpcListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrpcListener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "{address}"),
                Err(error) => write!(f, "tcp ({error})"),
            },
            GrpcListener::Unix(_, file) => write!(f, "unix:{}", file.0.display()),
        }
    }
}

/// A socket's file, removed when dropped.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_every_one_of_ipv4_where_ipv6_is_off() {
        let instead = |address: &str, error| {
            let instead = without_ipv6(&address.parse().unwrap(), error);
            instead.map(|address| address.to_string())
        };
        // EAFNOSUPPORT, which is what Linux returns then, has no kind of its own.
        let off = io::Error::from_raw_os_error(97).kind();
        assert_eq!(instead("[::]:9090", off).as_deref(), Some("0.0.0.0:9090"));
        assert_eq!(instead("[::1]:9090", off), None);
        assert_eq!(instead("0.0.0.0:9090", off), None);
        assert_eq!(instead("[::]:9090", ErrorKind::AddrInUse), None);
        assert_eq!(instead("[::]:80", ErrorKind::PermissionDenied), None);
    }
}
