"""Adds documents to the pipeline's first list, and counts them there and at the end.

RATE documents a second for SECONDS, or until SIGTERM; then it goes on counting. Each second a line of JSON: how
many were put in, how many of them are done, and how many documents wait or are in a worker's hands. A run is to
be shorter than what the last list keeps, KEEP_LAST of labeler.yaml.

Environment: REDIS_URL, RATE (5), SECONDS (0: until SIGTERM).
"""

import json
import os
import signal
import threading
import time

import redis

RATE = float(os.environ.get("RATE", "5"))
SECONDS = float(os.environ.get("SECONDS", "0")) or float("inf")
STAGES = ["crawl", "ocr", "parse", "label"]
DONE = "pipeline:labelled"
# So often a second: the load is even, whatever its rate.
STEPS = 10

enough = threading.Event()


class Counted:
    """The documents of this run that came out at the end, each counted once."""

    def __init__(self, client, run):
        self.client, self.run = client, run
        self.read = client.llen(DONE)
        self.ids = set()

    def update(self):
        # New ones are at the end; the list keeps more than come in a second.
        texts = self.client.lrange(DONE, self.read, -1)
        self.read += len(texts)
        ids = (json.loads(text)["id"] for text in texts)
        self.ids.update(name for name in ids if name.startswith(self.run))
        return len(self.ids)


def waiting(client):
    lists = [f"pipeline:{stage}" for stage in STAGES]
    lists += [key for stage in STAGES for key in client.scan_iter(f"pipeline:{stage}:taken:*")]
    lists += [f"pipeline:{stage}:refused" for stage in STAGES]
    pipe = client.pipeline(transaction=True)
    for name in lists:
        pipe.llen(name)
    return sum(pipe.execute())


def main():
    signal.signal(signal.SIGTERM, lambda *_: enough.set())
    client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=10, decode_responses=True)
    run = f"{int(time.time())}-{os.getpid()}-"
    counted = Counted(client, run)
    begun, put, passed, told = time.monotonic(), 0, 0.0, 0.0
    while True:
        now = time.monotonic() - begun
        if not enough.is_set() and passed < SECONDS:
            passed = min(now, SECONDS)
            due = int(RATE * passed) - put
            if due > 0:
                client.rpush("pipeline:crawl", *(json.dumps({"id": f"{run}{put + n}"}) for n in range(due)))
                put += due
        if now - told >= 1:
            told = now
            ended = enough.is_set() or passed >= SECONDS
            # What waits first: a document that moves on meanwhile is counted twice rather than not at all.
            waits = waiting(client)
            print(json.dumps({"put": put, "done": counted.update(), "waiting": waits, "ended": ended}), flush=True)
        time.sleep(1 / STEPS)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
