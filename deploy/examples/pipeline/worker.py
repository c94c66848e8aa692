"""A worker of one stage of the pipeline: takes a document, works on it, passes it on.

No document is lost, whenever a worker ends:
- BLMOVE moves a document to the worker's own list of taken ones, so it is always in some list.
- A document is passed on and removed from that list in one step of Redis.
- SIGTERM: the document in hand is finished, and no other is taken.
- SIGKILL, or a node that is gone: the worker no longer reports to `LIST:workers`, and after a minute
  another worker of the stage puts back what it had taken.

A document may be worked on twice, so the work of a stage has to bear that.

Environment: REDIS_URL, STAGE, LIST, NEXT_LIST; WORK_SECONDS, KEEP_LAST (entries of NEXT_LIST, 0: all),
HEALTH_PORT (0: none).
"""

import json
import os
import random
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis

STAGE = os.environ["STAGE"]
LIST = os.environ["LIST"]
NEXT_LIST = os.environ["NEXT_LIST"]
# The pod's name. A container that was restarted in its pod is the same worker.
WORKER = f"{socket.gethostname()}-{os.getpid()}"
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "0.5"))
KEEP_LAST = int(os.environ.get("KEEP_LAST", "0"))
HEALTH_PORT = int(os.environ.get("HEALTH_PORT", "0"))

TAKEN = f"{LIST}:taken:{WORKER}"
WORKERS = f"{LIST}:workers"
# Documents that the work fails for: to be looked at, and put back by hand.
REFUSED = f"{LIST}:refused"
# How long a stop may wait for a document that does not come.
BLOCK_SECONDS = 1
REPORT_SECONDS = 10
# Six reports missed: longer than a short loss of the network.
GONE_SECONDS = 60

# The document is added before it is removed: a Redis that is full refuses the first, and nothing is done.
# A document that is not there was put back by another worker, and is passed on by who takes it next.
PASS_ON = """
if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[2])
if tonumber(ARGV[3]) > 0 then redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1) end
redis.call('LREM', KEYS[1], 1, ARGV[1])
return 1
"""

stopping = threading.Event()
# When the loop went round last, and when Redis responded last.
seen = {"loop": time.monotonic(), "redis": 0.0}


def log(message):
    print(f"{STAGE} {WORKER}: {message}", file=sys.stderr, flush=True)


def connect():
    # Longer than BLMOVE blocks: what takes longer is a connection that is lost.
    return redis.Redis.from_url(
        os.environ["REDIS_URL"], socket_timeout=BLOCK_SECONDS + 5, socket_connect_timeout=5, decode_responses=True
    )


def work(document):
    """Where your own work goes. This one takes its time, and notes that it was here."""
    time.sleep(WORK_SECONDS)
    return {**document, "stages": [*document.get("stages", []), STAGE]}


def put_back(client, taken):
    """Returns what a worker had taken to the front of the list, as it is the oldest."""
    count = 0
    while client.lmove(taken, LIST, "RIGHT", "LEFT") is not None:
        count += 1
    return count


def report(client):
    """Says that this worker lives, and puts back what those had taken that no longer do."""
    now = client.time()[0]
    client.zadd(WORKERS, {WORKER: now})
    for gone in client.zrangebyscore(WORKERS, "-inf", now - GONE_SECONDS):
        count = put_back(client, f"{LIST}:taken:{gone}")
        client.zrem(WORKERS, gone)
        log(f"{gone} is gone; {count} of its documents wait again")


def report_regularly():
    client = connect()
    while not stopping.wait(REPORT_SECONDS):
        try:
            report(client)
        except redis.RedisError as error:
            log(f"it cannot report: {error}")


def take_and_work(client, pass_on):
    """One document, if one comes in time."""
    text = client.blmove(LIST, TAKEN, BLOCK_SECONDS, "LEFT", "RIGHT")
    seen["redis"] = time.monotonic()
    if text is None:
        return
    try:
        result, next_list, keep = json.dumps(work(json.loads(text))), NEXT_LIST, KEEP_LAST
    except Exception as error:  # whatever it is, the next document is worked on
        log(f"a document is put aside in {REFUSED}: {error!r}")
        result, next_list, keep = text, REFUSED, 0
    pass_on(keys=[TAKEN, next_list], args=[text, result, keep])


def run():
    client = connect()
    pass_on = client.register_script(PASS_ON)
    clean = False
    while not stopping.is_set():
        seen["loop"] = time.monotonic()
        try:
            if not clean:
                # Of an earlier run under this name, or of a call whose reply was lost.
                put_back(client, TAKEN)
                report(client)
                clean = True
            take_and_work(client, pass_on)
        except redis.RedisError as error:
            clean = False
            log(f"{error}; it tries again")
            stopping.wait(1 + random.random())
    leave(client)


def leave(client):
    try:
        count = put_back(client, TAKEN)
        client.zrem(WORKERS, WORKER)
        log(f"stopped; {count} documents wait again")
    except redis.RedisError as error:
        log(f"stopped without Redis, which another worker makes up for: {error}")


class Health(BaseHTTPRequestHandler):
    """/livez: the loop goes round. /readyz: and Redis responds."""

    def do_GET(self):
        now = time.monotonic()
        alive = now - seen["loop"] < 30 + 2 * WORK_SECONDS
        ready = alive and now - seen["redis"] < 30 + 2 * WORK_SECONDS
        good = {"/livez": alive, "/readyz": ready}.get(self.path)
        self.send_response(404 if good is None else 200 if good else 503)
        self.end_headers()

    def log_message(self, format, *args):
        pass


def main():
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    if HEALTH_PORT:
        server = ThreadingHTTPServer(("", HEALTH_PORT), Health)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=report_regularly, daemon=True).start()
    run()


if __name__ == "__main__":
    main()
