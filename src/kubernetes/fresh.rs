//! Objects that a watch has not delivered yet, read by themselves. The rate is limited: callers
//! choose the names.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::{client::ApiServer, errors::Request, object::ObjectId};
use crate::error::{Error, Kind, Result};

/// The same object is not read again for this long.
const EACH: Duration = Duration::from_secs(5);

/// Reads in each second: KEDA's own limit for all its requests (`--kube-api-qps`).
const PER_SECOND: usize = 20;

/// Single reads of KEDA's objects.
#[derive(Default)]
pub struct FreshReads(Mutex<Reads>);

#[derive(Default)]
struct Reads {
    last: HashMap<ObjectId, Instant>,
    second: Option<Instant>,
    in_second: usize,
}

impl FreshReads {
    /// The object as it is now. `None`: there is none, or it was read a moment ago.
    pub async fn read(&self, api: &ApiServer, id: &ObjectId) -> Result<Option<Value>> {
        if !self.admit(id)? {
            return Ok(None);
        }
        let Some(body) = api.get(id).await? else {
            return Ok(None);
        };
        let object = serde_json::from_slice(&body);
        let unreadable = |_| Request::of("get", id).unreadable("cannot be parsed");
        object.map(Some).map_err(unreadable)
    }

    fn admit(&self, id: &ObjectId) -> Result<bool> {
        let mut reads = self.0.lock();
        let Reads {
            last,
            second,
            in_second,
        } = &mut *reads;
        let recent = |at: &Instant| at.elapsed() < EACH;
        if last.get(id).is_some_and(recent) {
            return Ok(false);
        }
        if second.is_none_or(|second| second.elapsed() >= Duration::from_secs(1)) {
            // The map holds what was read within `EACH`, which the limit bounds.
            last.retain(|_, at| recent(at));
            (*second, *in_second) = (Some(Instant::now()), 0);
        }
        if *in_second >= PER_SECOND {
            return Err(Error::new(
                Kind::Exhausted,
                format!(
                    "{id} is not known yet, and {PER_SECOND} such objects were read in this second"
                ),
                "The next call finds it, if it exists.",
            ));
        }
        *in_second += 1;
        last.insert(id.clone(), Instant::now());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::object::Resource;

    #[tokio::test(start_paused = true)]
    async fn reads_are_few() {
        let id = |i: usize| {
            let name = format!("worker-{i}");
            ObjectId::new(Resource::ScaledObjects, Some("shop"), &name).unwrap()
        };
        let reads = FreshReads::default();
        assert_eq!(reads.admit(&id(0)), Ok(true));
        assert_eq!(reads.admit(&id(0)), Ok(false), "the same one");
        let admitted = (1..100).filter(|i| reads.admit(&id(*i)).is_ok()).count();
        assert_eq!(admitted, PER_SECOND - 1);
        tokio::time::advance(EACH).await;
        assert_eq!(reads.admit(&id(0)), Ok(true));
        assert_eq!(reads.0.lock().last.len(), 1, "old ones are evicted");
    }
}
