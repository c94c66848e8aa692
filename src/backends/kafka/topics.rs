//! Which topics a cluster has, and which broker leads each partition. Remembered for a while, and
//! asked anew when something does not fit.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use super::{
    client::left,
    errors,
    native::{Answer, Failure, Handle},
    query,
};
use crate::error::{Error, Kind, Result};

/// How long topics are believed: a new partition, or a new topic that a regex matches, counts this
/// late at most.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// More topics than this are no longer one trigger's business.
const MOST_TOPICS: usize = 10_000;

/// A topic's partitions: by number, the broker that leads it.
pub type Leaders = Vec<(i32, Option<i32>)>;

/// What is known of a cluster's topics.
#[derive(Default)]
pub struct Topics {
    described: Mutex<HashMap<String, (Instant, Arc<Leaders>)>>,
    listed: Mutex<Option<(Instant, Arc<Vec<String>>)>>,
}

impl Topics {
    /// The partitions of topics, each with its own outcome.
    pub async fn describe(
        &self,
        handle: &Arc<Handle>,
        names: &BTreeSet<&str>,
        limit: Duration,
    ) -> HashMap<String, Result<Arc<Leaders>>> {
        let mut known = HashMap::with_capacity(names.len());
        let mut asked = Vec::new();
        {
            let mut described = self.described.lock();
            described.retain(|_, (at, _)| at.elapsed() < REMEMBERED_FOR);
            for name in names {
                match described.get(*name) {
                    Some((_, leaders)) => {
                        known.insert((*name).to_owned(), Ok(leaders.clone()));
                    }
                    None => asked.push(*name),
                }
            }
        }
        if asked.is_empty() {
            return known;
        }
        match ask(handle, &asked, limit).await {
            Ok(Answer::Topics(topics)) => {
                for topic in topics {
                    let leaders = topic.partitions.map(Arc::new);
                    let leaders = leaders.map_err(|e| errors::of_topic(&topic.name, &e));
                    if let Ok(leaders) = &leaders {
                        self.remember(&topic.name, leaders);
                    }
                    known.insert(topic.name, leaders);
                }
            }
            Ok(_) => {}
            Err(failure) => {
                for name in asked {
                    known.insert(name.to_owned(), Err(errors::of_topic(name, &failure)));
                }
            }
        }
        known
    }

    /// A partition without a leader may have one in a moment: such a topic is asked again.
    fn remember(&self, name: &str, leaders: &Arc<Leaders>) {
        if leaders.iter().all(|(_, leader)| leader.is_some()) {
            let entry = (Instant::now(), leaders.clone());
            self.described.lock().insert(name.to_owned(), entry);
        }
    }

    /// Something did not fit: these are asked anew.
    pub fn forget<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut described = self.described.lock();
        names.for_each(|name| {
            described.remove(name);
        });
    }

    /// The topics that match a regex. None is an error: a regex with a slip must not read as 0.
    pub async fn matching(
        &self,
        handle: &Arc<Handle>,
        regex: &str,
        limit: Duration,
    ) -> Result<Vec<String>> {
        let all = self.list(handle, limit).await?;
        let compiled = query::compile(regex)
            .map_err(|error| Error::new(Kind::Invalid, format!("topics: {regex}: {error}"), ""))?;
        // Kafka's own topics match only who asks for them.
        let internal = regex.starts_with("^__");
        let matching = all
            .iter()
            .filter(|name| (internal || !name.starts_with("__")) && compiled.is_match(name));
        let matching: Vec<String> = matching.cloned().collect();
        match matching.len() {
            0 => Err(Error::new(
                Kind::NotFound,
                format!("no topic matches {regex}"),
                "Check the regex; a user without the right to DESCRIBE a topic does not see it.",
            )),
            1..=MOST_TOPICS => Ok(matching),
            _ => Err(Error::new(
                Kind::Exhausted,
                format!("more than {MOST_TOPICS} topics match {regex}"),
                "Use a narrower regex; a partial sum would be wrong.",
            )),
        }
    }

    async fn list(&self, handle: &Arc<Handle>, limit: Duration) -> Result<Arc<Vec<String>>> {
        if let Some((at, topics)) = &*self.listed.lock()
            && at.elapsed() < REMEMBERED_FOR
        {
            return Ok(topics.clone());
        }
        let asked = handle.clone();
        let listed = tokio::task::spawn_blocking(move || asked.all_topics(limit)).await;
        let failed = |what: String| {
            let next = "Check that the brokers answer.";
            Error::new(
                Kind::Unreachable,
                format!("the list of topics: {what}"),
                next,
            )
        };
        let names = listed
            .map_err(|error| failed(error.to_string()))?
            .map_err(|code| failed(code.to_string()))?;
        let names = Arc::new(names);
        *self.listed.lock() = Some((Instant::now(), names.clone()));
        Ok(names)
    }
}

/// The part of the time after which topics are asked for once more.
const ONE_TRY: f64 = 0.5;

/// Asks which partitions topics have. librdkafka asks the broker that its metadata call the
/// controller, and when that one has died it waits for it: metadata that come from another broker
/// name a new one.
async fn ask(handle: &Arc<Handle>, names: &[&str], limit: Duration) -> Result<Answer, Failure> {
    let deadline = Instant::now() + limit;
    let first = handle.describe_topics(names, limit.mul_f64(ONE_TRY));
    match first.answer().await {
        Err(failure) if failure.code == Code::OperationTimedOut => {}
        answer => return answer,
    }
    let (refreshed, patience) = (handle.clone(), left(deadline).mul_f64(ONE_TRY));
    let refresh = tokio::task::spawn_blocking(move || refreshed.refresh_leaders(patience));
    // If it fails, so does the next try, which says why.
    let _ = refresh.await;
    handle.describe_topics(names, left(deadline)).answer().await
}

/// Whether another try may find the partition: its leader has moved or gone.
pub fn may_have_moved(failure: &Failure) -> bool {
    !matches!(
        failure.code,
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed
    )
}
