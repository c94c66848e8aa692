//! A live connection: runs commands in one round trip, each with its own outcome.

use redis::{
    Cmd, Pipeline, RedisError, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};

use super::{
    cluster::Cluster,
    connection::Connection,
    errors::{connection_error, is_of_connection},
    key_scan::Globs,
    lists::Types,
};
use crate::error::Result;

/// A live connection, with what it learned.
pub struct Client {
    servers: Servers,
    connection: Connection,
    /// Which keys are not lists.
    pub(super) types: Types,
    /// Which keys match which glob.
    pub(super) globs: Globs,
}

enum Servers {
    Single(MultiplexedConnection),
    Cluster(Cluster),
}

/// A command that concerns one key.
#[derive(Clone)]
pub struct Command<'a> {
    pub name: &'static str,
    pub key: &'a str,
    subcommand: Option<&'static str>,
    /// What comes after the key; mostly nothing.
    args: Vec<Vec<u8>>,
}

impl<'a> Command<'a> {
    /// `NAME key`.
    pub fn new(name: &'static str, key: &'a str) -> Self {
        Command {
            name,
            key,
            subcommand: None,
            args: Vec::new(),
        }
    }

    /// `NAME SUBCOMMAND key`.
    pub fn with_subcommand(name: &'static str, subcommand: &'static str, key: &'a str) -> Self {
        Command {
            subcommand: Some(subcommand),
            ..Command::new(name, key)
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl redis::ToRedisArgs) -> Self {
        self.args.extend(arg.to_redis_args());
        self
    }

    /// In the client library's form.
    pub(super) fn cmd(&self) -> Cmd {
        // Room for a name and a key at once: a batch is thousands of these.
        let mut cmd = Cmd::with_capacity(2, self.name.len() + self.key.len());
        cmd.arg(self.name);
        if let Some(subcommand) = self.subcommand {
            cmd.arg(subcommand);
        }
        cmd.arg(self.key).arg(&self.args);
        cmd
    }
}

/// What a command answered: its own error leaves the others alone.
pub type Reply = Result<Value, RedisError>;

impl Client {
    pub fn single(server: MultiplexedConnection, connection: Connection) -> Self {
        Client::new(Servers::Single(server), connection)
    }

    pub fn cluster(cluster: Cluster, connection: Connection) -> Self {
        Client::new(Servers::Cluster(cluster), connection)
    }

    fn new(servers: Servers, connection: Connection) -> Self {
        Client {
            servers,
            connection,
            types: Types::default(),
            globs: Globs::default(),
        }
    }

    /// Runs the commands in one round trip a server. `Err` means that the connection is lost.
    pub async fn run(&self, commands: &[Command<'_>]) -> Result<Vec<Reply>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let replies = match &self.servers {
            Servers::Single(server) => pipeline(server.clone(), commands).await,
            Servers::Cluster(cluster) => cluster.run(commands).await,
        };
        let replies = replies.map_err(|error| connection_error(&error, &self.connection))?;
        match replies
            .iter()
            .find_map(|reply| reply.as_ref().err().filter(|e| is_of_connection(e)))
        {
            // A cluster loses single nodes: the keys of the others are still answered.
            Some(error) if matches!(self.servers, Servers::Single(_)) => {
                Err(connection_error(error, &self.connection))
            }
            _ => Ok(replies),
        }
    }

    /// One page of a scan on every server: the keys found, by server, and the next cursors.
    pub async fn scan_page(
        &self,
        glob: &str,
        cursors: Option<Vec<u64>>,
    ) -> Result<(Vec<String>, Vec<u64>)> {
        let page = match &self.servers {
            Servers::Single(server) => {
                let cursor = cursors.and_then(|c| c.first().copied()).unwrap_or(0);
                let page: Result<(u64, Vec<String>), RedisError> =
                    scan(glob, cursor).query_async(&mut server.clone()).await;
                page.map(|(cursor, keys)| (keys, vec![cursor]))
            }
            Servers::Cluster(cluster) => cluster.scan_page(glob, cursors).await,
        };
        page.map_err(|error| match is_of_connection(&error) {
            true => connection_error(&error, &self.connection),
            false => super::errors::command_error(&error, "SCAN", glob),
        })
    }

    /// What an error of one command means, in our words.
    pub fn error(&self, error: &RedisError, command: &Command<'_>) -> crate::error::Error {
        match is_of_connection(error) {
            true => connection_error(error, &self.connection),
            false => super::errors::command_error(error, command.name, command.key),
        }
    }
}

/// Keys that one SCAN call looks at: large enough for few round trips, small enough to hold up
/// the server for well under a millisecond.
const SCAN_COUNT: u64 = 1000;

/// One page of a scan.
pub(super) fn scan(glob: &str, cursor: u64) -> Cmd {
    let mut cmd = redis::cmd("SCAN");
    cmd.arg(cursor)
        .arg("MATCH")
        .arg(glob)
        .arg("COUNT")
        .arg(SCAN_COUNT);
    cmd
}

/// Sends the commands as one pipeline.
async fn pipeline(
    mut server: MultiplexedConnection,
    commands: &[Command<'_>],
) -> Result<Vec<Reply>, RedisError> {
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(command.cmd());
    }
    let values = server
        .req_packed_commands(&pipeline, 0, commands.len())
        .await?;
    Ok(values.into_iter().map(Value::extract_error).collect())
}
