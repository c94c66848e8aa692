"""Celery for tests: celery_queue.py PORT QUEUE [KEY-PREFIX]

Reads one command a line and replies with one line of JSON:
  add N, prioritise N PRIORITY, delay N MS   sends tasks
  take N       takes them as a worker does, without an acknowledgement
  counts       what the transport counts
"""

import json
import os
import sys

from celery import Celery

port, queue, *prefix = sys.argv[1:]
app = Celery("tests", broker=f"redis://127.0.0.1:{port}/0")
app.conf.task_ignore_result = True
app.conf.broker_transport_options = {"global_keyprefix": prefix[0]} if prefix else {}


@app.task(name="job")
def job(number):
    pass


def send(number, **options):
    for i in range(number):
        job.apply_async((i,), queue=queue, **options)


channel = app.connection_for_read().channel()
taken = []


def take(number):
    for _ in range(number):
        message = channel.basic_get(queue, no_ack=False)
        if message is not None:
            taken.append(message)
    return len(taken)


commands = {
    "add": send,
    "prioritise": lambda number, priority: send(number, priority=priority),
    "delay": lambda number, ms: send(number, countdown=ms / 1000),
    "take": take,
    "counts": lambda: {"queue": channel._size(queue), "unacked": len(channel.qos._delivered)},
}

for line in sys.stdin:
    command, *numbers = line.split()
    print(json.dumps(commands[command](*map(int, numbers))), flush=True)
# Without Celery's own end, which puts back what was taken, into a server that may be gone.
os._exit(0)
