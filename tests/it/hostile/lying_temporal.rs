//! Temporal servers that break HTTP/2 or gRPC, or use them to take memory.

use std::io;

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Fake, Honest, Program, SHORT, assert_errors,
    http2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
        field, frame, message,
    },
    pour, trickle,
};
use testkit::{redis, require, scaler::trigger};

/// What the server does.
#[derive(Clone, Debug)]
enum Lie {
    /// Nothing.
    Silence,
    /// Bytes one by one from the start.
    Trickle,
    /// This from the start, and then nothing.
    Bytes(Vec<u8>),
    /// This from the start, again and again.
    Flood(Vec<u8>),
    /// HTTP/2, and these frames to each call.
    Call(fn(u32) -> Vec<u8>),
    /// HTTP/2, and these frames again and again to the first call.
    FloodCall(fn(u32) -> Vec<u8>, fn(u32) -> Vec<u8>),
    /// HTTP/2, and the end of the connection with each call.
    Close,
}

/// SETTINGS with windows and frames as large as they can be.
fn hello() -> Vec<u8> {
    let settings = [0, 4, 127, 255, 255, 255, 0, 5, 0, 255, 255, 255];
    frame(SETTINGS, 0, 0, &settings)
}

/// The headers of a response that has begun.
fn begun(stream: u32) -> Vec<u8> {
    let block = [
        field(":status", "200"),
        field("content-type", "application/grpc"),
    ];
    frame(HEADERS, END_HEADERS, stream, &block.concat())
}

fn trailers(stream: u32, status: &str) -> Vec<u8> {
    let block = field("grpc-status", status);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// A whole response with this as its data.
fn response(stream: u32, data: &[u8], status: &str) -> Vec<u8> {
    [
        begun(stream),
        frame(DATA, 0, stream, data),
        trailers(stream, status),
    ]
    .concat()
}

async fn serve(mut stream: TcpStream, lie: Lie) -> io::Result<()> {
    match &lie {
        Lie::Silence => {}
        Lie::Trickle => trickle(&mut stream, 0).await?,
        Lie::Bytes(bytes) => stream.write_all(bytes).await?,
        Lie::Flood(bytes) => pour(&mut stream, bytes).await?,
        Lie::Call(_) | Lie::FloodCall(..) | Lie::Close => stream.write_all(&hello()).await?,
    }
    let mut preface = vec![0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        let call = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (&lie, head[3]) {
            (Lie::Call(frames), HEADERS) => stream.write_all(&frames(call)).await?,
            (Lie::FloodCall(first, rest), HEADERS) => {
                stream.write_all(&first(call)).await?;
                pour(&mut stream, &rest(call)).await?;
            }
            (Lie::Close, HEADERS) => return Ok(()),
            (Lie::Call(_) | Lie::FloodCall(..) | Lie::Close, SETTINGS) if head[4] == 0 => {
                stream.write_all(&frame(SETTINGS, 1, 0, &[])).await?;
            }
            _ => {}
        }
    }
}

fn backlog(address: &str) -> ScaledObjectRef {
    trigger([
        ("backend", "temporal"),
        ("endpoint", address),
        ("taskQueue", "jobs"),
        ("freshFor", "0"),
        ("maxStaleness", "0"),
    ])
}

async fn assert_lies_harm_nobody<const N: usize>(timeouts: &str, lies: [(&str, Lie); N]) {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let (program, honest) = (Program::start(timeouts).await, Honest::start().await);
    let attack = async {
        for (what, lie) in lies {
            let fake = Fake::start(move |stream| serve(stream, lie.clone())).await;
            assert_errors(&program, &backlog(&fake.address), what).await;
        }
    };
    honest.assert_served_during(&program, attack).await;
    assert!(!program.log().contains("panicked"), "{}", program.log());
}

#[tokio::test]
async fn a_server_that_does_not_respond_is_an_error_by_the_deadline() {
    assert_lies_harm_nobody(
        SHORT,
        [
            ("silence", Lie::Silence),
            ("a trickle", Lie::Trickle),
            ("settings and then silence", Lie::Bytes(hello())),
            ("no response to calls", Lie::Call(|_| Vec::new())),
            ("headers alone", Lie::Call(begun)),
            (
                "a message that is never finished",
                Lie::Call(|stream| {
                    let data = message(false, 1000, b"x");
                    [begun(stream), frame(DATA, 0, stream, &data)].concat()
                }),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_not_grpc_is_an_error() {
    assert_lies_harm_nobody(
        SHORT,
        [
            (
                "HTTP/1.1",
                Lie::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            ),
            ("zeros", Lie::Bytes(vec![0; 1000])),
            ("ones", Lie::Bytes(vec![255; 1000])),
            ("TLS", Lie::Bytes(vec![0x15, 3, 1, 0, 2, 2, 10])),
            (
                "a frame of 16 MiB",
                Lie::Bytes(vec![255, 255, 255, SETTINGS, 0, 0, 0, 0, 0]),
            ),
            ("the end of the connection", Lie::Close),
            (
                "a reset of each call",
                Lie::Call(|stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 2])),
            ),
            (
                "a GOAWAY to each call",
                Lie::Call(|_| frame(7, 0, 0, &[0; 8])),
            ),
            (
                "a page of HTML",
                Lie::Call(|stream| {
                    let block = [field(":status", "200"), field("content-type", "text/html")];
                    let begun = frame(HEADERS, END_HEADERS, stream, &block.concat());
                    [begun, frame(DATA, END_STREAM, stream, b"<html>")].concat()
                }),
            ),
            (
                "an OK without a message",
                Lie::Call(|stream| [begun(stream), trailers(stream, "0")].concat()),
            ),
            (
                "a status that is none",
                Lie::Call(|stream| response(stream, &message(false, 0, b""), "OK")),
            ),
            (
                "a message that is no protobuf",
                Lie::Call(|stream| response(stream, &message(false, 3, &[0xff; 3]), "0")),
            ),
            (
                "a message said to be compressed",
                Lie::Call(|stream| response(stream, &message(true, 3, &[0x1f, 0x8b, 8]), "0")),
            ),
            (
                "a message of 4 GiB",
                Lie::Call(|stream| response(stream, &message(false, u32::MAX, b"x"), "0")),
            ),
            (
                "headers that HPACK cannot have",
                Lie::Call(|stream| frame(HEADERS, END_HEADERS, stream, &[255; 8])),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn empty_messages_are_no_backlog_of_zero() {
    let empty = Lie::Call(|stream| response(stream, &message(false, 0, b""), "0"));
    assert_lies_harm_nobody(SHORT, [("empty messages", empty)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_take_little_memory() {
    assert_lies_harm_nobody(
        "",
        [
            ("SETTINGS", Lie::Flood(hello())),
            (
                "PING",
                Lie::FloodCall(|_| Vec::new(), |_| frame(PING, 0, 0, &[7; 8])),
            ),
            (
                "headers without an end",
                Lie::FloodCall(
                    |stream| frame(HEADERS, 0, stream, &field(":status", "200")),
                    |stream| frame(CONTINUATION, 0, stream, &field("x-more", &"x".repeat(8000))),
                ),
            ),
            (
                "data without an end",
                Lie::FloodCall(
                    |stream| {
                        let data = message(false, 16_000_000, b"");
                        [begun(stream), frame(DATA, 0, stream, &data)].concat()
                    },
                    |stream| frame(DATA, 0, stream, &[0; 8000]),
                ),
            ),
            (
                "empty data without an end",
                Lie::FloodCall(begun, |stream| frame(DATA, 0, stream, &[])),
            ),
        ],
    )
    .await;
}
