//! Clients that break HTTP/2 or gRPC, or use them to take memory.

mod floods;
mod frames;
mod messages;
mod streams;

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{HANGS, Honest, Program};
use testkit::{redis, require};

/// The client's connection preface (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The types of frames (RFC 9113, section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags of frames. END_STREAM and ACK are the same bit, of different frames.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW: [u8; 2] = [0, 4];

const GET_METRICS: &str = "/externalscaler.ExternalScaler/GetMetrics";
const STREAM_IS_ACTIVE: &str = "/externalscaler.ExternalScaler/StreamIsActive";

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header field without indexing and without Huffman coding (RFC 7541, section 6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        // A length with a prefix of seven bits (RFC 7541, section 5.1).
        match u8::try_from(text.len()) {
            Ok(length) if length < 127 => field.push(length),
            _ => {
                let mut rest = text.len() - 127;
                field.push(127);
                while rest >= 128 {
                    field.push(rest as u8 | 128);
                    rest >>= 7;
                }
                field.push(rest as u8);
            }
        }
        field.extend(text.as_bytes());
    }
    field
}

/// The header block of a call, with more fields.
fn call(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "scaler"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let fields = fields.iter().chain(more);
    fields
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

/// A gRPC message with its prefix (flag and length), as it is said to be.
pub fn message(compressed: bool, claimed: u32, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![u8::from(compressed)];
    message.extend(claimed.to_be_bytes());
    message.extend(bytes);
    message
}

/// A TCP connection to the server that may send anything.
struct Raw(TcpStream);

impl Raw {
    async fn connect(program: &Program) -> Self {
        let stream = TcpStream::connect(&program.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw(stream)
    }

    /// A connection with preface and settings sent.
    async fn hello(program: &Program, settings: &[u8]) -> Self {
        let mut raw = Raw::connect(program).await;
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        raw.0.write_all(&hello).await.unwrap();
        raw
    }

    /// Sends as long as the server takes it. An error means that the server closed the connection.
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// The next frame's type, flags, stream and payload; `None` at the end of the connection.
    async fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], head[4], stream, payload))
    }

    /// Waits until the server closes the connection.
    async fn closed(&mut self, what: &str) {
        let closed = timeout(HANGS, async { while self.frame().await.is_some() {} }).await;
        assert!(closed.is_ok(), "{what}: the connection stays open");
    }

    /// Waits until the server ends a stream, or the connection with it.
    async fn refused(&mut self, stream: u32, what: &str) {
        let refused = timeout(HANGS, async {
            while let Some((kind, flags, of, _)) = self.frame().await {
                let last = matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
                if of == stream && (last || kind == RST_STREAM) {
                    break;
                }
            }
        });
        assert!(refused.await.is_ok(), "{what}: the stream has no end");
    }
}

/// A server and a Redis that its honest caller reads; `None` without a Redis.
async fn victim(yaml: &str) -> Option<(Program, Honest)> {
    if !require(redis::available(), "redis-server") {
        return None;
    }
    Some((Program::start(yaml).await, Honest::start().await))
}
