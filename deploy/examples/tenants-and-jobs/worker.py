"""A worker of the tenants-and-jobs system, with Temporal's Python SDK.

One program, two pools: ROLE says which of them this process belongs to.

  tenant  takes tasks of all shards: PREFIX-tenant-0 to PREFIX-tenant-(SHARDS - 1)
  jobs    takes tasks of PREFIX-jobs
  all     both, in one process, for development

On SIGTERM it takes no more tasks, finishes what it has in hand, and ends.
"""

import asyncio
import math
import os
import signal
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import Worker


def number(name: str, default: float) -> float:
    return float(os.environ.get(name, default))


ROLE = os.environ.get("ROLE", "all")
PREFIX = os.environ.get("PREFIX", "acme")
SHARDS = int(number("SHARDS", 1))

# How many activities a process has in hand at once.
TENANT_SLOTS = int(number("TENANT_SLOTS", 20))
JOB_SLOTS = int(number("JOB_SLOTS", 50))

# The times that the work takes here. A real worker calls others and waits for them.
ORDER_SECONDS = number("ORDER_SECONDS", 1)
JOB_SECONDS = number("JOB_SECONDS", 2)

# Tenants' activities of all shards together.
tenant_slots = asyncio.Semaphore(TENANT_SLOTS)


@activity.defn
async def reserve(order: str) -> str:
    async with tenant_slots:
        await asyncio.sleep(ORDER_SECONDS)
    return order


@activity.defn
async def charge(order: str) -> str:
    async with tenant_slots:
        await asyncio.sleep(ORDER_SECONDS)
    return order


@activity.defn
async def export(job: str) -> int:
    await asyncio.sleep(JOB_SECONDS)
    return len(job)


OPTIONS = {
    # What a task waits for the places of its worker counts as well.
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1)),
}


@workflow.defn
class Order:
    """Of a tenant: everything that belongs to it is on the tenant's shard."""

    @workflow.run
    async def run(self, order: str) -> str:
        await workflow.execute_activity(reserve, order, **OPTIONS)
        return await workflow.execute_activity(charge, order, **OPTIONS)


@workflow.defn
class Job:
    @workflow.run
    async def run(self, job: str) -> int:
        return await workflow.execute_activity(export, job, **OPTIONS)


def workers(client: Client) -> list[Worker]:
    # Must be below terminationGracePeriodSeconds, so that Kubernetes does not kill it before.
    grace = timedelta(seconds=number("GRACEFUL_SECONDS", 50))
    found = []
    if ROLE in ("tenant", "all"):
        # Every process takes tasks of every shard, so that any replica may go. What a shard may have in
        # hand here is a part of the whole, so that little is taken that has to wait for the semaphore.
        each = math.ceil(TENANT_SLOTS / SHARDS)
        for shard in range(SHARDS):
            found.append(
                Worker(
                    client,
                    task_queue=f"{PREFIX}-tenant-{shard}",
                    workflows=[Order],
                    activities=[reserve, charge],
                    max_concurrent_activities=each,
                    # Each poll is a request that stays open: few for each of many shards.
                    max_concurrent_workflow_task_polls=2,
                    max_concurrent_activity_task_polls=1,
                    max_cached_workflows=max(10, 1000 // SHARDS),
                    graceful_shutdown_timeout=grace,
                )
            )
    if ROLE in ("jobs", "all"):
        found.append(
            Worker(
                client,
                task_queue=f"{PREFIX}-jobs",
                workflows=[Job],
                activities=[export],
                max_concurrent_activities=JOB_SLOTS,
                graceful_shutdown_timeout=grace,
            )
        )
    return found


async def serve_health(ready: asyncio.Event, port: int) -> None:
    """/livez responds while the event loop turns, /readyz with 200 while tasks are taken."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await asyncio.wait_for(reader.readline(), timeout=2)
            healthy = b"/livez" in request or ready.is_set()
            status = b"200 OK" if healthy else b"503 Service Unavailable"
            writer.write(b"HTTP/1.0 " + status + b"\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        finally:
            writer.close()

    await asyncio.start_server(respond, os.environ.get("HEALTH_HOST", "127.0.0.1"), port)


async def main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    ready = asyncio.Event()
    await serve_health(ready, int(number("HEALTH_PORT", 8080)))
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"),
    )
    running = workers(client)
    tasks = [asyncio.create_task(worker.run()) for worker in running]
    ready.set()
    print(f"{ROLE} takes tasks of {len(running)} queues", flush=True)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    ready.clear()
    print("finishing what is in hand", flush=True)
    await asyncio.gather(*(worker.shutdown() for worker in running))
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main())
