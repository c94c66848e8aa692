//! Kafka brokers that break Kafka's protocol, or use it to take memory.

use std::{
    io,
    sync::{Arc, Mutex},
};

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Fake, Honest, Program, SHORT, assert_error_or, assert_errors, pour, trickle};
use testkit::{
    redis, require,
    scaler::{trigger, with},
};

/// The kinds of requests (<https://kafka.apache.org/protocol#protocol_api_keys>), in the order in
/// which they come.
pub const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const OFFSET_FETCH: i16 = 9;
const LIST_OFFSETS: i16 = 2;
/// For the age of records alone.
const FETCH: i16 = 1;
const ALL: [i16; 6] = [
    API_VERSIONS,
    METADATA,
    FIND_COORDINATOR,
    OFFSET_FETCH,
    LIST_OFFSETS,
    FETCH,
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
    /// Always the same record, which is before those that are requested.
    OldRecord,
}

/// Fields of a message.
#[derive(Default)]
pub struct Fields(pub Vec<u8>);

impl Fields {
    pub fn i16(mut self, number: i16) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub fn i32(mut self, number: i32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub fn i64(mut self, number: i64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub fn text(mut self, text: &str) -> Self {
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
                (FETCH, 4),
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
        FETCH => records(3),
        _ => panic!("no request of kind {api} is expected"),
    };
    fields.0
}

/// A batch of one record, of a time that is to come.
fn records(offset: i64) -> Fields {
    let record = [6 << 1, 0, 0, 0, 1, 1, 0];
    let batch = Fields::default().i64(offset).i32(49 + record.len() as i32);
    let Fields(mut head) = batch.i32(-1);
    head.push(2);
    let batch = Fields(head).i32(0).i16(0).i32(0);
    let batch = batch.i64(i64::MAX / 2).i64(i64::MAX / 2);
    let batch = batch.i64(-1).i16(-1).i32(-1).i32(1);
    let Fields(mut batch) = batch;
    batch.extend(record);
    let fields = Fields::default().i32(0).i32(1).text("jobs").i32(1);
    let fields = fields.i32(0).i16(0).i64(8).i64(8).i32(-1);
    let Fields(mut fields) = fields.i32(batch.len() as i32);
    fields.extend(batch);
    Fields(fields)
}

/// The next request, and its number.
pub async fn request(stream: &mut TcpStream) -> io::Result<(Vec<u8>, i32)> {
    let length = stream.read_i32().await?;
    let mut request = vec![0; length as usize];
    stream.read_exact(&mut request).await?;
    let correlation = i32::from_be_bytes([request[4], request[5], request[6], request[7]]);
    Ok((request, correlation))
}

pub fn kind(request: &[u8]) -> i16 {
    i16::from_be_bytes([request[0], request[1]])
}

pub fn frame(correlation: i32, body: &[u8]) -> Vec<u8> {
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
        let (request, correlation) = request(&mut stream).await?;
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
            Lie::OldRecord => {
                stream.write_all(&frame(correlation, &records(1).0)).await?;
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

/// The age of the record that the group reads next.
fn record_age(address: &str) -> ScaledObjectRef {
    let keys = [
        ("signal", "age"),
        ("targetSeconds", "5"),
        ("ageFrom", "record"),
    ];
    keys.into_iter()
        .fold(lag(address), |trigger, (key, value)| {
            with(trigger, key, value)
        })
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
                let (trigger, honest) = match about {
                    FETCH => (record_age(&fake.address), 0.0),
                    _ => (lag(&fake.address), 5.0),
                };
                match lie {
                    Lie::Close | Lie::Twice => {
                        assert_error_or(&program, &trigger, honest, &what).await;
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
    let evaluation = program.evaluate(&record_age(&fake.address)).await.unwrap();
    assert_eq!((evaluation.value, evaluation.active), (0.0, true));
}

/// Serves a connection, and counts the requests of each kind.
async fn serve_counting(mut stream: TcpStream, kinds: Arc<Mutex<Vec<i16>>>) -> io::Result<()> {
    let port = stream.local_addr()?.port();
    loop {
        let (request, correlation) = request(&mut stream).await?;
        kinds.lock().unwrap().push(kind(&request));
        let honest = frame(correlation, &response(&request, port));
        stream.write_all(&honest).await?;
    }
}

#[tokio::test]
async fn a_signal_costs_no_request_more_than_lag_but_for_records() {
    let program = Program::start("").await;
    let requests = async |keys: &[(&str, &str)]| {
        let kinds = Arc::new(Mutex::new(Vec::new()));
        let counted = kinds.clone();
        let fake = Fake::start(move |stream| serve_counting(stream, counted.clone())).await;
        let keys = [&[("freshFor", "60s")], keys].concat();
        let trigger = keys
            .into_iter()
            .fold(lag(&fake.address), |trigger, (key, value)| {
                with(trigger, key, value)
            });
        // An age that is not known yet is an error, of the same sample.
        let _ = program.evaluate(&trigger).await;
        let mut kinds = kinds.lock().unwrap().clone();
        kinds.sort_unstable();
        kinds
    };
    let of_lag = requests(&[]).await;
    assert!(of_lag.ends_with(&[API_VERSIONS]), "{of_lag:?}");
    let target = ("targetSeconds", "5");
    for signal in ["age", "drainTime"] {
        assert_eq!(
            requests(&[("signal", signal), target]).await,
            of_lag,
            "{signal}"
        );
    }
    let record = [("signal", "age"), target, ("ageFrom", "record")];
    assert_eq!(requests(&record).await, [&[FETCH], &of_lag[..]].concat());
}

#[tokio::test]
async fn a_broker_that_never_gets_to_the_record_is_an_error() {
    assert_lies_harm_nobody(SHORT, &[FETCH], &[Lie::OldRecord]).await;
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
    assert_lies_harm_nobody(SHORT, &[LIST_OFFSETS, METADATA, FETCH], &empty).await;
}
