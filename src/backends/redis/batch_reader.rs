//! What the reads of a connection share: the client, and what is cached.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    client::Client,
    key_scan::KeyScans,
    lists::KeyTypes,
    long_reads::Permits,
    query::{Count, PendingQuery},
    read_rates::GroupRates,
};
use crate::{error::Result, sampling::Measured};

/// An open connection with its caches, which long reads share with the batches.
pub struct BatchReader {
    pub client: Client,
    pub types: KeyTypes,
    pub scans: KeyScans,
    pub permits: Arc<Permits>,
    /// Shared with the connections after this one.
    pub rates: Arc<GroupRates>,
}

impl BatchReader {
    pub fn new(client: Client, rates: Arc<GroupRates>) -> Self {
        let permits = Arc::new(Permits::default());
        BatchReader {
            client,
            types: KeyTypes::default(),
            scans: KeyScans::new(permits.clone()),
            permits,
            rates,
        }
    }
}

/// Completes a query with what was counted; `at` is when its request was sent.
pub fn complete(query: PendingQuery, at: Instant, count: Result<Count>) {
    query.complete(count.map(|sample| Measured { sample, at }));
}
