"""Puts orders of tenants and jobs in, three to one: RATE a second for SECONDS; then it only counts.

A tenant's orders all go to its shard. Each second it writes what there is, as Temporal counts it: work
put in, done, and not finished.
SIGTERM ends the putting; SIGKILL ends it.
"""

import asyncio
import json
import os
import signal
import time
import uuid
import zlib

from temporalio.client import Client

RATE = float(os.environ.get("RATE", "5"))
SECONDS = float(os.environ.get("SECONDS", "60"))
PREFIX = os.environ.get("PREFIX", "acme")
SHARDS = int(os.environ.get("SHARDS", "1"))
TENANTS = 100


def start(client: Client, run: str, number: int):
    if number % 4 == 3:
        name = f"job-{run}-{number}"
        return client.start_workflow("Job", name, id=name, task_queue=f"{PREFIX}-jobs")
    tenant = number * 7 % TENANTS
    name = f"order-{run}-{tenant}-{number}"
    # The same for a tenant at all times, in every process that starts orders.
    shard = zlib.crc32(str(tenant).encode()) % SHARDS
    return client.start_workflow("Order", name, id=name, task_queue=f"{PREFIX}-tenant-{shard}")


async def put(client: Client, counts: dict, stop: asyncio.Event) -> None:
    begun, run = time.monotonic(), uuid.uuid4().hex[:8]
    starts: set[asyncio.Task] = set()
    number = 0
    while not stop.is_set() and (passed := time.monotonic() - begun) < SECONDS:
        while number < passed * RATE:
            starts.add(asyncio.create_task(start(client, run, number)))
            number += 1
        await asyncio.sleep(0.02)
        for started in [started for started in starts if started.done()]:
            started.result()
            starts.remove(started)
            counts["put"] += 1
    for started in starts:
        await started
        counts["put"] += 1
    counts["ended"] = True


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"),
    )
    counts = {"put": 0, "done": 0, "waiting": 0, "ended": False}
    putting = asyncio.create_task(put(client, counts, stop))
    while True:
        if putting.done():
            putting.result()
        counts["done"] = (await client.count_workflows("ExecutionStatus = 'Completed'")).count
        counts["waiting"] = (await client.count_workflows("ExecutionStatus = 'Running'")).count
        print(json.dumps(counts), flush=True)
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
