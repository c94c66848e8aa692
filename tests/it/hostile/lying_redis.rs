//! Redis servers that break RESP, or use it to take memory.

use std::io;

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{Fake, Honest, Program, SHORT, assert_error_or, assert_errors, pour, trickle};
use testkit::{redis, require, scaler::trigger};

/// What the server does instead of replying with a length.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// Nothing.
    Silence,
    /// A reply without an end, byte by byte.
    Trickle,
    /// This, and then nothing.
    Bytes(&'static [u8]),
    /// This, and then more of the other without end.
    Flood(&'static [u8], &'static [u8]),
    /// A reply, and then the end of the connection.
    Close,
    /// A reply, and another one that belongs to nothing.
    Twice,
}

/// The length of every list.
const LENGTH: &[u8] = b":5\r\n";

/// The words of the next command.
async fn command(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let count = line.trim_end().trim_start_matches('*').parse::<usize>();
    let count = count.map_err(|_| io::ErrorKind::UnexpectedEof)?;
    let mut words = Vec::new();
    for _ in 0..count {
        line.clear();
        reader.read_line(&mut line).await?;
        let length = line.trim_end().trim_start_matches('$').parse::<usize>();
        let mut word = vec![0; length.map_err(|_| io::ErrorKind::UnexpectedEof)? + 2];
        reader.read_exact(&mut word).await?;
        words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
    }
    Ok(words)
}

/// Serves a connection honestly up to the first command `from`, and then lies.
async fn serve(stream: TcpStream, from: &'static str, lie: Lie) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let words = command(&mut stream).await?;
        let honest: &[u8] = match words[0].as_str() {
            "PING" => b"+PONG\r\n",
            "TYPE" => b"+list\r\n",
            "LLEN" => LENGTH,
            _ => b"-ERR unknown command\r\n",
        };
        if words[0] != from {
            stream.write_all(honest).await?;
            continue;
        }
        match lie {
            Lie::Silence => {}
            Lie::Trickle => {
                stream.write_all(b"+").await?;
                trickle(&mut stream, b'5').await?;
            }
            Lie::Bytes(bytes) => stream.write_all(bytes).await?,
            Lie::Flood(first, rest) => {
                stream.write_all(first).await?;
                pour(&mut stream, rest).await?;
            }
            Lie::Close => {
                stream.write_all(honest).await?;
                return Ok(());
            }
            Lie::Twice => stream.write_all(&[honest, honest].concat()).await?,
        }
    }
}

fn list(address: &str) -> ScaledObjectRef {
    trigger([
        ("backend", "redis"),
        ("address", address),
        ("listName", "jobs"),
        ("freshFor", "0"),
        ("maxStaleness", "0"),
    ])
}

async fn assert_lies_harm_nobody(timeouts: &str, from: &[&'static str], lies: &[Lie]) {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let (program, honest) = (Program::start(timeouts).await, Honest::start().await);
    let attack = async {
        for from in from.iter().copied() {
            for lie in lies.iter().copied() {
                let what = format!("{lie:?} from {from}");
                let fake = Fake::start(move |stream| serve(stream, from, lie)).await;
                let trigger = list(&fake.address);
                match lie {
                    Lie::Close | Lie::Twice | Lie::Flood(b"", LENGTH) => {
                        assert_error_or(&program, &trigger, 5.0, &what).await;
                    }
                    _ => assert_errors(&program, &trigger, &what).await,
                }
            }
        }
    };
    honest.assert_served_during(&program, attack).await;
    assert!(!program.log().contains("panicked"), "{}", program.log());
}

#[tokio::test]
async fn a_redis_that_does_not_finish_its_reply_is_an_error_by_the_deadline() {
    assert_lies_harm_nobody(
        SHORT,
        &["PING", "LLEN"],
        &[
            Lie::Silence,
            Lie::Trickle,
            Lie::Bytes(b":"),
            Lie::Bytes(b":5"),
            Lie::Bytes(b":5\r"),
            Lie::Bytes(b"$2147483647\r\n5"),
            Lie::Bytes(b"*2147483647\r\n:5\r\n"),
            Lie::Bytes(b"*9223372036854775807\r\n:5\r\n"),
            Lie::Bytes(b"%2147483647\r\n"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_redis_that_closes_or_repeats_itself_yields_an_error_or_what_it_sent() {
    assert_lies_harm_nobody(SHORT, &["PING", "LLEN"], &[Lie::Close, Lie::Twice]).await;
}

#[tokio::test]
async fn a_reply_that_is_no_length_is_an_error() {
    assert_lies_harm_nobody(
        SHORT,
        &["LLEN"],
        &[
            Lie::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            Lie::Bytes(b"\0\0\0\0"),
            Lie::Bytes(b"\x15\x03\x01\x00\x02\x02\x0a"),
            Lie::Bytes(b":-5\r\n"),
            Lie::Bytes(b":9223372036854775807\r\n"),
            Lie::Bytes(b":99999999999999999999\r\n"),
            Lie::Bytes(b":five\r\n"),
            Lie::Bytes(b":\r\n"),
            Lie::Bytes(b"$-1\r\n"),
            Lie::Bytes(b"$1\r\n5\r\n"),
            Lie::Bytes(b"+5\r\n"),
            Lie::Bytes(b",5\r\n"),
            Lie::Bytes(b"_\r\n"),
            Lie::Bytes(b"*0\r\n"),
            Lie::Bytes(b"*1\r\n:5\r\n"),
            Lie::Bytes(b"%-1\r\n"),
            Lie::Bytes(b"|0\r\n:5\r\n"),
            Lie::Bytes(b"-\xff\xfe\r\n"),
            Lie::Bytes(b"-\r\n"),
            Lie::Bytes(b"-MOVED 1 127.0.0.1:1\r\n"),
            Lie::Bytes(b"-MOVED\r\n"),
            Lie::Bytes(b"-LOADING\r\n"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_too_large_or_too_deep_takes_no_memory() {
    assert_lies_harm_nobody(
        "",
        &["PING", "LLEN"],
        &[
            Lie::Flood(b"", b"*1\r\n"),
            Lie::Flood(b"", b"*2147483647\r\n"),
            Lie::Flood(b"$2147483647\r\n", b"5"),
            Lie::Flood(b"*2147483647\r\n", b":5\r\n"),
            Lie::Flood(b"+", b"5"),
            Lie::Flood(b"", b">1\r\n+x\r\n"),
            Lie::Flood(b"", b":5\r\n"),
        ],
    )
    .await;
}
