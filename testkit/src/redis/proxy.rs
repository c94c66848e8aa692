//! A way to a Redis that can be made slow, and that counts its connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::Redis;

/// Forwards to a Redis. What the server sends is held back for a while, chunk by chunk.
pub struct Proxy {
    pub address: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    delay_ms: AtomicU64,
    connections: AtomicUsize,
}

impl Proxy {
    pub async fn start(redis: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (state, server) = (Arc::new(State::default()), redis.address());
        let accepting = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::Relaxed);
                let server = TcpStream::connect(&server).await.expect("a running server");
                tokio::spawn(forward(client, server, accepting.clone()));
            }
        });
        Proxy {
            address,
            state,
            task,
        }
    }

    /// From now on each chunk of a response comes this much later.
    pub fn delay(&self, delay: Duration) {
        let ms = delay.as_millis() as u64;
        self.state.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// How many connections there were in all.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, server: TcpStream, state: Arc<State>) {
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut server_reads, mut server_writes) = server.into_split();
    let requests = async {
        let _ = copy(&mut client_reads, &mut server_writes).await;
    };
    let responses = async {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = server_reads.read(&mut chunk).await {
            let delay = state.delay_ms.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(delay)).await;
            if client_writes.write_all(&chunk[..length]).await.is_err() {
                break;
            }
        }
    };
    // Either end closes both.
    tokio::select! {
        () = requests => {}
        () = responses => {}
    }
}
