"""Puts documents in: RATE a second for SECONDS; then it only counts.

Each second it writes what there is, as Temporal counts it: documents put in, done, and not finished.
SIGTERM ends the putting; SIGKILL ends it.
"""

import asyncio
import json
import os
import signal
import time
import uuid

from temporalio.client import Client

RATE = float(os.environ.get("RATE", "5"))
SECONDS = float(os.environ.get("SECONDS", "60"))
QUEUE = os.environ.get("WORKFLOW_QUEUE", "documents")


async def put(client: Client, counts: dict, stop: asyncio.Event) -> None:
    begun, run = time.monotonic(), uuid.uuid4().hex[:8]
    starts: set[asyncio.Task] = set()
    number = 0
    while not stop.is_set() and (passed := time.monotonic() - begun) < SECONDS:
        while number < passed * RATE:
            name = f"document-{run}-{number}"
            starts.add(asyncio.create_task(client.start_workflow("Document", name, id=name, task_queue=QUEUE)))
            number += 1
        await asyncio.sleep(0.02)
        for start in [start for start in starts if start.done()]:
            start.result()
            starts.remove(start)
            counts["put"] += 1
    for start in starts:
        await start
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
