"""Writes exceptions to the first topic, and counts them there and at the end.

RATE exceptions a second for SECONDS, or until SIGTERM; then it goes on counting. Each second a line of JSON: how
many were put in, how many of them are closed, and how many messages the groups have not committed yet.

Environment: BOOTSTRAP_SERVERS, RATE (5), SECONDS (0: until SIGTERM).
"""

import json
import os
import signal
import sys
import threading
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

RATE = float(os.environ.get("RATE", "5"))
SECONDS = float(os.environ.get("SECONDS", "0")) or float("inf")
FIRST, CLOSED = "exceptions-intake", "exceptions-closed"
# Each group with the topic that it reads.
GROUPS = {name: f"exceptions-{name}" for name in ["intake", "triage", "policy", "playbook", "tool", "feedback"]}
GROUPS["sla_monitor"] = CLOSED
SERVERS = {"bootstrap.servers": os.environ["BOOTSTRAP_SERVERS"]}
# So often a second: the load is even, whatever its rate.
STEPS = 10
# A broker that is busy, or a partition that has just got another leader.
PATIENCE = 20

enough = threading.Event()


class Closed:
    """The exceptions of this run that were closed, each counted once."""

    def __init__(self, run):
        self.run, self.ids = run, set()
        # A group of its own that commits nothing.
        self.consumer = Consumer({**SERVERS, "group.id": f"load-{run}", "enable.auto.commit": False})
        partitions = self.consumer.list_topics(CLOSED, PATIENCE).topics[CLOSED].partitions
        ends = [self.consumer.get_watermark_offsets(TopicPartition(CLOSED, n), PATIENCE)[1] for n in partitions]
        self.consumer.assign([TopicPartition(CLOSED, n, end) for n, end in zip(partitions, ends)])

    def update(self):
        while messages := self.consumer.consume(500, 0.05):
            texts = [message.value() for message in messages if message.error() is None]
            self.ids.update(name for name in (json.loads(text)["id"] for text in texts) if name.startswith(self.run))
        return len(self.ids)


class Lag:
    """What the groups have not committed."""

    def __init__(self):
        self.admin = AdminClient(SERVERS)
        topics = self.admin.list_topics(timeout=PATIENCE).topics
        self.partitions = {
            group: [TopicPartition(topic, n) for n in topics[topic].partitions] for group, topic in GROUPS.items()
        }

    def sum(self):
        # Commits first: a message that moves on meanwhile is counted twice rather than not at all.
        futures = [
            self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)])[group]
            for group, partitions in self.partitions.items()
        ]
        committed = {(p.topic, p.partition): p.offset for f in futures for p in f.result(PATIENCE).topic_partitions}
        latest = {p: OffsetSpec.latest() for partitions in self.partitions.values() for p in partitions}
        ends = {(p.topic, p.partition): f.result(PATIENCE).offset for p, f in self.admin.list_offsets(latest).items()}
        # Without a commit, a group begins at the beginning: offset 0 in these topics.
        return sum(end - max(committed.get(partition, 0), 0) for partition, end in ends.items())


def main():
    signal.signal(signal.SIGTERM, lambda *_: enough.set())
    run = f"{int(time.time())}-{os.getpid()}-"
    closed, lag = Closed(run), Lag()
    failed = []
    producer = Producer({**SERVERS, "enable.idempotence": True, "linger.ms": 5})
    begun, put, passed, told = time.monotonic(), 0, 0.0, 0.0
    while not failed:
        now = time.monotonic() - begun
        if not enough.is_set() and passed < SECONDS:
            passed = min(now, SECONDS)
            while put < int(RATE * passed):
                # The key spreads exceptions over the partitions, and keeps the messages of one in order.
                name = f"{run}{put}"
                text = json.dumps({"id": name, "begun": time.time()})
                producer.produce(FIRST, text, key=name, on_delivery=lambda error, _: error and failed.append(error))
                put += 1
            producer.flush(PATIENCE)
        if now - told >= 1:
            ended = enough.is_set() or passed >= SECONDS
            try:
                waits = lag.sum()
                print(json.dumps({"put": put, "done": closed.update(), "waiting": waits, "ended": ended}), flush=True)
                told = now
            except KafkaException as error:
                if now - told > PATIENCE:
                    raise
                print(f"not counted: {error}", file=sys.stderr)
                time.sleep(1)
        time.sleep(1 / STEPS)
    sys.exit(f"an exception was not written: {failed[0]}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
