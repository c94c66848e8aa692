//! Peers that break protocols: clients of our server, and servers that triggers name. Another
//! caller gets its value meanwhile, and memory stays bounded.

mod http2;
mod leaks;
mod lying_kafka;
mod lying_redis;
mod lying_temporal;

use std::{io, time::Duration};

use backlog_scaler::keda::proto::ScaledObjectRef;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use testkit::{redis::Redis, scaler};

use crate::program::{HANGS, Program};

/// A server that treats every connection alike. Ends when it is dropped.
struct Fake {
    address: String,
    accepting: JoinHandle<()>,
}

impl Fake {
    async fn start<F>(behave: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                connections.spawn(behave(stream));
            }
        });
        Fake { address, accepting }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Sends bytes one by one, slowly and without end.
async fn trickle(stream: &mut (impl AsyncWrite + Unpin), byte: u8) -> io::Result<()> {
    loop {
        stream.write_all(&[byte]).await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends bytes again and again, as fast as they are taken.
async fn pour(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let many = bytes.repeat(64 * 1024 / bytes.len());
    loop {
        stream.write_all(&many).await?;
    }
}

/// A deadline that passes soon, for servers that let it pass.
const SHORT: &str = "engine: {callTimeout: 500ms, firstCallTimeout: 500ms}";

/// Evaluates a trigger some times: each is an error, or the value that the server did send.
async fn assert_error_or(program: &Program, trigger: &ScaledObjectRef, sent: f64, lie: &str) {
    for _ in 0..3 {
        match program.evaluate(trigger).await {
            Ok(evaluation) => assert_eq!(evaluation.value, sent, "{lie}: {evaluation:?}"),
            Err(error) => assert!(
                (1..4096).contains(&error.message().len()),
                "{lie}: {error:?}"
            ),
        }
    }
    program.assert_memory_is_bounded();
}

/// Evaluates a trigger some times: each is an error.
async fn assert_errors(program: &Program, trigger: &ScaledObjectRef, lie: &str) {
    // No value is this one.
    assert_error_or(program, trigger, f64::NAN, lie).await;
}

/// A Redis with a list of seven, and the trigger on it that is always to have its value.
struct Honest {
    _redis: Redis,
    trigger: ScaledObjectRef,
}

impl Honest {
    async fn start() -> Self {
        let redis = Redis::start().await;
        redis.rpush("jobs", 7).await;
        let trigger = scaler::trigger([
            ("backend", "redis"),
            ("address", &redis.address()),
            ("listName", "jobs"),
            // Every call reads anew, and no error is replaced by an older value.
            ("freshFor", "0"),
            ("maxStaleness", "0"),
        ]);
        Honest {
            _redis: redis,
            trigger,
        }
    }

    async fn assert_served(&self, program: &Program) {
        let evaluation = program.evaluate(&self.trigger).await;
        let evaluation = evaluation.unwrap_or_else(|error| panic!("{error}\n{}", program.log()));
        assert_eq!(evaluation.value, 7.0);
    }

    /// Checks that the trigger has its value before an attack, throughout it, and after it, and
    /// that memory stayed bounded.
    async fn assert_served_during<T>(
        &self,
        program: &Program,
        attack: impl Future<Output = T>,
    ) -> T {
        self.assert_served(program).await;
        let mut attack = std::pin::pin!(attack);
        let outcome = loop {
            tokio::select! {
                outcome = &mut attack => break outcome,
                () = self.assert_served(program) => {}
            }
        };
        self.assert_served(program).await;
        program.assert_memory_is_bounded();
        outcome
    }
}
