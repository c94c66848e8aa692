//! One connection to a broker. Requests are pipelined: responses return in the order of
//! the requests (<https://kafka.apache.org/protocol#protocol_network>).

mod auth;
mod decode;
mod error;
mod fetch;
pub mod records;
pub mod requests;
mod responses;
mod transport;

use std::{
    collections::{HashMap, VecDeque},
    ops::RangeInclusive,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, FetchRequest, FindCoordinatorRequest, ListOffsetsRequest,
        MetadataRequest, OffsetFetchRequest, RequestHeader, SaslAuthenticateRequest,
        SaslHandshakeRequest,
    },
    protocol::{Encodable, StrBytes, encode_request_header_into_buffer},
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{mpsc, oneshot},
    time::Instant,
};

use tokio_util::sync::{CancellationToken, DropGuard};

use decode::{Decoder, Malformed};
pub use error::{BrokerError, ErrorCause};
pub use fetch::FetchedRecords;
use responses::{ApiVersions, Challenge, Handshake, Response};
pub use responses::{
    ClusterMetadata, Coordinator, FetchedOffsets, FoundCoordinators, GroupOffsets, ListedOffsets,
    Node, TopicMetadata,
};
pub use transport::{Security, open};

/// How brokers know us.
const NAME: StrBytes = StrBytes::from_static_str("backlog-scaler");
/// Requests that may wait to be sent before those who send more wait as well.
const UNSENT: usize = 64;
/// A larger response is refused: most likely its length is something else.
const LARGEST_RESPONSE: usize = 32 << 20;
/// Responses up to this size get their buffer at once.
const LIKELY_RESPONSE: usize = 1 << 20;
/// A TLS record of kind "alert": the response of a port that speaks TLS to plain text.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// The part of a login's lifetime after which a new connection is made (KIP-368).
const LOGIN_LASTS: f64 = 0.8;

/// A request of Kafka's protocol.
pub trait Request: Encodable {
    type Response: Response;
}

impl Request for ApiVersionsRequest {
    type Response = ApiVersions;
}

impl Request for FetchRequest {
    type Response = FetchedRecords;
}

impl Request for FindCoordinatorRequest {
    type Response = FoundCoordinators;
}

impl Request for ListOffsetsRequest {
    type Response = ListedOffsets;
}

impl Request for MetadataRequest {
    type Response = ClusterMetadata;
}

impl Request for OffsetFetchRequest {
    type Response = FetchedOffsets;
}

impl Request for SaslAuthenticateRequest {
    type Response = Challenge;
}

impl Request for SaslHandshakeRequest {
    type Response = Handshake;
}

/// An open connection. Dropping it closes it.
pub struct BrokerConnection {
    requests: mpsc::Sender<Outgoing>,
    correlation: AtomicI32,
    /// What the broker understands, by the number of the request's kind.
    versions: HashMap<i16, RangeInclusive<i16>>,
    end: Arc<OnceLock<BrokerError>>,
    /// When the broker wants to see our login again.
    retires: Option<Instant>,
    _task: DropGuard,
}

/// A request on its way.
struct Outgoing {
    frame: Bytes,
    in_flight: InFlight,
}

/// A request that waits for its response.
struct InFlight {
    correlation: i32,
    /// How much of it is kept.
    kept: usize,
    response: oneshot::Sender<Bytes>,
}

impl BrokerConnection {
    /// Speaks over a stream. What the broker understands is not known yet.
    fn over(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (requests, outgoing) = mpsc::channel(UNSENT);
        let end = Arc::new(OnceLock::new());
        // Ends with its owner, even while a peer that reads nothing blocks a write.
        let closed = CancellationToken::new();
        let task = run(stream, outgoing, end.clone());
        tokio::spawn(closed.clone().run_until_cancelled_owned(task));
        BrokerConnection {
            requests,
            correlation: AtomicI32::new(0),
            versions: HashMap::new(),
            end,
            retires: None,
            _task: closed.drop_guard(),
        }
    }

    /// Whether requests may be sent: the connection stands, and our login is good for a while.
    pub fn is_good(&self) -> bool {
        let retired = self.retires.is_some_and(|at| at <= Instant::now());
        self.end.get().is_none() && !retired
    }

    /// The login is good for this long; 0: for ever.
    fn retire_after(&mut self, lifetime: Duration) {
        if !lifetime.is_zero() {
            self.retires = Some(Instant::now() + lifetime.mul_f64(LOGIN_LASTS));
        }
    }

    /// A response took too long: the next request uses another connection.
    pub fn give_up(&self) {
        let _ = self.end.set(BrokerError::timed_out());
    }

    /// The newest version of a request that both sides know.
    pub fn version<R: Request>(&self) -> Result<i16, BrokerError> {
        let (api, ours) = (R::Response::API, R::Response::VERSIONS);
        let Some(theirs) = self.versions.get(&(api as i16)) else {
            let text = format!("the broker does not know {api:?}");
            return Err(BrokerError::new(ErrorCause::Malformed, text));
        };
        let newest = *ours.end().min(theirs.end());
        if ours.contains(&newest) && theirs.contains(&newest) {
            return Ok(newest);
        }
        let text = format!("the broker knows {api:?} in versions {theirs:?}, and we in {ours:?}");
        Err(BrokerError::new(ErrorCause::Malformed, text))
    }

