//! Kafka brokers that break Kafka's protocol, or use it to take memory.

use std::io;

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Fake, Honest, Program, SHORT, assert_error_or, assert_errors, pour, trickle};
use testkit::{redis, require, scaler::trigger};

/// The kinds of requests (<https://kafka.apache.org/protocol#protocol_api_keys>), in the order in
/// which they come.
const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const OFFSET_FETCH: i16 = 9;
const LIST_OFFSETS: i16 = 2;
const ALL: [i16; 5] = [
    API_VERSIONS,
    METADATA,
    FIND_COORDINATOR,
    OFFSET_FETCH,
    LIST_OFFSETS,
];

/// What the broker does instead of responding.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// It does respond.
    None,
    /// Nothing.
    Silence,
    /// This, and then more byte by byte.
    Trickle(&'static [u8]),
    /// This, and then nothing.
    Bytes(&'static [u8]),
    /// A response of this size, which is then sent without end.
    Flood(i32),
    /// A response, and then the end of the connection.
    Close,
    /// A response, and the same once more.
    Twice,
    /// The response with the number of the request before.
    Repeated,
    /// The first part of a response.
    Half,
    /// A response with nothing but this after its number.
    Body(&'static [u8]),
    /// As many brokers as a response has room for.
    ManyBrokers,
}

/// Fields of a message.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn i16(mut self, number: i16) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn i32(mut self, number: i32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn i64(mut self, number: i64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        self = self.i16(text.len() as i16);
        self.0.extend(text.as_bytes());
        self
    }

    fn node(self, port: u16) -> Self {
        self.i32(1).text("127.0.0.1").i32(port.into())
    }
}

/// An honest response: one broker and one partition, of eight messages with three committed.
fn response(request: &[u8], port: u16) -> Vec<u8> {
    let fields = Fields::default();
    let api = kind(request);
    let fields = match api {
        API_VERSIONS => {
            // Versions without compact lengths.
            let versions = [
                (METADATA, 4),
                (FIND_COORDINATOR, 1),
                (OFFSET_FETCH, 5),
                (LIST_OFFSETS, 2),
            ];
            let fields = fields.i16(0).i32(versions.len() as i32);
            versions.iter().fold(fields, |fields, (api, version)| {
                fields.i16(*api).i16(*version).i16(*version)
            })
        }
        METADATA => {
            let fields = fields.i32(0).i32(1).node(port).i16(-1);
            let fields = fields.i16(-1).i32(1).i32(1).i16(0).text("jobs");
            let Fields(mut bytes) = fields;
            bytes.push(0);
            Fields(bytes).i32(1).i16(0).i32(0).i32(1).i32(0).i32(0)
        }
        FIND_COORDINATOR => fields.i32(0).i16(0).i16(-1).node(port),
        OFFSET_FETCH => {
            let fields = fields.i32(0).i32(1).text("jobs").i32(1);
            fields.i32(0).i64(3).i32(-1).i16(-1).i16(0).i16(0)
        }
        LIST_OFFSETS => {
            let fields = fields.i32(0).i32(1).text("jobs").i32(1);
            // The request ends with the end of the log that it is about: -2 is the earliest.
            let offset = if request.ends_with(&(-2_i64).to_be_bytes()) {
                0
            } else {
                8
            };
            fields.i32(0).i16(0).i64(-1).i64(offset)
        }
        _ => panic!("no request of kind {api} is expected"),
    };
    fields.0
}

fn kind(request: &[u8]) -> i16 {
    i16::from_be_bytes([request[0], request[1]])
}

fn frame(correlation: i32, body: &[u8]) -> Vec<u8> {
    let Fields(mut frame) = Fields::default()
        .i32(4 + body.len() as i32)
        .i32(correlation);
    frame.extend(body);
    frame
}

/// Metadata with a million brokers, in 14 MB.
fn many_brokers() -> Vec<u8> {
    let fields = Fields::default().i32(0).i32(1_000_000);
    let fields = (0..1_000_000).fold(fields, |fields, id| {
        fields.i32(id).text("b").i32(9092).i16(-1)
    });
    fields.i16(-1).i32(1).i32(0).0
}

