"""A worker of the documents system, with Temporal's Python SDK.

A document is a workflow. Its first workflow task decodes the document; then it is fetched, which waits
for others; then its text is extracted, which needs the processor. POOL says what this process does:

  main  workflows and I/O activities
  cpu   CPU activities
  all   everything, in one process, for development

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


WORKFLOW_QUEUE = os.environ.get("WORKFLOW_QUEUE", "documents")
IO_QUEUE = os.environ.get("IO_QUEUE", "documents-io")
CPU_QUEUE = os.environ.get("CPU_QUEUE", "documents-cpu")

# The times that the work takes here. A real worker reads, calls and computes instead.
WORKFLOW_TASK_SECONDS = number("WORKFLOW_TASK_SECONDS", 1.05)
IO_SECONDS = number("IO_SECONDS", 1.5)
CPU_SECONDS = number("CPU_SECONDS", 0.5)


@activity.defn
async def fetch(document: str) -> int:
    await asyncio.sleep(IO_SECONDS)
    return len(document)


@activity.defn
def extract(document: str) -> int:
    """Runs in a thread, and keeps one processor busy."""
    until = time.process_time() + CPU_SECONDS
    words = 0
    while time.process_time() < until:
        words += len(document.split("-"))
    return words


@workflow.defn
class Document:
    @workflow.run
    async def run(self, document: str) -> str:
        retry = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=2)
        if not workflow.unsafe.is_replaying():
            # Such as a payload that a remote codec decrypts. It holds a place for workflow tasks.
            with workflow.unsafe.sandbox_unrestricted():
                time.sleep(WORKFLOW_TASK_SECONDS)
        size = await workflow.execute_activity(
            fetch,
            document,
            task_queue=IO_QUEUE,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=retry,
        )
        words = await workflow.execute_activity(
            extract,
            document,
            task_queue=CPU_QUEUE,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=retry,
        )
        return f"{size} bytes, {words} words"


def workers(client: Client, pool: str) -> list[Worker]:
    # Must be below terminationGracePeriodSeconds, so that Kubernetes does not kill it before.
    grace = timedelta(seconds=number("GRACEFUL_SECONDS", 50))
    found = []
    if pool in ("main", "all"):
        found.append(
            Worker(
                client,
                task_queue=WORKFLOW_QUEUE,
                workflows=[Document],
                max_concurrent_workflow_tasks=int(number("WORKFLOW_SLOTS", 3)),
                # Pollers hold places. By default four of five wait for tasks of cached workflows, which are
                # short here, and the long first tasks of new ones would get one place of three.
                nonsticky_to_sticky_poll_ratio=0.5,
                graceful_shutdown_timeout=grace,
            )
        )
        found.append(
            Worker(
                client,
                task_queue=IO_QUEUE,
                activities=[fetch],
                max_concurrent_activities=int(number("IO_SLOTS", 5)),
                graceful_shutdown_timeout=grace,
            )
        )
    if pool in ("cpu", "all"):
        slots = int(number("CPU_SLOTS", 2))
        found.append(
            Worker(
                client,
                task_queue=CPU_QUEUE,
                activities=[extract],
                activity_executor=ThreadPoolExecutor(slots),
                max_concurrent_activities=slots,
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
    pool = os.environ.get("POOL", "all")
    running = workers(client, pool)
    tasks = [asyncio.create_task(worker.run()) for worker in running]
    ready.set()
    print(f"pool {pool} takes tasks", flush=True)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    ready.clear()
    print("finishing what is in hand", flush=True)
    await asyncio.gather(*(worker.shutdown() for worker in running))
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main())
