"""A worker of one consumer group: reads its topic, and writes what it made of each message to the next one.

CONCURRENCY messages are in hand at once, each in a thread. They are committed together when all are
done and what they led to is written, so no message is lost, whenever a worker ends:
- SIGTERM: the messages in hand are finished and committed, and the worker leaves the group, so that
  the others have its partitions at once and not when its session ends.
- SIGKILL: what was in hand is not committed, and another worker reads it again.

A message may be processed twice, so the work of a group has to bear that.

Environment: BOOTSTRAP_SERVERS, GROUP, TOPIC, NEXT_TOPIC, CONCURRENCY, WORK_SECONDS, HEALTH_PORT (0: none);
SLA_SECONDS for the group sla_monitor.
"""

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

GROUP = os.environ["GROUP"]
TOPIC = os.environ["TOPIC"]
NEXT_TOPIC = os.environ["NEXT_TOPIC"]
CONCURRENCY = int(os.environ["CONCURRENCY"])
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "0.1"))
SLA_SECONDS = float(os.environ.get("SLA_SECONDS", "60"))
HEALTH_PORT = int(os.environ.get("HEALTH_PORT", "0"))

SERVERS = {"bootstrap.servers": os.environ["BOOTSTRAP_SERVERS"], "client.id": f"{GROUP}-{os.getpid()}"}
# How long a stop may wait for a message that does not come.
WAIT_SECONDS = 0.5
# How long what a message led to may take to be written.
WRITE_SECONDS = 15
# How long a commit may wait for workers that come or go.
COMMIT_SECONDS = 5

stopping = threading.Event()
# When the loop went round last, and whether this worker is a member of the group.
seen = {"loop": time.monotonic(), "member": False}


def log(message):
    print(f"{GROUP} {os.getpid()}: {message}", file=sys.stderr, flush=True)


def work(exception):
    """Where your own work goes. This one takes its time, and notes that it was here."""
    time.sleep(WORK_SECONDS)
    if GROUP == "sla_monitor":
        took = time.time() - exception["begun"]
        return {**exception, "took": took} if took > SLA_SECONDS else None
    return {**exception, "groups": [*exception.get("groups", []), GROUP]}


def process(message):
    """What is to be written for a message; None for nothing."""
    try:
        result = work(json.loads(message.value()))
    except Exception as error:  # whatever it is, the partition must go on
        # Your own code would write it to a topic for such messages.
        log(f"{message.topic()} {message.partition()} {message.offset()} is skipped: {error!r}")
        return None
    return None if result is None else json.dumps(result)


def write(producer, messages, results):
    """Writes all results; returns when the brokers have them."""
    failed = []

    def delivered(error, _):
        if error is not None:
            failed.append(error)

    for message, result in zip(messages, results):
        if result is not None:
            producer.produce(NEXT_TOPIC, result, key=message.key(), on_delivery=delivered)
    left = producer.flush(WRITE_SECONDS)
    if failed or left:
        # The worker ends without a commit, so that these messages are read again.
        raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))


def good(messages):
    """Those without the errors that the client reports in their place."""
    for message in messages:
        if message.error() is None:
            yield message
        elif message.error().fatal():
            raise KafkaException(message.error())
        else:
            log(message.error().str())


def run():
    consumer = Consumer(
        {
            **SERVERS,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            # A worker that comes or goes stops only those whose partitions move.
            "partition.assignment.strategy": "cooperative-sticky",
            # After so long without a sign of life the others get its partitions. 45 s by default.
            "session.timeout.ms": 15_000,
            # Messages that wait in a worker are of no use to the others.
            "queued.max.messages.kbytes": 1024,
        }
    )
    producer = Producer({**SERVERS, "enable.idempotence": True, "linger.ms": 5})
    consumer.subscribe([TOPIC])
    try:
        with ThreadPoolExecutor(CONCURRENCY) as threads:
            while not stopping.is_set():
                seen["loop"] = time.monotonic()
                messages = list(good(consumer.consume(CONCURRENCY, WAIT_SECONDS)))
                # Partitions move within `consume` alone: never while messages are in hand.
                seen["member"] = bool(consumer.memberid())
                if not messages:
                    continue
                write(producer, messages, threads.map(process, messages))
                commit(consumer, messages)
    finally:
        consumer.close()
        log("left the group")


def commit(consumer, messages):
    """Of each partition what comes after the last message."""
    last = {(message.topic(), message.partition()): message for message in messages}
    for message in last.values():
        until = time.monotonic() + COMMIT_SECONDS
        while not committed(consumer, message, until):
            time.sleep(0.1)


def committed(consumer, message, until):
    """Whether no other attempt is of use."""
    try:
        consumer.commit(message, asynchronous=False)
    except KafkaException as error:
        # Workers come or go: this one is a member again in a moment, with the same partitions or fewer.
        if error.args[0].code() == KafkaError.REBALANCE_IN_PROGRESS and time.monotonic() < until:
            return False
        # A partition that has gone to another worker, which reads these again; or the next commit
        # covers them.
        log(f"{message.topic()} {message.partition()} is not committed: {error}")
    return True


class Health(BaseHTTPRequestHandler):
    """/livez: the loop goes round. /readyz: and the worker is a member of its group.

    Not that it has partitions: a rollout adds workers before it takes others away.
    """

    def do_GET(self):
        alive = time.monotonic() - seen["loop"] < 60 + 2 * WORK_SECONDS
        ready = alive and seen["member"]
        healthy = {"/livez": alive, "/readyz": ready}.get(self.path)
        self.send_response(404 if healthy is None else 200 if healthy else 503)
        self.end_headers()

    def log_message(self, format, *args):
        pass


def main():
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    if HEALTH_PORT:
        server = ThreadingHTTPServer(("", HEALTH_PORT), Health)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    run()


if __name__ == "__main__":
    main()
