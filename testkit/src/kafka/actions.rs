//! What producers, consumers and administrators do to a cluster. Done by the client library, by
//! the plain listener; whatever fails panics.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    message::Message,
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{Kafka, PATIENCE};

const LIMIT: Duration = Duration::from_secs(20);

/// A transaction that is neither committed nor aborted. Dropping it leaves it so.
pub struct OpenTransaction(BaseProducer);

impl OpenTransaction {
    pub fn commit(self) {
        self.0.commit_transaction(LIMIT).expect("a commit");
    }
}

impl Kafka {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers());
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// Creates a topic, on every broker. Messages go to it at once.
    pub async fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topics(&[name.to_owned()], partitions).await;
    }

    /// Creates topics that are alike.
    pub async fn create_topics(&self, names: &[String], partitions: i32) {
        let copies = || TopicReplication::Fixed(self.nodes.len() as i32);
        let topic = |name| NewTopic::new(name, partitions, copies());
        let topics = names.iter().map(|name| topic(name)).collect();
        self.create(topics).await;
    }

    /// Creates a topic whose messages go after this time.
    pub async fn create_topic_for(&self, name: &str, retention: Duration) {
        let retention = retention.as_millis().to_string();
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
        self.create(vec![topic.set("retention.ms", &retention)])
            .await;
    }

    /// Creates a topic whose only partition has one copy, on this broker.
    pub async fn create_topic_on(&self, name: &str, broker: usize) {
        let copies: &[&[i32]] = &[&[broker as i32]];
        let topic = NewTopic::new(name, 1, TopicReplication::Variable(copies));
        self.create(vec![topic]).await;
    }

    async fn create(&self, topics: Vec<NewTopic<'_>>) {
        let created = self
            .admin()
            .create_topics(&topics, &AdminOptions::new())
            .await;
        for topic in created.expect("a response") {
            topic.expect("a topic");
        }
        let consumer: BaseConsumer = self.client().create().expect("a consumer");
        for topic in topics {
            self.until(|| {
                let metadata = consumer
                    .fetch_metadata(Some(topic.name), LIMIT)
                    .expect("metadata");
                let found = metadata.topics()[0].partitions();
                found.len() == topic.num_partitions as usize
                    && found.iter().all(|partition| partition.leader() >= 0)
            })
            .await;
        }
    }

    pub async fn delete_topic(&self, name: &str) {
        let deleted = self
            .admin()
            .delete_topics(&[name], &AdminOptions::new())
            .await;
        deleted.expect("a response")[0].clone().expect("a topic");
    }

    pub async fn add_partitions(&self, topic: &str, count: usize) {
        let more = NewPartitions::new(topic, count);
        let added = self
            .admin()
            .create_partitions([&more], &AdminOptions::new())
            .await;
        added.expect("a response")[0].clone().expect("partitions");
    }

    /// Deletes what comes before an offset, as retention does.
    pub async fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(topic, partition, Offset::Offset(before))
            .expect("an offset");
        let deleted = self
            .admin()
            .delete_records(&offsets, &AdminOptions::new())
            .await;
        deleted.expect("deleted records");
    }

    /// Writes messages to a partition.
    pub fn produce(&self, topic: &str, partition: i32, count: usize) {
        let mut config = self.client();
        let producer: BaseProducer = config.set("linger.ms", "0").create().expect("a producer");
        send(&producer, topic, partition, count);
    }

    /// Writes these messages to the partitions in turn.
    pub fn produce_texts(&self, topic: &str, partitions: i32, texts: &[String]) {
        let producer: BaseProducer = self.client().create().expect("a producer");
        for (text, partition) in texts.iter().zip((0..partitions).cycle()) {
            let record = BaseRecord::<(), String>::to(topic)
                .partition(partition)
                .payload(text);
            producer.send(record).expect("a full queue is larger");
        }
        producer.flush(LIMIT).expect("every message is written");
    }

    /// All messages that a topic has now.
    pub fn texts(&self, topic: &str) -> Vec<String> {
        let mut config = self.client();
        let config = config
            .set("group.id", "texts")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let metadata = consumer
            .fetch_metadata(Some(topic), LIMIT)
            .expect("metadata");
        let mut left = 0;
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            let id = partition.id();
            let (first, end) = consumer
                .fetch_watermarks(topic, id, LIMIT)
                .expect("offsets");
            left += end - first;
            list.add_partition_offset(topic, id, Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&list).expect("an assignment");
        let mut texts = Vec::new();
        while left > 0 {
            let message = consumer
                .poll(LIMIT)
                .expect("a message in time")
                .expect("a message");
            let payload = message.payload().unwrap_or_default();
            texts.push(String::from_utf8_lossy(payload).into_owned());
            left -= 1;
        }
        texts
    }

    /// Writes a message to each of the first partitions.
    pub fn produce_to_each(&self, topic: &str, partitions: i32) {
        let producer: BaseProducer = self.client().create().expect("a producer");
        for partition in 0..partitions {
            let record = BaseRecord::<(), str>::to(topic)
                .partition(partition)
                .payload("work");
            producer.send(record).expect("a full queue is larger");
        }
        producer.flush(LIMIT).expect("every message is written");
    }

    /// Writes messages with these times, in ms since 1970, to a partition: as one batch, compressed
    /// by this codec of librdkafka's.
    pub fn produce_batch(&self, topic: &str, partition: i32, times: &[i64], codec: &str) {
        let mut config = self.client();
        config
            .set("linger.ms", "500")
            .set("compression.codec", codec);
        let producer: BaseProducer = config.create().expect("a producer");
        for time in times {
            // Of a size that is worth to be compressed; else librdkafka does not.
            let work = "work".repeat(200);
            let record = BaseRecord::<(), str>::to(topic)
                .partition(partition)
                .timestamp(*time)
                .payload(&work);
            producer.send(record).expect("a full queue is larger");
        }
        producer.flush(LIMIT).expect("every message is written");
    }

    /// Writes messages in a transaction that stays open.
    pub fn produce_in_transaction(
        &self,
        topic: &str,
        partition: i32,
        count: usize,
    ) -> OpenTransaction {
        let mut config = self.client();
        config.set("transactional.id", format!("{topic}-{partition}"));
        let producer: BaseProducer = config.create().expect("a producer");
        producer.init_transactions(LIMIT).expect("transactions");
        producer.begin_transaction().expect("a transaction");
        send(&producer, topic, partition, count);
        OpenTransaction(producer)
    }

    /// Commits an offset in a transaction that stays open.
    pub fn commit_in_transaction(&self, group: &str, topic: &str, offset: i64) -> OpenTransaction {
        let mut config = self.client();
        let consumer: BaseConsumer = config.set("group.id", group).create().expect("a consumer");
        let metadata = consumer.group_metadata().expect("the group's metadata");
        let mut config = self.client();
        config.set("transactional.id", group);
        let producer: BaseProducer = config.create().expect("a producer");
        producer.init_transactions(LIMIT).expect("transactions");
        producer.begin_transaction().expect("a transaction");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(offset))
            .expect("an offset");
        let sent = producer.send_offsets_to_transaction(&list, &metadata, LIMIT);
        sent.expect("offsets in a transaction");
        OpenTransaction(producer)
    }

    /// Commits offsets for a group that nobody has joined.
    pub fn commit(&self, group: &str, topic: &str, offsets: &[(i32, i64)]) {
        let mut config = self.client();
        let consumer: BaseConsumer = config.set("group.id", group).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .expect("an offset");
        }
        let started = Instant::now();
        while let Err(error) = consumer.commit(&list, CommitMode::Sync) {
            assert!(started.elapsed() < PATIENCE, "{error}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The id of the broker that coordinates a group: it leads the partition of the offsets' topic
    /// that Java's hash of the group's name chooses.
    pub fn coordinator(&self, group: &str) -> usize {
        let hash = group.bytes().fold(0_i32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(i32::from(byte))
        });
        self.leader("__consumer_offsets", (hash & i32::MAX) % 3)
    }

    /// The id of the broker that leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> usize {
        let consumer: BaseConsumer = self.client().create().expect("a consumer");
        let started = Instant::now();
        loop {
            let metadata = consumer
                .fetch_metadata(Some(topic), LIMIT)
                .expect("metadata");
            let partitions = metadata.topics()[0].partitions();
            let found = partitions.iter().find(|found| found.id() == partition);
            match found.map(|found| found.leader()) {
                Some(leader) if leader > 0 => return leader as usize,
                _ => assert!(
                    started.elapsed() < PATIENCE,
                    "{topic}-{partition} has no leader"
                ),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    async fn until(&self, happened: impl Fn() -> bool) {
        let started = Instant::now();
        while !happened() {
            assert!(started.elapsed() < PATIENCE, "it did not happen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, count: usize) {
    for _ in 0..count {
        let record = BaseRecord::<(), str>::to(topic)
            .partition(partition)
            .payload("work");
        producer.send(record).expect("a full queue is larger");
    }
    producer.flush(LIMIT).expect("every message is written");
}
