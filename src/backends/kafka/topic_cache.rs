//! Which topics a cluster has, and which broker leads each partition. Remembered for a while, and
//! asked anew when something does not fit.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    cluster::Cluster,
    errors,
    protocol::{Failure, Topic},
    query,
};
use crate::error::{Error, Kind, Result};

/// How long topics are believed: a new partition, or a new topic that a regex matches, counts this
/// late at most.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// More topics than this are no longer one trigger's business.
const MOST_TOPICS: usize = 10_000;

/// A topic's partitions in ascending order, each with the broker that leads it.
pub type Leaders = Vec<(i32, Option<i32>)>;

/// What is known of a cluster's topics.
#[derive(Default)]
pub struct Topics {
    described: Mutex<HashMap<String, (Instant, Arc<Leaders>)>>,
    listed: Mutex<Option<(Instant, Arc<Vec<String>>)>>,
}

impl Topics {
    /// The partitions of topics, each with its own outcome. A failure means that no broker answers.
    pub async fn describe(
        &self,
        cluster: &Cluster,
        names: &BTreeSet<&str>,
        deadline: Instant,
    ) -> Result<HashMap<String, Result<Arc<Leaders>>>, Failure> {
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
            return Ok(known);
        }
        for topic in cluster.topics(Some(&asked), deadline).await? {
            let name = topic.name.clone();
            let found = leaders(topic).map_err(|failure| errors::of_topic(&name, &failure));
            if let Ok(leaders) = &found {
                self.remember(&name, leaders);
            }
            known.insert(name, found);
        }
        Ok(known)
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
    pub fn matching(all: &[String], regex: &str) -> Result<Vec<String>> {
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

    /// The names of all topics. A failure means that no broker answers.
    pub async fn list(
        &self,
        cluster: &Cluster,
        deadline: Instant,
    ) -> Result<Arc<Vec<String>>, Failure> {
        if let Some((at, topics)) = &*self.listed.lock()
            && at.elapsed() < REMEMBERED_FOR
        {
            return Ok(topics.clone());
        }
        let topics = cluster.topics(None, deadline).await?;
        let names = topics.into_iter().map(|topic| topic.name);
        let names = Arc::new(Vec::from_iter(names));
        *self.listed.lock() = Some((Instant::now(), names.clone()));
        Ok(names)
    }
}

fn leaders(topic: Topic) -> Result<Arc<Leaders>, Failure> {
    if let Some(failure) = Failure::of_code(topic.error) {
        return Err(failure);
    }
    let partitions = topic.partitions.into_iter();
    let partitions = partitions.map(|(number, leader)| (number, (leader >= 0).then_some(leader)));
    let mut leaders = Leaders::from_iter(partitions);
    leaders.sort_unstable();
    Ok(Arc::new(leaders))
}
