//! A live connection: the requests of its batches, and those that no call waits for.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::{
    channel, config::Connection, query::QueueType, rate_limiter::Priority,
    request_executor::RequestContext, requests::Requests, server_version::ServerVersion,
};
use crate::{error::Result, network::Network};

/// The most idle reads that wait. One that finds no room is planned again later.
const IDLE_READS: usize = 10_000;
/// How long an idle read waits for its turn. No call waits for it, so no deadline bounds it; it ends
/// with the client.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A live connection.
pub struct Client {
    pub(super) requests: Arc<Requests>,
    idle_reads: mpsc::Sender<(String, QueueType)>,
    _idle_task: DropGuard,
}

impl Client {
    /// Connects, and proves that the namespace can be read.
    pub async fn connect(
        connection: &Connection,
        network: &Network,
        deadline: Instant,
    ) -> Result<Self> {
        let (service, server) = channel::open(connection, network, deadline).await?;
        report(connection, &server);
        let requests = Arc::new(Requests::new(service, connection.clone(), server));
        let (idle_reads, queue) = mpsc::channel(IDLE_READS);
        let closed = CancellationToken::new();
        let idle_task = execute_idle_reads(requests.clone(), queue);
        tokio::spawn(closed.clone().run_until_cancelled_owned(idle_task));
        Ok(Client {
            requests,
            idle_reads,
            _idle_task: closed.drop_guard(),
        })
    }

    /// Has a queue read when there is time, to find out whether it is in use.
    pub fn read_when_idle(&self, queue: &str, queue_type: QueueType) {
        let _ = self.idle_reads.try_send((queue.to_owned(), queue_type));
    }
}

/// Logs what the operator should know of a new connection, once.
fn report(connection: &Connection, server: &ServerVersion) {
    info!(%connection, %server, "connected");
    if connection.api_key.is_some() && connection.tls.is_none() {
        warn!(
            %connection,
            "the API key is sent unencrypted (tls: disable): only for networks that encrypt by themselves"
        );
    }
    if let Some(caveat) = server.caveat() {
        warn!(%connection, %server, "{caveat}");
    }
}

/// Executes idle reads one after the other. A failure shows when a call waits for the same queue.
async fn execute_idle_reads(
    requests: Arc<Requests>,
    mut queue: mpsc::Receiver<(String, QueueType)>,
) {
    while let Some((name, queue_type)) = queue.recv().await {
        let context = RequestContext {
            priority: Priority::Idle,
            namespace: "",
            deadline: Instant::now() + IDLE_TIMEOUT,
        };
        let _ = requests.queue(&name, queue_type, context).await;
    }
}

#[cfg(test)]
mod tests;
