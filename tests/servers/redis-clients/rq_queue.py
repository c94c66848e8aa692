"""RQ for tests: rq_queue.py PORT QUEUE

Reads one command a line and replies with one line of JSON:
  add N, delay N MS   enqueues jobs that take ten minutes
  take N       starts that many workers, and returns once each has started a job
  schedule     what a worker with --with-scheduler does every second
  counts       what RQ counts
RQ_KEY_PREFIX is RQ's own variable. The workers end with this program.
"""

import json
import os
import subprocess
import sys
import time
from datetime import timedelta

from redis import Redis
from rq import Queue
from rq.scheduler import RQScheduler

port, name = sys.argv[1:]
connection = Redis(port=int(port))
queue = Queue(name, connection=connection)
workers = []


def add(number):
    for _ in range(number):
        queue.enqueue("time.sleep", 600, job_timeout=900)


def delay(number, ms):
    for _ in range(number):
        queue.enqueue_in(timedelta(milliseconds=ms), "time.sleep", 600)


def take(number):
    rq = os.path.join(os.path.dirname(sys.executable), "rq")
    # Without a process for the job, which would have a process group of its own and outlive us.
    worker = [rq, "worker", "--quiet", "--worker-class", "rq.SimpleWorker"]
    worker += ["--url", f"redis://127.0.0.1:{port}", name]
    wanted = queue.started_job_registry.count + number
    workers.extend(subprocess.Popen(worker, stdout=subprocess.DEVNULL) for _ in range(number))
    while queue.started_job_registry.count < wanted:
        time.sleep(0.05)
    return number


def schedule():
    scheduler = RQScheduler([queue], connection=connection, logging_level="WARNING")
    scheduler.acquire_locks()
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()


def counts():
    return {
        "queued": queue.count,
        "scheduled": queue.scheduled_job_registry.count,
        "started": queue.started_job_registry.count,
    }


commands = {"add": add, "delay": delay, "take": take, "schedule": schedule, "counts": counts}

for line in sys.stdin:
    command, *numbers = line.split()
    print(json.dumps(commands[command](*map(int, numbers))), flush=True)
for worker in workers:
    worker.kill()
