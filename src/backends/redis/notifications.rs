//! Keyspace notifications: where a server has them on, a push trigger hears of new work at once.
//!
//! They are never switched on from here, and nothing depends on them: pushed queries are read at
//! their interval in any case.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt;
use redis::{ErrorKind, Msg, RedisError, ServerErrorKind, Value, aio::PubSubSink};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::{client::SingleServer, config::Redis, errors::no_response, query::Query};
use crate::sampling::{PushedQueries, QueriedName};

/// How long the server has for each request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A server without notifications may get them.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// A silent connection may be dead.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Streams open one after the other: their keys are subscribed to together.
const COLLECT: Duration = Duration::from_millis(50);
/// Keys of one SUBSCRIBE.
const KEYS_AT_ONCE: usize = 1_000;
/// A query of more keys is left to its interval.
const MOST_KEYS: usize = 1_000;
/// What a key of a queue may be: list, set, sorted set, hash, stream, or all of them.
const CLASSES: [char; 6] = ['l', 's', 'z', 'h', 't', 'A'];

/// The channels of the pushed queries.
type Channels = HashMap<String, Vec<Arc<Query>>>;

/// Reports the changes of pushed queries, until the server refuses its notifications.
pub async fn watch(server: &SingleServer, pushed: &PushedQueries<'_, Redis>) {
    let mut backoff = backoff();
    loop {
        while channels(server, pushed).is_empty() {
            pushed.changed().await;
        }
        let started = Instant::now();
        let (outcome, refused) = match enabled(server).await {
            Ok(true) => {
                let outcome = forward(server, pushed).await;
                let refused = outcome.as_ref().is_err_and(is_forbidden);
                (outcome, refused)
            }
            Ok(false) => {
                sleep(CHECK_EVERY).await;
                continue;
            }
            Err(error) => {
                let refused = is_forbidden(&error) || is_unknown(&error);
                (Err(error), refused)
            }
        };
        let Err(error) = outcome else { continue };
        let error = server.connector.error(&error);
        debug!(server = %server.address, "no keyspace notifications: {error}");
        if refused {
            return;
        }
        if started.elapsed() > CHECK_EVERY {
            backoff = self::backoff();
        }
        sleep(backoff.next().unwrap_or(CHECK_EVERY)).await;
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(CHECK_EVERY)
        .without_max_times()
        .with_jitter()
        .build()
}

/// The user has no right to this.
fn is_forbidden(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}

/// The server does not know this command, as managed ones rename it.
fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
}

/// Whether the server notifies of changes by the name of the key.
async fn enabled(server: &SingleServer) -> Result<bool, RedisError> {
    let mut request = redis::cmd("CONFIG");
    request.arg("GET").arg("notify-keyspace-events");
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let reply = server.server.command(request, deadline).await?;
    let settings: HashMap<String, String> = redis::from_redis_value(reply)?;
    let flags = settings.values().next().map_or("", String::as_str);
    Ok(flags.contains('K') && flags.contains(CLASSES))
}

/// Subscribes to the keys of pushed queries, and reports each event. Ends when no query is left.
async fn forward(
    server: &SingleServer,
    pushed: &PushedQueries<'_, Redis>,
) -> Result<(), RedisError> {
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let connector = &server.connector;
    let opened = connector.open_pub_sub(&server.address, server.database, deadline);
    let (pub_sub, allowance) = opened.await?;
    let (mut sink, mut messages) = pub_sub.split();
    let mut subscribed = Channels::new();
    loop {
        let wanted = channels(server, pushed);
        if wanted.is_empty() {
            return Ok(());
        }
        change(&mut sink, &subscribed, &wanted).await?;
        subscribed = wanted;
        let mut changed = pin!(async {
            pushed.changed().await;
            sleep(COLLECT).await;
        });
        loop {
            tokio::select! {
                message = messages.next() => {
                    let message = message.ok_or_else(closed)?;
                    allowance.renew();
                    report(&message, &subscribed, pushed);
                }
                () = &mut changed => break,
                () = sleep(PING_EVERY) => {
                    within(sink.ping::<Value>()).await?;
                }
            }
        }
    }
}

/// Subscribes to what is wanted, and to nothing else.
async fn change(sink: &mut PubSubSink, from: &Channels, to: &Channels) -> Result<(), RedisError> {
    let added: Vec<&String> = to.keys().filter(|name| !from.contains_key(*name)).collect();
    for names in added.chunks(KEYS_AT_ONCE) {
        within(sink.subscribe(names)).await?;
    }
    let removed: Vec<&String> = from.keys().filter(|name| !to.contains_key(*name)).collect();
    for names in removed.chunks(KEYS_AT_ONCE) {
        within(sink.unsubscribe(names)).await?;
    }
    Ok(())
}

fn report(message: &Msg, subscribed: &Channels, pushed: &PushedQueries<'_, Redis>) {
    let queries = subscribed.get(message.get_channel_name());
    for query in queries.into_iter().flatten() {
        pushed.notify(query);
    }
}

/// The channels of the keys that pushed queries name. Those that globs match are not known.
fn channels(server: &SingleServer, pushed: &PushedQueries<'_, Redis>) -> Channels {
    let mut channels = Channels::new();
    for query in pushed.all() {
        let names = query.names();
        if names.len() > MOST_KEYS {
            continue;
        }
        for name in names {
            if let QueriedName::Exact(key) = name {
                let channel = format!("__keyspace@{}__:{key}", server.database);
                channels.entry(channel).or_default().push(query.clone());
            }
        }
    }
    channels
}

fn closed() -> RedisError {
    (ErrorKind::Io, "the server closed the connection").into()
}

async fn within<T>(request: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    let outcome = timeout(REQUEST_TIMEOUT, request).await;
    outcome.unwrap_or_else(|_| Err(no_response(REQUEST_TIMEOUT)))
}
