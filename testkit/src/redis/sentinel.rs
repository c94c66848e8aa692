//! Redis with a replica, under Sentinel.

use tokio::time::Instant;

use super::{ADMIN, Builder, Mode, Redis, rest};

/// A master, its replica, and three sentinels that start a failover 1 s after the master is lost.
pub struct Sentinel {
    pub servers: Vec<Redis>,
    pub sentinels: Vec<Redis>,
}

impl Sentinel {
    pub const MASTER_NAME: &str = "mymaster";

    pub async fn start() -> Self {
        Self::start_with(Redis::builder(), Redis::builder()).await
    }

    /// Configures master and replica by `server`, and the sentinels by `sentinel`. TLS is for both
    /// or for neither: sentinels that serve TLS expect it of the servers.
    ///
    /// On return the sentinels know the replica and one another.
    pub async fn start_with(server: Builder, sentinel: Builder) -> Self {
        let servers = replicated(server).await;
        let mut sentinel = sentinel.config(monitor(&servers[0]));
        sentinel.mode = Mode::Sentinel;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let new = sentinel.clone().start().await;
            // They find one another by what they publish, by default every 2 s.
            new.command(&["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "100"])
                .await;
            sentinels.push(new);
        }
        let started = Instant::now();
        for sentinel in &sentinels {
            while !sentinel
                .says(&["INFO", "sentinel"], "slaves=1,sentinels=3")
                .await
            {
                rest(started, "The sentinels do not find one another", &sentinels).await;
            }
        }
        Self { servers, sentinels }
    }

    /// Where the sentinels are.
    pub fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(Redis::address).collect()
    }

    /// The server that all running sentinels call the master; waits for a failover to end.
    pub async fn master(&self) -> &Redis {
        let started = Instant::now();
        loop {
            for server in &self.servers {
                if self.is_master(server).await {
                    return server;
                }
            }
            rest(started, "There is no master", &self.sentinels).await;
        }
    }

    async fn is_master(&self, server: &Redis) -> bool {
        let named = format!("address={},", server.address());
        for sentinel in self
            .sentinels
            .iter()
            .filter(|sentinel| sentinel.pid().is_some())
        {
            if !sentinel.says(&["INFO", "sentinel"], &named).await {
                return false;
            }
        }
        server.says(&["INFO", "replication"], "role:master").await
    }
}

async fn replicated(server: Builder) -> Vec<Redis> {
    let master = server.clone().start().await;
    let replica = server.config(format!("replicaof 127.0.0.1 {}", master.port));
    let servers = vec![master, replica.start().await];
    let started = Instant::now();
    while !servers[0]
        .says(&["INFO", "replication"], "state=online")
        .await
    {
        rest(started, "The replica does not follow its master", &servers).await;
    }
    servers
}

/// The lines of a sentinel's configuration that make it watch `master`.
fn monitor(master: &Redis) -> String {
    let (name, port) = (Sentinel::MASTER_NAME, master.port);
    format!(
        "sentinel monitor {name} 127.0.0.1 {port} 2\n\
         sentinel down-after-milliseconds {name} 1000\n\
         sentinel failover-timeout {name} 5000\n\
         sentinel auth-user {name} {ADMIN}\n\
         sentinel auth-pass {name} any\n\
         sentinel sentinel-user {ADMIN}\n\
         sentinel sentinel-pass any"
    )
}
