"""Writes exceptions to the first topic: load.py [RATE [SECONDS]]

RATE exceptions a second (5), for SECONDS (until it is stopped). BOOTSTRAP_SERVERS says where.
"""

import json
import os
import sys
import time

from confluent_kafka import Producer

TOPIC = os.environ.get("TOPIC", "exceptions-intake")
# So often a second: the load is even, whatever its rate.
STEPS = 10


def main():
    rate = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else float("inf")
    failed = []
    producer = Producer({"bootstrap.servers": os.environ["BOOTSTRAP_SERVERS"], "enable.idempotence": True})
    begun, added, passed = time.monotonic(), 0, 0.0
    run = f"{int(time.time())}-{os.getpid()}"
    try:
        while passed < seconds:
            passed = min(time.monotonic() - begun, seconds)
            while added < int(rate * passed):
                # The key spreads exceptions over the partitions, and keeps the messages of one in order.
                name = f"{run}-{added}"
                text = json.dumps({"id": name, "begun": time.time()})
                producer.produce(TOPIC, text, key=name, on_delivery=lambda error, _: error and failed.append(error))
                producer.poll(0)
                added += 1
            time.sleep(1 / STEPS)
    except KeyboardInterrupt:
        pass
    if producer.flush(30) or failed:
        sys.exit(f"not all of {added} exceptions were written: {failed[:1]}")
    print(f"{added} exceptions written")


if __name__ == "__main__":
    main()
