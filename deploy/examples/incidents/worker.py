"""A worker of the incidents system, with Temporal's Python SDK.

An incident is a workflow of three activities: its alerts are collected, they are correlated, and somebody
is notified. TASK_QUEUE says which pool this process belongs to; all of an incident stays in its pool.

On SIGTERM it takes no more tasks, finishes what it has in hand, and ends.
"""

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import Worker


def number(name: str, default: float) -> float:
    return float(os.environ.get(name, default))


TASK_QUEUE = os.environ.get("TASK_QUEUE", "incidents")
SLOTS = int(number("SLOTS", 10))

# The times that the work takes here. A real worker calls and computes instead.
COLLECT_SECONDS = number("COLLECT_SECONDS", 2)
CORRELATE_SECONDS = number("CORRELATE_SECONDS", 0.2)
NOTIFY_SECONDS = number("NOTIFY_SECONDS", 1)


@activity.defn
def collect(incident: str) -> int:
    time.sleep(COLLECT_SECONDS)
    return len(incident)


@activity.defn
def correlate(alerts: int) -> int:
    """Keeps a processor busy."""
    until = time.process_time() + CORRELATE_SECONDS
    found = 0
    while time.process_time() < until:
        found += alerts
    return found


@activity.defn
def notify(incident: str) -> str:
    time.sleep(NOTIFY_SECONDS)
    return f"{incident} is known"


@workflow.defn
class Incident:
    @workflow.run
    async def run(self, incident: str) -> str:
        options = {
            "start_to_close_timeout": timedelta(seconds=60),
            "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1)),
        }
        alerts = await workflow.execute_activity(collect, incident, **options)
        await workflow.execute_activity(correlate, alerts, **options)
        return await workflow.execute_activity(notify, incident, **options)


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
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Incident],
        activities=[collect, correlate, notify],
        activity_executor=ThreadPoolExecutor(SLOTS),
        max_concurrent_activities=SLOTS,
        # Must be below terminationGracePeriodSeconds, so that Kubernetes does not kill it before.
        graceful_shutdown_timeout=timedelta(seconds=number("GRACEFUL_SECONDS", 50)),
    )
    running = asyncio.create_task(worker.run())
    ready.set()
    print(f"takes tasks of {TASK_QUEUE}", flush=True)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, running], return_when=asyncio.FIRST_COMPLETED)
    ready.clear()
    print("finishing what is in hand", flush=True)
    await worker.shutdown()
    await running


if __name__ == "__main__":
    asyncio.run(main())