    /// Sends a request, and waits for its response.
    pub async fn call<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, BrokerError> {
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let frame = frame(request, version, correlation).map_err(|error| malformed::<R>(&error))?;
        let (response, responded) = oneshot::channel();
        let in_flight = InFlight {
            correlation,
            kept: R::Response::KEPT,
            response,
        };
        // The reason for either is kept in `end`.
        let ended = || self.end.get().cloned().unwrap_or_else(hung_up);
        self.requests
            .send(Outgoing { frame, in_flight })
            .await
            .map_err(|_| ended())?;
        let response = responded.await.map_err(|_| ended())?;
        read::<R::Response>(&response, version)
            .map_err(|Malformed| malformed::<R>(&"cannot be read"))
    }
}

fn read<A: Response>(response: &[u8], version: i16) -> Result<A, Malformed> {
    let mut reader = Decoder::new(response, version >= A::FLEXIBLE)?;
    A::read(&mut reader, version)
}

fn hung_up() -> BrokerError {
    BrokerError::new(ErrorCause::Closed, "the broker closed the connection")
}

fn malformed<R: Request>(error: &impl std::fmt::Display) -> BrokerError {
    BrokerError::new(
        ErrorCause::Malformed,
        format!("{:?}: {error}", R::Response::API),
    )
}

/// A request with its header and its length.
fn frame<R: Request>(
    request: &R,
    version: i16,
    correlation: i32,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let header = RequestHeader::default()
        .with_request_api_key(R::Response::API as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(NAME));
    let mut frame = BytesMut::with_capacity(64 + request.compute_size(version)?);
    frame.put_i32(0);
    encode_request_header_into_buffer(&mut frame, &header)?;
    request.encode(&mut frame, version)?;
    let length = i32::try_from(frame.len() - 4)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// Writes requests and hands out responses until either side ends it.
async fn run(
    stream: impl AsyncRead + AsyncWrite,
    mut outgoing: mpsc::Receiver<Outgoing>,
    end: Arc<OnceLock<BrokerError>>,
) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    let in_flight = Mutex::new(VecDeque::<InFlight>::new());
    let writing = async {
        while let Some(request) = outgoing.recv().await {
            in_flight.lock().push_back(request.in_flight);
            writer.write_all(&request.frame).await?;
            writer.flush().await?;
        }
        // Nobody holds the connection any more.
        Ok(())
    };
    let reading = async {
        loop {
            // Responses return in order, so that this is known before it can be read whose it is.
            let kept = || in_flight.lock().front().map_or(0, |next| next.kept);
            let response = read_frame(&mut reader, kept).await?;
            let next = in_flight.lock().pop_front();
            let correlation = response
                .first_chunk()
                .map(|bytes| i32::from_be_bytes(*bytes));
            match next {
                Some(next) if Some(next.correlation) == correlation => {
                    // The caller may have stopped waiting.
                    let _ = next.response.send(response);
                }
                _ => {
                    return Err(BrokerError::new(
                        ErrorCause::Malformed,
                        "a response without a request",
                    ));
                }
            }
        }
    };
    let ended: Result<(), BrokerError> = tokio::select! {
        ended = writing => ended.map_err(BrokerError::from_io),
        ended = reading => ended,
    };
    if let Err(error) = ended {
        let _ = end.set(error);
    }
    // Those who wait learn of it as their senders are dropped, with `in_flight` and `outgoing`.
}

/// A response without its length, of which at most `kept` bytes are kept.
async fn read_frame(
    reader: &mut (impl AsyncRead + Unpin),
    kept: impl FnOnce() -> usize,
) -> Result<Bytes, BrokerError> {
    let mut head = [0; 4];
    let read = BrokerError::from_io;
    reader.read_exact(&mut head).await.map_err(read)?;
    if head.starts_with(&TLS_ALERT) {
        return Err(BrokerError::new(
            ErrorCause::SpeaksTls,
            "the port speaks TLS",
        ));
    }
    let length = usize::try_from(i32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > LARGEST_RESPONSE {
        let text = "the server does not speak Kafka's protocol";
        return Err(BrokerError::new(ErrorCause::Malformed, text));
    }
    // Room is made as bytes come, and not for what is claimed.
    let kept = length.min(kept());
    let mut body = Vec::with_capacity(kept.min(LIKELY_RESPONSE));
    let mut claimed = reader.take(length as u64);
    let mut first = (&mut claimed).take(kept as u64);
    first.read_to_end(&mut body).await.map_err(read)?;
    let rest = tokio::io::copy(&mut claimed, &mut tokio::io::sink()).await;
    rest.map_err(read)?;
    match claimed.limit() {
        0 => Ok(Bytes::from(body)),
        _ => Err(hung_up()),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
