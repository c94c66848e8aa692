"""Adds documents to the pipeline's first list: load.py [RATE [SECONDS]]

RATE documents a second (5), for SECONDS (until it is stopped). REDIS_URL says where.
"""

import json
import os
import sys
import time

import redis

FIRST_LIST = os.environ.get("LIST", "pipeline:crawl")
# So often a second: the load is even, whatever its rate.
STEPS = 10


def main():
    rate = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else float("inf")
    client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=10)
    begun, added = time.monotonic(), 0
    run = f"{int(time.time())}-{os.getpid()}"
    try:
        passed = 0.0
        while passed < seconds:
            passed = min(time.monotonic() - begun, seconds)
            due = int(rate * passed) - added
            if due > 0:
                client.rpush(FIRST_LIST, *(json.dumps({"id": f"{run}-{added + n}"}) for n in range(due)))
                added += due
            time.sleep(1 / STEPS)
    except KeyboardInterrupt:
        pass
    print(f"{added} documents added")


if __name__ == "__main__":
    main()
