"""Creates topics: TOPICS is `name=partitions,…`. One that has fewer partitions than that is an error, as
its group could not have as many workers as the ScaledObject allows."""

import os
import sys

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

SECONDS = 30


def main():
    admin = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP_SERVERS"]})
    wanted = {name: int(count) for name, count in (topic.split("=") for topic in os.environ["TOPICS"].split(","))}
    # -1: as many copies as the brokers' default.replication.factor.
    created = admin.create_topics([NewTopic(name, count, -1) for name, count in wanted.items()], request_timeout=SECONDS)
    for name, future in created.items():
        try:
            future.result()
            print(f"{name}: created with {wanted[name]} partitions")
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                sys.exit(f"{name}: {error}")
            count = len(admin.list_topics(name, timeout=SECONDS).topics[name].partitions)
            print(f"{name}: there, with {count} partitions")
            if count < wanted[name]:
                sys.exit(f"{name} has {count} partitions and needs {wanted[name]}: kafka-topics.sh --alter")


if __name__ == "__main__":
    main()