/// Serves a connection, and lies in response to requests of one kind.
async fn serve(mut stream: TcpStream, about: i16, lie: Lie) -> io::Result<()> {
    let port = stream.local_addr()?.port();
    loop {
        let length = stream.read_i32().await?;
        let mut request = vec![0; length as usize];
        stream.read_exact(&mut request).await?;
        let correlation = i32::from_be_bytes([request[4], request[5], request[6], request[7]]);
        let body = response(&request, port);
        let honest = frame(correlation, &body);
        if kind(&request) != about {
            stream.write_all(&honest).await?;
            continue;
        }
        match lie {
            Lie::None => stream.write_all(&honest).await?,
            Lie::Silence => {}
            Lie::Trickle(bytes) => {
                stream.write_all(bytes).await?;
                trickle(&mut stream, 0).await?;
            }
            Lie::Bytes(bytes) => stream.write_all(bytes).await?,
            Lie::Flood(size) => {
                stream.write_all(&size.to_be_bytes()).await?;
                stream.write_all(&correlation.to_be_bytes()).await?;
                pour(&mut stream, &[255; 64]).await?;
            }
            Lie::Close => {
                stream.write_all(&honest).await?;
                return Ok(());
            }
            Lie::Twice => stream.write_all(&[honest.clone(), honest].concat()).await?,
            Lie::Repeated => stream.write_all(&frame(correlation - 1, &body)).await?,
            Lie::Half => {
                let half = frame(correlation, &body[..body.len() / 2]);
                stream.write_all(&half).await?;
            }
            Lie::Body(body) => stream.write_all(&frame(correlation, body)).await?,
            Lie::ManyBrokers => {
                stream
                    .write_all(&frame(correlation, &many_brokers()))
                    .await?;
            }
        }
    }
}

fn lag(address: &str) -> ScaledObjectRef {
    trigger([
        ("backend", "kafka"),
        ("bootstrapServers", address),
        ("consumerGroup", "workers"),
        ("topic", "jobs"),
        ("freshFor", "0"),
        ("maxStaleness", "0"),
    ])
}

async fn assert_lies_harm_nobody(timeouts: &str, about: &[i16], lies: &[Lie]) {
    if !require(redis::available(), "redis-server") {
        return;
    }
    let (program, honest) = (Program::start(timeouts).await, Honest::start().await);
    let attack = async {
        for about in about.iter().copied() {
            for lie in lies.iter().copied() {
                let what = format!("{lie:?} about {about}");
                let fake = Fake::start(move |stream| serve(stream, about, lie)).await;
                let trigger = lag(&fake.address);
                match lie {
                    Lie::Close | Lie::Twice => {
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
async fn a_broker_that_does_not_lie_has_a_lag_of_five() {
    let program = Program::start("").await;
    let fake = Fake::start(|stream| serve(stream, 0, Lie::None)).await;
    let evaluation = program.evaluate(&lag(&fake.address)).await.unwrap();
    assert_eq!(evaluation.value, 5.0);
}

#[tokio::test]
async fn a_broker_that_does_not_finish_its_response_is_an_error_by_the_deadline() {
    assert_lies_harm_nobody(
        SHORT,
        &ALL,
        &[
            Lie::Silence,
            Lie::Trickle(&[]),
            Lie::Trickle(&[0, 0, 16, 0]),
            Lie::Bytes(&[0]),
            Lie::Bytes(&[0, 0, 0, 100]),
            Lie::Bytes(&[1, 255, 255, 255]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_response_that_cannot_be_read_is_an_error() {
    assert_lies_harm_nobody(
        SHORT,
        &ALL,
        &[
            Lie::Repeated,
            Lie::Half,
            Lie::Body(&[]),
            Lie::Body(&[255; 100]),
            // Arrays and texts of two gibi and of as many as can be named.
            Lie::Body(&[0, 0, 127, 255, 255, 255]),
            Lie::Body(&[0, 0, 0, 0, 127, 255, 255, 255, 0, 0, 0, 0]),
            Lie::Body(&[0, 0, 0, 0, 0, 0, 0, 1, 127, 255, 127, 255]),
            Lie::Bytes(&[0, 0, 0, 0]),
            Lie::Bytes(&[0, 0, 0, 2, 0, 0]),
            Lie::Bytes(&[255, 255, 255, 255]),
            Lie::Bytes(&[127, 255, 255, 255, 0, 0, 0, 0]),
            Lie::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            Lie::Bytes(&[0x15, 3, 1, 0, 2, 2, 10]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_broker_that_closes_or_repeats_itself_yields_an_error_or_what_it_sent() {
    assert_lies_harm_nobody(SHORT, &ALL, &[Lie::Close, Lie::Twice]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_of_any_size_takes_little_memory() {
    let sizes = [Lie::Flood(i32::MAX), Lie::Flood((32 << 20) - 1)];
    assert_lies_harm_nobody("", &ALL, &sizes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_brokers_take_little_memory() {
    assert_lies_harm_nobody("", &[METADATA], &[Lie::ManyBrokers]).await;
}

#[tokio::test]
async fn a_broker_without_the_requested_partition_has_no_lag_of_zero() {
    let empty = [Lie::Body(&[0; 12])];
    assert_lies_harm_nobody(SHORT, &[LIST_OFFSETS, METADATA], &empty).await;
}
