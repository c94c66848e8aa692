//! The few calls of librdkafka that the rdkafka crate does not wrap: admin requests that are
//! answered on one queue, many at a time.
//!
//! All unsafe code of this backend is in this folder. The shape that makes it safe:
//! - one thread polls the handle's main queue and alone touches events; what it hands on is owned;
//! - a request is known to librdkafka by a number, never by a pointer, so that a late answer to a
//!   request that nobody waits for any more finds nothing and harms nothing;
//! - the handle is destroyed by that thread after its last poll: `rd_kafka_destroy` blocks.

#![expect(unsafe_code, reason = "librdkafka is a C library")]

mod events;
mod requests;

use std::{
    collections::HashMap,
    ffi::{CString, c_char},
    sync::{Arc, atomic::AtomicUsize, mpsc},
};

use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, bindings as sys,
    error::{KafkaError, KafkaResult},
    types::{RDKafkaErrorCode as Code, RDKafkaRespErr, RDKafkaType},
};
use tokio::sync::oneshot;

use events::{c_string, text};

/// What librdkafka says of itself: called on the polling thread, so it must not block.
pub trait Listener: Send + Sync + 'static {
    /// A broker or the whole cluster is in trouble.
    fn trouble(&self, failure: Failure);
    /// A line of librdkafka's log.
    fn log(&self, level: i32, facility: &str, line: &str);
    /// A token is wanted for SASL OAUTHBEARER.
    fn token_wanted(&self);
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub text: String,
}

/// An offset of a partition, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    pub topic: Arc<str>,
    pub partition: i32,
    /// Negative values are librdkafka's: −1001 is no offset.
    pub offset: i64,
    pub error: Option<Code>,
}

/// A topic as the cluster's metadata has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// Partitions with the broker that leads each, if one does.
    pub partitions: Result<Vec<(i32, Option<i32>)>, Failure>,
}

/// What a request was answered.
#[derive(Debug)]
pub enum Answer {
    Offsets(Vec<Offset>),
    Topics(Vec<Described>),
    /// The cluster is there.
    Cluster,
}

/// Which end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first offset that retention left.
    Start,
    /// The offset after the last message.
    Latest { committed_only: bool },
}

/// A librdkafka handle with its polling thread. Dropping it blocks nobody.
pub struct Handle {
    /// `None` only while it is dropped.
    shared: Option<Arc<Shared>>,
    /// Takes the last reference to the thread that may destroy the handle.
    farewell: mpsc::Sender<Arc<Shared>>,
}

struct Shared {
    // Before `client`: a queue must go before its handle.
    queue: Queue,
    client: Client,
    waiting: Mutex<HashMap<usize, oneshot::Sender<Result<Answer, Failure>>>>,
    last_request: AtomicUsize,
    listener: Arc<dyn Listener>,
}

/// The handle itself. Not the crate's own `Client`, which leaks a queue each time it is made: that
/// adds up where a server is down and is tried again and again.
struct Client(*mut sys::rd_kafka_t);

// SAFETY: "The librdkafka API is thread-safe" (librdkafka's INTRODUCTION.md).
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: the pointer is from rd_kafka_new, and every reference to a queue of it is gone
        // (order of Shared's fields).
        unsafe { sys::rd_kafka_destroy(self.0) }
    }
}

impl Client {
    fn native_ptr(&self) -> *mut sys::rd_kafka_t {
        self.0
    }
}

struct Queue(*mut sys::rd_kafka_queue_t);

// SAFETY: librdkafka's queues are thread-safe ("The librdkafka API is thread-safe", INTRODUCTION.md).
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the pointer is from rd_kafka_queue_get_main, which gave us a reference of our own.
        unsafe { sys::rd_kafka_queue_destroy(self.0) }
    }
}

impl Handle {
    /// Makes a handle and starts its thread. Blocks for the time that TLS set-up takes.
    pub fn new(config: &ClientConfig, listener: Arc<dyn Listener>) -> KafkaResult<Self> {
        let native = config.create_native_config()?;
        let events = sys::RD_KAFKA_EVENT_ERROR | sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;
        let mut reason = [0 as c_char; 512];
        // SAFETY: `native` lives until rd_kafka_new has taken it over, which it does unless it
        // fails; the buffer's size is its own.
        let client = unsafe {
            sys::rd_kafka_conf_set_events(native.ptr(), events);
            let kind = RDKafkaType::RD_KAFKA_CONSUMER;
            let (buffer, size) = (reason.as_mut_ptr(), reason.len());
            let client = sys::rd_kafka_new(kind, native.ptr(), buffer, size);
            if client.is_null() {
                return Err(KafkaError::ClientCreation(text(reason.as_ptr())));
            }
            std::mem::forget(native);
            Client(client)
        };
        // SAFETY: the client is alive, and outlives the queue (order of Shared's fields).
        let queue = unsafe {
            let queue = Queue(sys::rd_kafka_queue_get_main(client.0));
            sys::rd_kafka_set_log_queue(client.0, queue.0);
            queue
        };
        let shared = Arc::new(Shared {
            queue,
            client,
            waiting: Mutex::default(),
            last_request: AtomicUsize::new(0),
            listener,
        });
        let (farewell, farewells) = mpsc::channel();
        let polled = shared.clone();
        std::thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || {
                while matches!(farewells.try_recv(), Err(mpsc::TryRecvError::Empty)) {
                    polled.poll();
                }
                farewells.iter().for_each(drop);
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Handle {
            shared: Some(shared),
            farewell,
        })
    }

    fn shared(&self) -> &Arc<Shared> {
        self.shared.as_ref().expect("is taken by drop alone")
    }

    /// Gives the token that [`Listener::token_wanted`] asked for; `expires` in milliseconds since
    /// the Unix epoch.
    pub fn set_token(
        &self,
        token: &str,
        principal: &str,
        expires: i64,
        extensions: &[(String, String)],
    ) -> Result<(), String> {
        let (token, principal) = (c_string(token), c_string(principal));
        let pairs = extensions.iter().flat_map(|(key, value)| [key, value]);
        let pairs: Vec<CString> = pairs.map(|text| c_string(text)).collect();
        let mut pointers: Vec<*const c_char> = pairs.iter().map(|text| text.as_ptr()).collect();
        let mut reason = [0 as c_char; 512];
        // SAFETY: every pointer outlives the call, which copies; the buffer's size is its own.
        unsafe {
            let error = sys::rd_kafka_oauthbearer_set_token(
                self.shared().client.native_ptr(),
                token.as_ptr(),
                expires,
                principal.as_ptr(),
                pointers.as_mut_ptr(),
                pointers.len(),
                reason.as_mut_ptr(),
                reason.len(),
            );
            match error {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
                _ => Err(text(reason.as_ptr())),
            }
        }
    }

    /// Says why there is no token. librdkafka asks again after a while.
    pub fn set_token_failure(&self, reason: &str) {
        let reason = c_string(reason);
        // SAFETY: both are alive during the call, which copies the text.
        unsafe {
            let rk = self.shared().client.native_ptr();
            sys::rd_kafka_oauthbearer_set_token_failure(rk, reason.as_ptr());
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        // Twice, so that the queue is alive while it is woken and yet the thread gets the last
        // reference. If the thread is gone, the references come back and are dropped here.
        let _ = self.farewell.send(shared.clone());
        // SAFETY: `shared` keeps the queue alive.
        unsafe { sys::rd_kafka_queue_yield(shared.queue.0) };
        let _ = self.farewell.send(shared);
    }
}
